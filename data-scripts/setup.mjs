// npm run setup: everything that the project needs on this machine, then the build.
import { runMain } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { setUp } from './steps/all.mjs';
import { build } from './steps/build.mjs';

await runMain(async () => {
  const context = newContext();
  await setUp(context);
  await runSteps([build], context);
  context.progress.note('Set-up is complete.');
  return 0;
});
