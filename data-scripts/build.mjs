// npm run build: compiles src/ to dist/, whether or not something changed.
import { runMain } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { build } from './steps/build.mjs';

await runMain(async () => {
  await runSteps([{ ...build, isDone: () => false }], newContext());
  return 0;
});
