"""Writes the files that pth.test.ts reads, by PyTorch: python test/formats/pth/make.py"""

import pathlib

import torch

folder = pathlib.Path(__file__).parent
base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
model = torch.nn.Linear(3, 2)
with torch.no_grad():
    model.weight.copy_(torch.arange(6).reshape(2, 3) / 4)
    model.bias.copy_(torch.tensor([-1.0, 2.0]))
state = {
    "whole": base,
    "rows": base[1:3],
    "columns": base[:, 2:4],
    "transposed": base.t(),
    "repeated": base[:1].expand(3, 6),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "half": base[0].half(),
    "bfloat16": base[0].bfloat16(),
    "double": base[0].double() / 3,
    "long": torch.tensor([1, -(2**40)]),
    "int": torch.tensor([-5, 7], dtype=torch.int32),
    "byte": torch.tensor([0, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "inner": model.state_dict(),
    "epoch": 3,
    "name": "no tensor",
}
torch.save(state, folder / "many.pth")
torch.save(state, folder / "many-before-1.6.pth", _use_new_zipfile_serialization=False)
torch.save(model, folder / "whole-module.pth")
torch.save({"complex": torch.zeros(2, dtype=torch.complex64)}, folder / "complex.pth")
