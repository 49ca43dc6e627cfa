# nbgrader reads this in the folder of the course: `nbgrader generate_assignment 01-density-of-a-map`.
c = get_config()  # noqa: F821

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
