import { cacheFolder, projectRoot } from './lib/places.mjs';
import { Progress } from './lib/progress.mjs';
import { runMain } from './lib/setup-error.mjs';
import { runSteps } from './lib/steps.mjs';
import { build } from './steps/build.mjs';

await runMain(async () => {
  const context = {
    root: projectRoot,
    cache: cacheFolder(),
    env: process.env,
    progress: new Progress(),
  };
  await runSteps([{ ...build, isDone: () => false }], context);
  return 0;
});
