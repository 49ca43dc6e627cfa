"""Writes what diffusers' AutoencoderKL computes in double precision with weights, images and latents that
both sides make by one formula, for published.test.ts.

    python3 -m venv reference && reference/bin/pip install torch diffusers==0.42.1
    reference/bin/python test/models/vae/reference.py
"""

import json
import pathlib
import sys

import diffusers
import torch
from diffusers import AutoencoderKL

folder = pathlib.Path(__file__).parent
sys.path.insert(0, str(folder.parents[1] / "pretrained"))
from counted_weights import counted, filled, pixels, rounded  # noqa: E402

# Stable Diffusion's, at 256², and a small twin.
sizes = {
    "small": ((32, 64), 1, (2, 3, 16, 24)),
    "stable-diffusion": ((128, 256, 512, 512), 2, (1, 3, 256, 256)),
}
# So many numbers are kept of each result.
kept = 128


def some(values: torch.Tensor) -> list[float]:
    flat = values.reshape(-1)
    return rounded(flat[:: max(1, len(flat) // kept)])


results = {}
for name, (channels, layers, shape) in sizes.items():
    levels = len(channels)
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=channels,
        layers_per_block=layers,
        latent_channels=4,
        norm_num_groups=32,
    )
    state = {key: filled(key, tuple(value.shape)) for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    model = model.eval().double()
    images = torch.from_numpy(pixels("images", shape)).double() / 127.5 - 1
    side = 2 ** (levels - 1)
    grid = (shape[0], 4, shape[2] // side, shape[3] // side)
    latents = torch.from_numpy(4 * counted("latents", grid[0] * 4 * grid[2] * grid[3]) - 2).reshape(grid)
    with torch.no_grad():
        posterior = model.encode(images).latent_dist
        decoded = model.decode(latents).sample
    results[name] = {
        "mean": some(posterior.mean),
        "logVariance": some(posterior.logvar),
        "images": some(decoded),
    }
    print(name, {key: (min(values), max(values)) for key, values in results[name].items()})
reference = {
    "made by": f"diffusers {diffusers.__version__}, test/models/vae/reference.py",
    "results": results,
}
(folder / "reference.json").write_text(json.dumps(reference, indent=2) + "\n")
