// npm test [-- vitest's arguments]: set-up and build, then every check, summed up by vitest.
import path from 'node:path';
import { run } from './lib/run.mjs';
import { runMain, SetupError } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { setUp } from './steps/all.mjs';
import { build } from './steps/build.mjs';
import { nbgrader } from './steps/nbgrader.mjs';

await runMain(async () => {
  const context = newContext();
  await setUp(context, { optional: true });
  await runSteps([nbgrader], context);
  try {
    await runSteps([build], context);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    // The tests say the same, and more: the type check among them fails.
    console.error(error.message);
  }
  const { status } = await run(
    process.execPath,
    [
      path.join(context.root, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      ...process.argv.slice(2),
    ],
    { cwd: context.root, env: context.env, shown: true },
  );
  return status;
});
