"""Loads a file of `tarflow convert --to pth-names` into the benchmark's TarFlow in PyTorch, with the buffers that the
authors' classes keep, by load_state_dict(strict=True), and prints the noise that it makes of images.

    python strict.py CHECKPOINT.safetensors IMAGES.safetensors CONFIG.json
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks" / "peers"))
from pytorch_model import TarFlow  # noqa: E402
from server import Config  # noqa: E402

checkpoint, images, config = sys.argv[1:]
shape = Config(json.loads(pathlib.Path(config).read_text()))
model = TarFlow(shape)
model.register_buffer("var", torch.zeros(shape.tokens, shape.width))
for block in model.blocks:
    block.register_buffer("attn_mask", torch.zeros(shape.tokens, shape.tokens))
model.load_state_dict(load_file(checkpoint), strict=True)
causal = torch.ones(shape.tokens, shape.tokens).tril()
assert all(torch.equal(block.attn_mask, causal) for block in model.blocks)
assert torch.equal(model.var, torch.ones_like(model.var))
z = model.patchify(load_file(images)["images"])
for block in model.blocks:
    z, _ = block(z, None)
print(json.dumps(z.flatten().tolist()))
