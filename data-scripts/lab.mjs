// npm run lab: JupyterLab in notebooks/, with the kernel ready and START.md open. Further arguments go to
// JupyterLab.
import path from 'node:path';
import { labOptions } from './lib/lab.mjs';
import { venvProgram } from './lib/places.mjs';
import { run } from './lib/run.mjs';
import { runMain } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { setUp } from './steps/all.mjs';
import { build } from './steps/build.mjs';

await runMain(async () => {
  const context = newContext();
  await setUp(context);
  await runSteps([build], context);
  // Ctrl-C is JupyterLab's: it asks whether to stop.
  process.on('SIGINT', () => {});
  const asRoot = process.getuid?.() === 0 ? ['--allow-root'] : [];
  const { status } = await run(
    venvProgram(context.root, 'python'),
    ['-m', 'jupyterlab', ...asRoot, ...labOptions(context.root, process.argv.slice(2))],
    { cwd: path.join(context.root, 'notebooks'), env: context.env, shown: true },
  );
  return status;
});
