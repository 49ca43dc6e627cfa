"""Executes a notebook with nbconvert, and says on stdout when each of its code cells begins and ends.

python execute-notebook.py NOTEBOOK OUTPUT STARTUP_SECONDS KERNEL

A line is '##cell', a tab, and JSON: {"event": "begin" | "end", "cell": the cell's id, "number": from 1
among the code cells, "count": of code cells}. OUTPUT may be NOTEBOOK; it is written when all cells
have run, and only then. Cells run in OUTPUT's folder.
"""

import json
import sys
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ExecutePreprocessor

notebook_file, output_file, startup_seconds, kernel = sys.argv[1:]
notebook = nbformat.read(notebook_file, as_version=4)
# As the executor sees it: an empty cell is not executed.
code_cells = [
    cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()
]
numbers = {cell.id: number for number, cell in enumerate(code_cells, 1)}


def say(event: str):
    def hook(cell, **_):
        line = {"event": event, "cell": cell.id, "number": numbers[cell.id], "count": len(numbers)}
        print(f"##cell\t{json.dumps(line)}", flush=True)

    return hook


executor = ExecutePreprocessor(
    kernel_name=kernel,
    timeout=-1,
    startup_timeout=int(startup_seconds),
    # Wall-clock times in the file would differ at every run.
    record_timing=False,
    on_cell_execute=say("begin"),
    on_cell_executed=say("end"),
)
resources = {"metadata": {"path": str(Path(output_file).resolve().parent)}}
executor.preprocess(notebook, resources)
# The site draws a chart anew from its specification; a long one, of many numbers, stays a picture.
chart = "application/vnd.vegalite.v5+json"
for output in [output for cell in code_cells for output in cell.outputs]:
    data = output.get("data", {})
    if "image/png" in data and len(json.dumps(data.get(chart))) > 30_000:
        del data[chart]
Path(output_file).write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8")
