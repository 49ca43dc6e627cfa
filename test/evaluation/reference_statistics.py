"""Writes statistics as the published code of TarFlow keeps them, and the distance that torchmetrics
computes from them, for statistics-file.test.ts.

    python3 -m venv reference && reference/bin/pip install torchmetrics==1.9.0 torch
    reference/bin/python test/evaluation/reference_statistics.py
"""

import json
import pathlib

import torch
from torchmetrics.image.fid import FrechetInceptionDistance


class Flat(torch.nn.Module):
    """A network whose features are the pixels."""

    num_features = 6

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


class KeptDistance(FrechetInceptionDistance):
    """Its sums are buffers, so that they are in the state dict."""

    def add_state(self, name, default, *args, **kwargs):
        self.register_buffer(name, default)


folder = pathlib.Path(__file__).parent
generator = torch.Generator().manual_seed(5)
mix = torch.randn(6, 6, generator=generator)
real = torch.randn(50, 6, generator=generator) @ mix + 3
fake = 0.8 * torch.randn(40, 6, generator=generator) + 2.5
distance = KeptDistance(feature=Flat(), reset_real_features=False)
distance.update(real.reshape(50, 1, 2, 3), real=True)
torch.save(distance.state_dict(), folder / "fid_stats.pth")
distance.update(fake.reshape(40, 1, 2, 3), real=False)
reference = {
    "made by": "torchmetrics, test/evaluation/reference_statistics.py",
    "distance": distance.compute().item(),
    "count": 50,
    "mean": real.double().mean(0).tolist(),
    "covariance": torch.cov(real.double().T).flatten().tolist(),
    "fake": fake.flatten().tolist(),
}
(folder / "fid_stats.json").write_text(json.dumps(reference, indent=2) + "\n")
mean, covariance = real.double().mean(0), torch.cov(real.double().T)
torch.save({"mu": mean, "sigma": covariance}, folder / "moments.pth")
