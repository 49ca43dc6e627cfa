// node data-scripts/results.mjs: writes the tables of results in README.md and results/README.md anew,
// from workbook/papers and the files of results/.
import { writePages } from './lib/pages.mjs';
import { runMain } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { build } from './steps/build.mjs';

await runMain(async () => {
  const context = newContext();
  await runSteps([build], context);
  await writePages(context);
  return 0;
});
