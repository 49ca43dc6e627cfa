"""Writes the files that mat.test.ts reads, by SciPy, in the form of the list of classes of ImageNet's
development kit:

    python3 -m venv made && made/bin/pip install scipy
    made/bin/python test/formats/mat/make.py
"""

import pathlib

import numpy as np
from scipy.io import savemat

folder = pathlib.Path(__file__).parent
fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("children", object)]
synsets = np.zeros((4, 1), dtype=fields)
for i, (number, wnid) in enumerate(
    [(1, "n02119789"), (2, "n01440764"), (3, "n02100735"), (1001, "n00000002")]
):
    synsets[i, 0] = (float(number), wnid, f"class {number}, of few words", np.array([[7, 8]], np.int32))
values = {
    "synsets": synsets,
    "numbers": np.array([[1.5, -2.0], [3.0, 1e300]]),
    "bytes": np.array([[1, 255]], np.uint8),
    "shorts": np.array([[-3, 300]], np.int16),
    "single": np.array([[0.5]], np.float32),
    "long": np.array([[2**40]], np.int64),
    "cells": np.array([["a text", np.array([[4.0]])]], dtype=object),
    "empty": np.zeros((0, 0)),
}
savemat(folder / "compressed.mat", values, do_compression=True)
savemat(folder / "plain.mat", values, do_compression=False)
savemat(folder / "version-4.mat", {"numbers": values["numbers"]}, format="4")
savemat(folder / "complex.mat", {"numbers": np.array([[1 + 2j]])})
