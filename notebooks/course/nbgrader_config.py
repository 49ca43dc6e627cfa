# nbgrader reads this in the folder of the course: `nbgrader generate_assignment 01-density-of-a-map`.
from nbgrader.converters.autograde import Autograde
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade

c = get_config()  # noqa: F821


class OwnCheck(NbGraderPreprocessor):
    """Checks call the library's `check`, whatever a submission calls by its name."""

    def preprocess_cell(self, cell, resources, index):
        if is_grade(cell) and cell.cell_type == "code":
            cell.source = "import { check } from 'tarflow/workbook';\n" + cell.source
        return cell, resources



c.CourseDirectory.course_id = "flows"
# Answers that the course's own test hands in, and what JupyterLab leaves.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "wrong-answers.json"]

c.ClearSolutions.code_stub = {
    "typescript": "// YOUR CODE HERE\nthrow new Error('not implemented');"
}
c.ClearSolutions.text_stub = "*Your answer here.*"

# A unit may compute for ten minutes, and a kernel may answer late on a busy machine.
c.ExecutePreprocessor.timeout = 600
c.Execute.timeout = 600
c.Execute.startup_timeout = 120
c.Execute.execute_retries = 2

# Before cells are executed, and after those of checks have been put back.
usual = Autograde.autograde_preprocessors.default_args[0]
c.Autograde.autograde_preprocessors = [OwnCheck, *usual]
