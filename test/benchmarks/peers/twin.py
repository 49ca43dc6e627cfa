"""Runs the Python of docs/from-scratch-pytorch.md on what twin.ts has computed with the library.

python twin.py PAGE CHECKPOINT REFERENCE

Writes a line of JSON: for each tensor the largest difference and the largest number of the library's.
"""

import json
import math
import re
import sys

import torch
from safetensors.torch import load_file

page, checkpoint, reference_file = sys.argv[1:]
names: dict = {}
for code in re.findall(r"```python\n(.*?)```", open(page, encoding="utf-8").read(), re.S):
    exec(code, names)

state = {name: tensor.float() for name, tensor in load_file(checkpoint).items()}
weights = {name: tensor for name, tensor in state.items() if name.startswith("blocks.")}
shape = {"patch": 4, "blocks": 8, "layers": 2, "heads": 2}
model = {**shape, "w": lambda name: weights[name]}
reference = load_file(reference_file)
x, y, noise = (reference[name] for name in ("x", "y", "noise"))

z, log_det = names["flow"](model, names["patchify"](x, 4), y)
ours = {
    "z": z,
    "log-determinant": log_det,
    "bits per dimension": names["bits_per_dimension"](model, x, y),
    "sample": names["invert"](model, noise, y),
    "guided sample": names["invert"](model, noise, y, 1.5),
    "denoised image": names["denoised"](model, x, y),
}
differences = {
    name: [(value - reference[name]).abs().max().item(), reference[name].abs().max().item()]
    for name, value in ours.items()
}

# Training: the page's loop beside PyTorch's own optimiser, three steps on the same batch.
parameters = [tensor.clone().requires_grad_() for tensor in weights.values()]
optimiser = torch.optim.AdamW(parameters, betas=(0.9, 0.95), weight_decay=1e-4)
own = dict(zip(weights, parameters))
batches = [(x, y)] * 3
for t in range(1, 4):
    rate = 1e-3 * min(1, t / 2) * 0.5 * (1 + math.cos(math.pi * t / 3))
    optimiser.param_groups[0]["lr"] = rate
    optimiser.zero_grad()
    names["loss"]({**shape, "w": lambda name: own[name]}, x, y).backward()
    optimiser.step()
trained = {name: tensor.clone() for name, tensor in weights.items()}
names["train"]({**shape, "w": lambda name: trained[name]}, trained, batches, peak=1e-3, warmup=2)
pairs = [(trained[name], tensor.detach()) for name, tensor in zip(weights, parameters)]
differences["weights after three steps, beside torch.optim.AdamW"] = [
    max((one - other).abs().max().item() for one, other in pairs),
    max(other.abs().max().item() for _, other in pairs),
]
print(json.dumps({"torch": torch.__version__, "differences": differences}))
