// node data-scripts/commit-run.mjs RUN NAME [--snapshot | --losses]: puts a training run into results/, under a
// name: its checkpoint and its log; with --snapshot what a later run goes on from, in place of the checkpoint;
// with --losses the loss of every step alone.
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { runMain, SetupError } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { build } from './steps/build.mjs';

await runMain(async () => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      snapshot: { type: 'boolean', default: false },
      losses: { type: 'boolean', default: false },
    },
  });
  const [run, name, ...others] = positionals;
  if (run === undefined || name === undefined || others.length > 0) {
    throw new SetupError(
      `Got ${positionals.length} arguments, expected the folder of a run and a name in results/`,
      'For example: node data-scripts/commit-run.mjs runs/density fashion-mnist-density',
    );
  }
  const context = newContext();
  await runSteps([build], context);
  /** @type {typeof import('../workbook/records/training-run.js')} */
  const { commitLosses, commitRun, commitSnapshot } = createRequire(
    path.join(context.root, 'package.json'),
  )('./dist/workbook/records/training-run.js');
  process.env.TARFLOW_RESULTS = path.join(context.root, 'results');
  const folder = path.resolve(run);
  const commit = values.snapshot ? commitSnapshot : values.losses ? commitLosses : commitRun;
  await commit(folder, name);
  const kept = values.losses
    ? `training/${name}.jsonl`
    : `${values.snapshot ? 'snapshots' : 'checkpoints'}/${name}.safetensors`;
  context.progress.note(`Put into results: ${kept}`);
  return 0;
});
