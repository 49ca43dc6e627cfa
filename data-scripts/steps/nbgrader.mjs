import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { venvProgram } from '../lib/places.mjs';
import { runOrThrow } from '../lib/run.mjs';
import { installRequirements, requirementsKey } from './jupyter.mjs';

/** The Python environment of the course's commands. It sees what `.venv` has, and adds nbgrader. */
export const courseEnvironment = '.venv-course';

/**
 * nbgrader, apart from `.venv`: what it brings to JupyterLab stays with teachers.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const nbgrader = {
  title: 'nbgrader',

  isDone({ root }) {
    const stamp = stampFile(root);
    return existsSync(stamp) && readFileSync(stamp, 'utf8') === keyOf(root);
  },

  async run(context) {
    const { root, env } = context;
    const purpose = 'The installation of nbgrader';
    const folder = path.join(root, courseEnvironment);
    rmSync(folder, { recursive: true, force: true });
    const base = venvProgram(root, 'python');
    await runOrThrow(purpose, base, ['-m', 'venv', '--without-pip', folder], { env });
    const python = venvProgram(root, 'python', courseEnvironment);
    const [ours = '', theirs = ''] = await Promise.all(
      [python, base].map((program) => runOrThrow(purpose, program, ['-c', sitePackages], { env })),
    );
    // Kernels and templates are looked for there, too, whatever starts this Python.
    const shared = JSON.stringify(path.join(root, '.venv', 'share', 'jupyter'));
    const found = `import os; os.environ.setdefault("JUPYTER_PATH", ${shared})`;
    writeFileSync(path.join(ours, 'jupyter.pth'), `${theirs}\n${found}\n`);
    const options = ['--no-deps'];
    await installRequirements(context, { name: 'course', purpose, python, options });
    writeFileSync(stampFile(root), keyOf(root));
  },
};

const sitePackages = 'import sysconfig; print(sysconfig.get_path("purelib"), end="")';

/**
 * The place is part of it: an environment that was moved does not work.
 *
 * @param {string} root
 */
function keyOf(root) {
  return [root, requirementsKey(root, 'jupyter'), requirementsKey(root, 'course')].join('\n');
}

/** @param {string} root */
function stampFile(root) {
  return path.join(root, courseEnvironment, 'made-for');
}
