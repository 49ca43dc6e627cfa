import { stat } from 'node:fs/promises';
import { openStateOf, writeSnapshot } from '../training/saved-state.js';
import { checkTensorFile } from './arguments.js';
import { defineCommand, type Outcome } from './command.js';

/** `tarflow snapshot`: what another run needs of a run, in a small file. */
export const snapshot = defineCommand({
  name: 'snapshot',
  description: 'write what a new run can begin with: weights, running mean and step of a run',
  options: (command) =>
    command
      .argument('<run>', 'the folder of a run (tarflow train --out), which may be going on')
      .requiredOption('--out <file.safetensors>', 'where the snapshot goes'),
  help: `\
A snapshot is the last saved step of a run in bfloat16 and without AdamW's moments: a sixth of the
saved state, or a quarter where the run keeps a running mean. tarflow train --from begins with it.
The flow to sample from is the run's checkpoint.safetensors.

Examples:
  $ tarflow snapshot runs/density --out density.safetensors
  $ tarflow train --experiment fashion-mnist-density --out runs/longer --from density.safetensors`,
  run,
});

async function run(folder: string, { out }: { out: string }): Promise<Outcome> {
  await checkTensorFile(out);
  const { file, header } = await openStateOf(folder);
  await writeSnapshot(out, file, header).finally(() => file.close());
  const { step, steps } = header;
  const bytes = (await stat(out)).size;
  const behind = steps === step ? '' : `, ${steps} with those that its run went on from`;
  return {
    json: { snapshot: out, step, steps, bytes },
    text: `Step ${step}${behind}; the snapshot is ${out} (${(bytes / 1e6).toFixed(1)} MB)`,
  };
}
