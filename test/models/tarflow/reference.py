"""Writes what the benchmark's TarFlow in PyTorch computes with weights and an image that both sides make by
one formula, for published.test.ts: loss, log-determinant, and the gradient by the weights. Parameters, images and
sums are in double precision; a block's log-scales and means alone are rounded to single precision.

    .venv-bench/bin/python test/models/tarflow/reference.py

The environment is the one that `npm run bench` sets up. The large model takes 9 GB and some minutes.
"""

import json
import pathlib
import sys
import time

import torch
from torch.utils.checkpoint import checkpoint

folder = pathlib.Path(__file__).parent
tests = folder.parents[1]
sys.path[:0] = [str(tests / "pretrained"), str(tests / "benchmarks" / "peers")]
from counted_weights import filled, pixels, rounded  # noqa: E402
from pytorch_model import Layer, TarFlow  # noqa: E402
from server import Config  # noqa: E402


def configuration(name: str, side: int, head_width: int) -> dict:
    patch, channels, blocks, layers = map(int, name.split("-"))
    return {
        "kind": "tarflow",
        "image": {"channels": 3, "height": side, "width": side},
        "patchSize": patch,
        "channels": channels,
        "blocks": blocks,
        "layersPerBlock": layers,
        "headWidth": head_width,
        "classes": 0,
        "volumePreserving": False,
    }


# That of imagenet64_model_2_768_8_8_0.05.pth, and a small twin.
configurations = {
    "small": configuration("2-32-2-2", 8, 16),
    "imagenet64": configuration("2-768-8-8", 64, 64),
}
# So many numbers are kept of the gradient by each tensor.
kept = 3


def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """By name and counter, as in state-dict.ts. Small outputs keep the scales of eight blocks moderate, and an
    offset keeps their log-determinants from cancelling."""
    values = filled(name, shape)
    if name.endswith("proj_out.weight"):
        return values / 32
    return values + 1 / 16 if name.endswith("proj_out.bias") else values


def some(values: torch.Tensor) -> list[float]:
    """Evenly spread ones."""
    flat = values.reshape(-1)
    step = len(flat) // kept
    return rounded(flat[step // 2 :: step][:kept])


class RecomputedLayer(Layer):
    """A layer whose inner values the gradient computes again, since all of them in double take too much memory."""

    def forward(self, x: torch.Tensor, rotary=None) -> torch.Tensor:
        return checkpoint(super().forward, x, rotary, use_reentrant=False)


def results(config: dict) -> dict:
    begun = time.monotonic()
    with torch.device("meta"):
        model = TarFlow(Config(config)).double()
    model.to_empty(device="cpu")
    for module in model.modules():
        if isinstance(module, Layer):
            module.__class__ = RecomputedLayer
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weight(name, tuple(parameter.shape)))
    shape = (1, *Config(config).image)
    images = (torch.from_numpy(pixels("images", shape)).double() / 127.5 - 1).float().double()
    z, log_det, scales = model.patchify(images), 0.0, []
    for block in model.blocks:
        z, own = block(z, None)
        log_det = log_det + own.mean()
        scales.append(round(own.item(), 4))
    loss = 0.5 * z.square().mean() - log_det
    loss.backward()
    gradient = {name: parameter.grad for name, parameter in sorted(model.named_parameters())}
    norms = torch.stack([tensor.norm() for tensor in gradient.values()])
    print(f"log-determinants {scales}, largest latent {z.abs().max():.3g}, gradient {norms.norm():.4g}")
    print(f"{sum(map(torch.numel, gradient.values())):,} parameters, {time.monotonic() - begun:.0f} s")
    return {
        "config": config,
        "loss": rounded(loss.reshape(1))[0],
        "logDet": rounded(log_det.reshape(1))[0],
        "gradientNorm": rounded(norms.norm().reshape(1))[0],
        # Of the tensors in the order of their names.
        "norms": rounded(norms),
        "entries": [entry for tensor in gradient.values() for entry in some(tensor)],
    }


reference = {
    "made by": f"PyTorch {torch.__version__}, test/models/tarflow/reference.py",
    "results": {name: results(config) for name, config in configurations.items()},
}
(folder / "reference.json").write_text(json.dumps(reference, indent=2) + "\n")
