"""What papermill, nbconvert and nbclient make of a notebook: python clients.py NOTEBOOK

Prints for each the error that it raised and the cells that have a count afterwards.
"""

import json
import sys

import nbformat
import papermill
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert.preprocessors import ExecutePreprocessor

file = sys.argv[1]
found = {}


def note(name, error, cells):
    counts = [cell.get("execution_count") for cell in cells if cell.cell_type == "code"]
    kinds = [output["output_type"] for cell in cells for output in cell.get("outputs", [])]
    found[name] = {"error": error, "counts": counts, "kinds": kinds}


try:
    papermill.execute_notebook(file, file + ".out", progress_bar=False, log_output=False)
except papermill.PapermillExecutionError as error:
    cells = [cell for cell in nbformat.read(file + ".out", as_version=4).cells if cell.cell_type == "code"]
    note("papermill", f"{error.ename}: {error.evalue}", cells)

for name, make in {
    "nbconvert": lambda notebook: ExecutePreprocessor().preprocess(notebook, {}),
    "nbclient": lambda notebook: NotebookClient(notebook).execute(),
}.items():
    notebook = nbformat.read(file, as_version=4)
    try:
        make(notebook)
    except CellExecutionError as error:
        note(name, f"{error.ename}: {error.evalue}", notebook.cells)

print(json.dumps(found))
