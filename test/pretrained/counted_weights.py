"""Weights and pixels that PyTorch and the tests make by one formula; counted-weights.ts has the same."""

import numpy as np
import torch


def counted(name: str, size: int) -> np.ndarray:
    """`size` numbers of [0, 1) by name and counter: a hash of 32 bits."""
    seed = np.uint32(0)
    with np.errstate(over="ignore"):
        for character in name:
            seed = seed * np.uint32(31) + np.uint32(ord(character))
        x = np.arange(size, dtype=np.uint32) + seed
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
    return x / 2.0**32


def filled(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The tensor of a state dict by its name: what keeps activations about as large as they were."""
    values = counted(name, int(np.prod(shape)))
    if name.endswith("running_var"):
        values = 0.5 + values
    elif len(shape) == 4:
        values = (2 * values - 1) * np.sqrt(6 / np.prod(shape[1:]))
    elif len(shape) == 2:
        values = (2 * values - 1) * np.sqrt(3 / shape[1])
    elif name.endswith("pos_embed"):
        values = 2 * values - 1
    elif name.endswith(("weight", "gamma")):
        values = 0.75 + values / 2
    else:
        values = (values - 0.5) / 5
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def pixels(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Grey levels 0 … 255."""
    return np.floor(256 * counted(name, int(np.prod(shape)))).astype(np.uint8).reshape(shape)


def rounded(values: torch.Tensor) -> list[float]:
    """As many digits as JSON has to keep."""
    return [float(f"{value:.7g}") for value in values.double().tolist()]
