"""Writes the features that PyTorch computes with weights and images that both sides make by one formula,
for efficientnet-lite0.test.ts.

    python3 -m venv reference && reference/bin/pip install torch efficientnet-lite-pytorch==0.1.0
    reference/bin/python test/pretrained/reference.py
"""

import json
import pathlib

import numpy as np
import torch
from counted_weights import counted, filled
from efficientnet_lite_pytorch import EfficientNet

network = EfficientNet.from_name("efficientnet-lite0").eval()
with torch.no_grad():
    for name, tensor in network.state_dict().items():
        if tensor.dim() > 0 and not name.startswith("_fc"):
            tensor.copy_(filled(name, tuple(tensor.shape)))
    pixels = np.floor(256 * counted("images", 2 * 3 * 224 * 224)).reshape(2, 3, 224, 224)
    seen = torch.from_numpy(((pixels - 127) / 128).astype(np.float32))
    features = network.extract_features(seen).mean((2, 3)).double().numpy()
folder = pathlib.Path(__file__).parent
reference = {
    "made by": "efficientnet-lite-pytorch 0.1.0, test/pretrained/reference.py",
    "features": [[float(f"{value:.7g}") for value in row[::20]] for row in features],
}
(folder / "efficientnet-lite0.json").write_text(json.dumps(reference, indent=2) + "\n")
print(features.mean(), features.std(), (features > 0).mean())
