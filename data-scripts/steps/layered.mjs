import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { venvProgram } from '../lib/places.mjs';
import { runOrThrow } from '../lib/run.mjs';
import { installRequirements, requirementsKey } from './jupyter.mjs';

/**
 * A Python environment that sees what `.venv` has, and adds some packages: what they bring to JupyterLab
 * stays with those who need it.
 *
 * @param {object} what
 * @param {string} what.title
 * @param {string} what.folder of the environment, in the clone
 * @param {string} what.name of the file of requirements, without its ending
 * @returns {import('../lib/steps.mjs').Step}
 */
export function layeredEnvironment({ title, folder: place, name }) {
  const stampFile = (/** @type {string} */ root) => path.join(root, place, 'made-for');
  // The place is part of it: an environment that was moved does not work.
  const keyOf = (/** @type {string} */ root) =>
    [root, requirementsKey(root, 'jupyter'), requirementsKey(root, name)].join('\n');
  return {
    title,

    isDone({ root }) {
      const stamp = stampFile(root);
      return existsSync(stamp) && readFileSync(stamp, 'utf8') === keyOf(root);
    },

    async run(context) {
      const { root, env } = context;
      const purpose = `The installation of ${title}`;
      const folder = path.join(root, place);
      rmSync(folder, { recursive: true, force: true });
      const base = venvProgram(root, 'python');
      await runOrThrow(purpose, base, ['-m', 'venv', '--without-pip', folder], { env });
      const python = venvProgram(root, 'python', place);
      const [ours = '', theirs = ''] = await Promise.all(
        [python, base].map((program) =>
          runOrThrow(purpose, program, ['-c', sitePackages], { env }),
        ),
      );
      // Kernels and templates are looked for there, too, whatever starts this Python.
      const shared = JSON.stringify(path.join(root, '.venv', 'share', 'jupyter'));
      const found = `import os; os.environ.setdefault("JUPYTER_PATH", ${shared})`;
      writeFileSync(path.join(ours, 'jupyter.pth'), `${theirs}\n${found}\n`);
      await installRequirements(context, { name, purpose, python, options: ['--no-deps'] });
      writeFileSync(stampFile(root), keyOf(root));
    },
  };
}

const sitePackages = 'import sysconfig; print(sysconfig.get_path("purelib"), end="")';
