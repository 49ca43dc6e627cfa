"""What papermill, nbconvert and nbclient make of a notebook: python clients.py NOTEBOOK CLIENT…

Prints for each the error that it raised and the cells that have a count afterwards.
"""

import json
import sys

import nbformat
import papermill
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert.preprocessors import ExecutePreprocessor

file, *clients = sys.argv[1:]


def execute(client, notebook):
    """Executes a notebook. Returns it, with what its cells gave, and the error that stopped it."""
    try:
        if client == "papermill":
            papermill.execute_notebook(file, file + ".out", progress_bar=False, log_output=False)
        elif client == "nbconvert":
            ExecutePreprocessor().preprocess(notebook, {})
        else:
            NotebookClient(notebook).execute()
    except CellExecutionError as error:
        return notebook, error
    except papermill.PapermillExecutionError as error:
        return nbformat.read(file + ".out", as_version=4), error


found = {}
for client in clients:
    notebook, error = execute(client, nbformat.read(file, as_version=4))
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found[client] = {
        "error": f"{error.ename}: {error.evalue}",
        "counts": [cell.get("execution_count") for cell in cells],
        "kinds": [output["output_type"] for cell in cells for output in cell.get("outputs", [])],
    }
print(json.dumps(found))
