// npm run workbook [-- --train] [-- --only 02]: executes the notebooks in order, in place.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { executeNotebook, listNotebooks } from './lib/notebooks.mjs';
import { formatSeconds } from './lib/progress.mjs';
import { runMain, SetupError } from './lib/setup-error.mjs';
import { runSteps } from './lib/steps.mjs';
import { newContext, setUp } from './steps/all.mjs';
import { build } from './steps/build.mjs';

await runMain(async () => {
  const { train, only } = readArguments();
  const context = newContext();
  const { root, env, progress } = context;
  const notebooks = chooseNotebooks(path.join(root, 'notebooks'), only);
  await setUp(context, { optional: true });
  await runSteps([build], context);

  for (const notebook of notebooks) {
    const name = path.relative(root, notebook);
    progress.start(name);
    const clock = setInterval(() => progress.tick(), 1000);
    const { seconds, error } = await executeNotebook(root, notebook, {
      ...env,
      ...(train ? { TARFLOW_TRAIN: '1' } : {}),
    });
    clearInterval(clock);
    if (error !== undefined) {
      progress.fail();
      console.error(`\n${name} stopped after ${formatSeconds(seconds)}; the file is as it was.`);
      console.error(error);
      return 1;
    }
    progress.finish();
  }
  progress.note(
    `\nThe executed notebooks are in ${path.join(root, 'notebooks')}; their figures, tables and ` +
      `pictures in ${path.join(root, 'results')}. To look at them: npm run lab`,
  );
  return 0;
});

function readArguments() {
  try {
    const { values } = parseArgs({
      options: { train: { type: 'boolean', default: false }, only: { type: 'string' } },
    });
    return values;
  } catch (error) {
    throw new SetupError(
      `${/** @type {Error} */ (error).message.replace(/\.$/, '')}`,
      'Usage: npm run workbook -- [--train] [--only 02]',
    );
  }
}

/**
 * @param {string} folder
 * @param {string | undefined} only the beginning of a name
 */
function chooseNotebooks(folder, only) {
  const all = existsSync(folder) ? listNotebooks(folder) : [];
  const chosen = all.filter((notebook) => path.basename(notebook).startsWith(only ?? ''));
  if (chosen.length === 0) {
    const names = all.map((notebook) => path.basename(notebook)).join(', ');
    throw new SetupError(
      only === undefined
        ? `There is no notebook in ${folder}`
        : `No notebook begins with '${only}'`,
      names ? `There are ${names}` : 'Clone the project again',
    );
  }
  return chosen;
}
