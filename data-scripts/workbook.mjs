// npm run workbook [-- --all] [-- --only reports/02,reports/04] [-- --update]: executes the notebooks in
// order, into reproduction/, and reports which of the committed figures came out again. The largest
// samples are drawn smaller, and their figures read, unless --all is given. With --update, which
// draws all, notebooks/ and results/ themselves are written.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { listNotebooks, notebookName } from './lib/notebooks.mjs';
import { writePages } from './lib/pages.mjs';
import { ArgumentError, runMain } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { runWorkbook } from './lib/workbook.mjs';
import { setUp } from './steps/all.mjs';
import { build } from './steps/build.mjs';

await runMain(async () => {
  const { all, only, update } = readArguments();
  const context = newContext();
  const { root, progress } = context;
  const notebooks = chooseNotebooks(path.join(root, 'notebooks'), only);
  await setUp(context, { optional: true });
  await runSteps([build], context);

  const report = path.join(root, 'reproduction', 'report.txt');
  const folder = update ? root : path.dirname(report);
  const [executed, results] = [path.join(folder, 'notebooks'), path.join(folder, 'results')];
  const status = await runWorkbook(context, {
    ...{ notebooks, executed, results, report },
    short: !all && !update,
    // What is written in place is what is committed next.
    judge: !update,
  });
  if (update && status === 0) await writePages(context);
  const look = update ? 'npm run lab' : `npm run lab -- --ServerApp.root_dir=${executed}`;
  progress.note(
    `The executed notebooks are in ${executed} (${look} shows them); their figures, tables and ` +
      `pictures in ${results}; the report is ${report}.`,
  );
  return status;
});

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        all: { type: 'boolean', default: false },
        only: { type: 'string' },
        update: { type: 'boolean', default: false },
      },
    });
    return values;
  } catch (error) {
    throw new ArgumentError(
      `${/** @type {Error} */ (error).message.replace(/\.$/, '')}`,
      'Usage: npm run workbook -- [--all] [--only reports/02,reports/04] [--update]',
    );
  }
}

/**
 * @param {string} folder
 * @param {string | undefined} only the beginnings of names, between commas
 */
function chooseNotebooks(folder, only) {
  const all = existsSync(folder) ? listNotebooks(folder) : [];
  const beginnings = only?.split(',').map((part) => part.trim()) ?? [''];
  /** @type {(notebook: string, beginning: string) => boolean} */
  const begins = (notebook, beginning) => notebookName(notebook).startsWith(beginning);
  const unknown = beginnings.find(
    (part) => (only !== undefined && part === '') || !all.some((each) => begins(each, part)),
  );
  if (unknown !== undefined) {
    const names = all.map(notebookName).join(', ');
    throw new ArgumentError(
      only === undefined
        ? `There is no notebook in ${folder}`
        : `No notebook begins with '${unknown}'`,
      names ? `There are ${names}` : 'Clone the project again',
    );
  }
  return all.filter((notebook) => beginnings.some((part) => begins(notebook, part)));
}
