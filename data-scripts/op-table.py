"""Writes packages/graph/op-table.txt from TensorFlow's own op registry.

Run it by hand when TensorFlow or TensorFlow.js moves to another version, in a Python environment
that has the `tensorflow` or `tensorflow-cpu` wheel of the version that the set-up downloads:

    python data-scripts/op-table.py

It takes the ops that the kernels of @tensorflow/tfjs-node-gpu name, and those that this library
runs itself, and writes their signatures, ops of one signature in a line: argument names with their
types, which a captured graph needs and eager execution infers.
"""

import pathlib
import re

import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.python.framework import op_def_registry

# Ops that a graph is built with, and others that src/ runs through the backend.
OURS = """
AssignSubVariableOp AssignVariableOp BatchMatMulV2 BiasAdd BiasAddGrad Const DeepCopy
Identity MatMul ReadVariableOp ResourceApplyAdam StatefulPartitionedCall StatelessWhile
TensorStridedSliceUpdate VarHandleOp XlaDynamicUpdateSlice _MklLayerNorm
""".split()

root = pathlib.Path(__file__).resolve().parent.parent
kernels = root / "node_modules/@tensorflow/tfjs-node-gpu/dist/kernels"
named = set(OURS)
for file in kernels.glob("*.js"):
    named.update(re.findall(r"(?:tfjs_1\.|')([A-Z_]\w+)", file.read_text()))

ops = [op for op in map(op_def_registry.get, sorted(named)) if op]


def type_name(number):
    name = types_pb2.DataType.Name(number).removeprefix("DT_").lower()
    return {"float": "float32", "double": "float64", "half": "float16"}.get(name, name)


def argument(arg):
    if arg.type_list_attr:
        return f"{arg.name}: [{arg.type_list_attr}]"
    kind = arg.type_attr or type_name(arg.type)
    return f"{arg.name}: {arg.number_attr}*{kind}" if arg.number_attr else f"{arg.name}: {kind}"


def signature(op):
    inputs = ", ".join(argument(arg) for arg in op.input_arg)
    outputs = ", ".join(argument(arg) for arg in op.output_arg)
    return f"({inputs}) -> ({outputs})" + (" stateful" if op.is_stateful else "")


together = {}
for op in ops:
    together.setdefault(signature(op), []).append(op.name)
lines = []
for text, names in together.items():
    row = names[0]
    for name in names[1:]:
        if len(row) + 1 + len(name) + len(text) > 110:
            lines.append(row + text)
            row = name
        else:
            row = f"{row} {name}"
    lines.append(row + text)
(root / "packages/graph/op-table.txt").write_text("\n".join(sorted(lines)) + "\n")
print(f"{len(ops)} ops")
