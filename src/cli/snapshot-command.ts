import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { openLastState, writeSnapshot } from '../training/saved-state.js';
import { checkTensorFile } from './arguments.js';

interface SnapshotOptions {
  out: string;
  json: boolean;
}

/** `tarflow snapshot`: what another run needs of a run, in a small file. */
export function addSnapshot(program: Command): void {
  program
    .command('snapshot')
    .description('write what a new run can begin with: weights, running mean and step of a run')
    .argument('<run>', 'the folder of a run (tarflow train --out), which may be going on')
    .requiredOption('--out <file.safetensors>', 'where the snapshot goes')
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
A snapshot is the last saved step of a run in bfloat16 and without AdamW's moments: a sixth of the
saved state, or a quarter where the run keeps a running mean. tarflow train --from begins with it.
The flow to sample from is the run's checkpoint.safetensors.

Examples:
  $ tarflow snapshot runs/density --out density.safetensors
  $ tarflow train --experiment fashion-mnist-density --out runs/longer --from density.safetensors`,
    )
    .action(run);
}

async function run(folder: string, { out, json }: SnapshotOptions): Promise<void> {
  await checkTensorFile(out);
  const { file, header } = await openLastState(folder);
  try {
    await writeSnapshot(out, file, header);
  } finally {
    await file.close();
  }
  const { step, steps } = header;
  const bytes = (await stat(out)).size;
  if (json) {
    console.log(JSON.stringify({ snapshot: out, step, steps, bytes }, null, 2));
  } else {
    const behind = steps === step ? '' : `, ${steps} with those that its run went on from`;
    console.log(`Step ${step}${behind}; the snapshot is ${out} (${(bytes / 1e6).toFixed(1)} MB)`);
  }
}
