"""Trains zuko's masked autoregressive flow as `design-likelihood-maf` is trained (the same data, noise,
spread background, size, steps, batch, optimiser and schedule), and writes the bits per dimension of the
validation and test images to results/zuko-maf.json.

    python3 -m venv peer && peer/bin/pip install torch zuko==1.6.0
    peer/bin/python test/models/maf/reference.py FOLDER_OF_FASHION_MNIST

The folder holds the four .gz files, for example ~/.cache/tarflow/data/fashion-mnist. It takes about a
quarter of an hour on two cores.
"""

import gzip
import json
import math
import pathlib
import sys
import time

import numpy
import torch
import zuko

steps = int(sys.argv[2]) if len(sys.argv) > 2 else 7300
batch, peak, warmup, floor = 128, 1e-3, 300, 1e-6
dimensions = 28 * 28
torch.manual_seed(1)


def images(name: str) -> torch.Tensor:
    with gzip.open(pathlib.Path(sys.argv[1]) / name) as file:
        pixels = numpy.frombuffer(file.read(), numpy.uint8, offset=16)
    return torch.from_numpy(pixels.reshape(-1, dimensions).copy())


def labels(name: str) -> numpy.ndarray:
    with gzip.open(pathlib.Path(sys.argv[1]) / name) as file:
        return numpy.frombuffer(file.read(), numpy.uint8, offset=8)


# The last 500 of each class of the official training set are the validation split.
official, classes = images("train-images-idx3-ubyte.gz"), labels("train-labels-idx1-ubyte.gz")
held = numpy.sort(numpy.concatenate([numpy.flatnonzero(classes == c)[-500:] for c in range(10)]))
rest = numpy.setdiff1d(numpy.arange(len(official)), held)
train, validation = official[rest], official[held]
test = images("t10k-images-idx3-ubyte.gz")

deviation, cut, greys = 0.4, 2.5, 128
kept = 0.5 * (1 + math.erf(cut / math.sqrt(2)))
edge = 1 / greys - 1


def noisy(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Images with uniform noise, the background spread (src/flow/background.ts), and its log-determinant."""
    noise = torch.rand(pixels.shape)
    plain = (pixels + noise) / greys - 1
    # The quantile in double precision: single precision has no numbers next to its ends.
    share = noise.double().clamp_min(2.0**-18) * kept
    normal = (math.sqrt(2) * torch.erfinv(2 * share - 1)).float()
    black = pixels == 0
    spread = torch.where(black, (normal - cut) * deviation + edge, plain)
    slope = math.log(greys * deviation * kept * math.sqrt(2 * math.pi)) + normal**2 / 2
    return spread, torch.where(black, slope, torch.zeros(())).sum(1)


# Each number with mean 0 and variance 1, as our first block begins.
first, _ = noisy(train[:4096])
centre, width = first.mean(0), first.std(0)
constant = -width.log().sum()

flow = zuko.flows.MAF(dimensions, transforms=5, hidden_features=(1024,))
optimiser = torch.optim.AdamW(flow.parameters(), lr=peak, weight_decay=1e-4)


def rate(step: int) -> float:
    if step < warmup:
        return floor + step / warmup * (peak - floor)
    done = (step - warmup) / (steps - warmup)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * done))


def loss_of(pixels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each image, in nats."""
    spread, log_determinant = noisy(pixels)
    return -flow().log_prob((spread - centre) / width) - constant - log_determinant


def bits(pixels: torch.Tensor) -> dict[str, float]:
    with torch.no_grad():
        nats = torch.cat([loss_of(part) for part in pixels.split(500)])
    each = nats / dimensions / math.log(2) + 7
    return {
        "mean": each.mean().item(),
        "standardError": each.std().item() / math.sqrt(len(each)),
        "median": each.median().item(),
        "above 8": (each > 8).sum().item(),
    }


begun, order, at = time.time(), torch.randperm(len(train)), 0
history = []
for step in range(steps):
    if at + batch > len(train):
        order, at = torch.randperm(len(train)), 0
    for group in optimiser.param_groups:
        group["lr"] = rate(step)
    loss = loss_of(train[order[at : at + batch]]).mean() / dimensions
    at += batch
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
    optimiser.step()
    if (step + 1) % 500 == 0 or step + 1 == steps:
        history.append({"step": step + 1, **bits(validation)})
        print(history[-1], f"{time.time() - begun:.0f} s", flush=True)

result = {
    "versions": {"zuko": zuko.__version__, "torch": torch.__version__},
    "parameters": sum(parameter.numel() for parameter in flow.parameters()),
    "steps": steps,
    "batch": batch,
    "seconds": round(time.time() - begun),
    "validation": history,
    "test": bits(test),
}
file = pathlib.Path(__file__).parents[3] / "results" / "zuko-maf.json"
file.write_text(json.dumps(result, indent=2) + "\n")
print(result)
