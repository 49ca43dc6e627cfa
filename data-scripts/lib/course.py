"""Has nbgrader make the students' versions of units, and grade what was handed in.

python course.py release ROOT UNIT…    writes ROOT/release/UNIT/UNIT.ipynb
python course.py grade ROOT UNIT       grades ROOT/submitted/*/UNIT, writes ROOT/feedback, prints JSON

ROOT is a folder as nbgrader wants it, with nbgrader_config.py and source/. The JSON has, for each student
and each cell with points: {"score", "most", "manual": waits for a person, "message": what the cell said}.
"""

import json
import sys
from pathlib import Path

import nbformat
from nbgrader.apps import NbGraderAPI
from traitlets.config.loader import PyFileConfigLoader


def done(result):
    """nbgrader's result, if it is a success."""
    if not result["success"]:
        sys.exit(result.get("log") or result.get("error") or "nbgrader failed and said nothing")
    return result


def message(cell) -> str:
    """What a cell wrote when it failed: an error, or under plain tslab text on stderr."""
    texts = [
        f"{output.ename}: {output.evalue}" if output.output_type == "error" else output.text
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    return "\n".join(texts)


def graded(api, root: Path, unit: str, student: str) -> dict:
    file = root / "autograded" / student / unit / f"{unit}.ipynb"
    cells = nbformat.read(file, as_version=4).cells
    messages = {
        cell.metadata.nbgrader.grade_id: message(cell)
        for cell in cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
    }
    with api.gradebook as gradebook:
        grades = gradebook.find_submission_notebook(unit, unit, student).grades
        return {
            grade.name: {
                "score": grade.score,
                "most": grade.max_score,
                "manual": bool(grade.needs_manual_grade),
                "message": messages.get(grade.name, ""),
            }
            for grade in grades
        }


def main():
    command, folder, *units = sys.argv[1:]
    root = Path(folder).resolve()
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.CourseDirectory.root = str(root)
    api = NbGraderAPI(config=config)
    if command == "release":
        for unit in units:
            done(api.generate_assignment(unit))
        return
    [unit] = units
    done(api.generate_assignment(unit))
    students = sorted(path.name for path in (root / "submitted").iterdir())
    for student in students:
        done(api.autograde(unit, student))
    done(api.generate_feedback(unit))
    print(f"##grades\t{json.dumps({student: graded(api, root, unit, student) for student in students})}")


main()
