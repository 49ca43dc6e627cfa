import { layeredEnvironment } from './layered.mjs';

/** The Python environment of the course's commands. */
export const courseEnvironment = '.venv-course';

/** What makes and grades the students' versions of the course. */
export const nbgrader = layeredEnvironment({
  title: 'nbgrader',
  folder: courseEnvironment,
  name: 'course',
});
