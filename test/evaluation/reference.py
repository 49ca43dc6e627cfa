"""Writes what torch-fidelity and prdc make of two small sets of features, for distances.test.ts.

    python3 -m venv reference && reference/bin/pip install torch-fidelity==0.4.0 prdc==0.2
    reference/bin/python test/evaluation/reference.py

The features are made here once and kept beside the numbers, so that both sides see the same bits.
"""

import json
import pathlib

import numpy as np
from prdc import compute_prdc
from safetensors.numpy import save_file
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
import torch

folder = pathlib.Path(__file__).parent
random = np.random.default_rng(20)
width = 24


def features(count: int, shift: float, scale: float) -> np.ndarray:
    """Correlated features that are never negative, as those behind a ReLU."""
    mix = random.normal(size=(width, width)) / np.sqrt(width)
    drawn = scale * random.normal(size=(count, width)) @ (np.eye(width) + 0.5 * mix) + shift
    return np.maximum(drawn, 0).astype(np.float32)


real, generated = features(400, 1.0, 1.0), features(360, 1.2, 0.9)
few = features(15, 1.0, 1.0)


def fid(a: np.ndarray, b: np.ndarray) -> float:
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]
    return float(fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"])


def fid_by_singular_values(a: np.ndarray, b: np.ndarray) -> float:
    """tr (Σ₁Σ₂)^½ as the singular values of X₁X₂ᵀ, which is right for singular covariances, too."""
    centred = [(x.astype(np.float64) - x.astype(np.float64).mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    means = [x.astype(np.float64).mean(0) for x in (a, b)]
    traces = sum((x**2).sum() for x in centred)
    nuclear = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    return float(((means[0] - means[1]) ** 2).sum() + traces - 2 * nuclear)


subsets, size, seed = 10, 100, 2020
# In double precision: in float32 its own rounding is 1e-6.
kid = kid_features_to_metric(
    torch.from_numpy(real.astype(np.float64)),
    torch.from_numpy(generated.astype(np.float64)),
    kid_subsets=subsets,
    kid_subset_size=size,
    kid_kernel="poly",
    kid_kernel_poly_degree=3,
    kid_kernel_poly_gamma=None,
    kid_kernel_poly_coef0=1,
    rng_seed=seed,
    verbose=False,
)
# The subsets that it draws, drawn again.
numbers = np.random.RandomState(seed)
indices = np.array(
    [
        [numbers.choice(len(x), size, replace=False) for x in (real, generated)]
        for _ in range(subsets)
    ],
    dtype=np.int32,
)

save_file({"real": real, "generated": generated, "few": few, "subsets": indices}, folder / "features.safetensors")
reference = {
    "made by": "torch-fidelity 0.4.0, prdc 0.2, test/evaluation/reference.py",
    "frechet": fid(real, generated),
    "frechetBySingularValues": fid_by_singular_values(real, generated),
    "frechetOfFew": fid_by_singular_values(few, generated),
    "kernel": {
        "mean": float(kid["kernel_inception_distance_mean"]),
        "deviation": float(kid["kernel_inception_distance_std"]),
    },
    "neighbours3": {k: float(v) for k, v in compute_prdc(real, generated, nearest_k=3).items()},
    "neighbours5": {k: float(v) for k, v in compute_prdc(real, generated, nearest_k=5).items()},
}
(folder / "reference.json").write_text(json.dumps(reference, indent=2) + "\n")
