"""Writes the features that torch-fidelity computes in double precision with weights and images that
both sides make by one formula, for inception-v3.test.ts.

    python3 -m venv reference && reference/bin/pip install torch-fidelity==0.4.0
    reference/bin/python test/pretrained/reference_inception_v3.py
"""

import json
import pathlib
import tempfile

import torch
from counted_weights import filled, pixels, rounded
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

# It takes its weights from a file alone, so an empty one makes the network.
load_state_dict = FeatureExtractorInceptionV3.load_state_dict
FeatureExtractorInceptionV3.load_state_dict = lambda self, state: None
with tempfile.NamedTemporaryFile(suffix=".pth") as file:
    torch.save({}, file.name)
    network = FeatureExtractorInceptionV3(
        "inception-v3-compat",
        ["2048"],
        feature_extractor_weights_path=file.name,
        feature_extractor_internal_dtype="float64",
    )
FeatureExtractorInceptionV3.load_state_dict = load_state_dict
weights = {
    name: filled(name, tuple(tensor.shape)) if tensor.dim() > 0 else tensor
    for name, tensor in network.state_dict().items()
}
network.load_state_dict(weights)

features = {}
for name, shape in {"small": (2, 3, 64, 48), "large": (1, 3, 310, 340), "equal": (1, 3, 299, 299)}.items():
    (seen,) = network(torch.from_numpy(pixels(name, shape)))
    features[name] = [rounded(row[::16]) for row in seen]
    print(name, seen.mean().item(), seen.std().item(), (seen > 0).double().mean().item())
reference = {
    "made by": "torch-fidelity 0.4.0, test/pretrained/reference_inception_v3.py",
    "shapes": {name: list(tensor.shape) for name, tensor in weights.items() if tensor.dim() > 0},
    "features": features,
}
folder = pathlib.Path(__file__).parent
(folder / "inception-v3.json").write_text(json.dumps(reference, indent=2) + "\n")
