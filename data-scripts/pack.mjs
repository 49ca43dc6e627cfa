// npm run pack [-- FOLDER]: the library, graph and kernel of a built clone as tarballs, for npm install.
import path from 'node:path';
import { packPackages } from './lib/pack.mjs';
import { runMain } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { build } from './steps/build.mjs';

await runMain(async () => {
  const context = newContext();
  await runSteps([build], context);
  const files = await packPackages(context, path.resolve(process.argv[2] ?? '.'));
  for (const file of files) context.progress.note(file);
  return 0;
});
