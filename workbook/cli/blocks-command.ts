import * as os from 'node:os';
import * as path from 'node:path';
import { checkWritable, count, wholeNumber } from '../../src/cli/arguments.js';
import { defineCommand, type Outcome, stopwatch } from '../../src/cli/command.js';
import { startEngine } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { startProgress } from '../../src/show/progress.js';
import { tableText } from '../../src/show/table.js';
import { studyBlocks } from '../acceleration/block-study.js';
import { type BlockStudyRow, readRecord, writeRecord } from '../records/record.js';

/** The committed flows of at least four alternating blocks. */
const flows = [
  'fashion-mnist-conditional-8x2',
  'fashion-mnist-density',
  'emoji-conditional',
  'emoji-256-tokens',
  'emoji-1024-tokens',
  'design/design-base-seed-1',
  'noise/fashion-mnist-gaussian-0.1-seed-1',
  'noise/emoji-gaussian-0.1-seed-1',
  'noise/fashion-mnist-uniform-seed-1',
  'noise/emoji-uniform-seed-1',
];

interface BlocksOptions {
  samples: number;
  batch: number;
  images: number;
  data?: string;
  seed: number;
  out: string;
}

const tolerance = 5e-4;

/** `tarflow blocks`: how the blocks of flows converge. */
export const blocks = defineCommand({
  name: 'blocks',
  description: 'measure how blocks converge, and what CRM and IGM say of them',
  options: (command) =>
    command
      .argument(
        '[checkpoints...]',
        'names in results/checkpoints, or files (default: those of claims S2–S4)',
      )
      .option('--samples <n>', 'samples whose blocks are solved', count, 64)
      .option('--batch <n>', 'how many of them together', count, 16)
      .option('--images <n>', 'validation images for CRM and IGM', count, 1000)
      .option('--data <name>', 'their data set (default: what a flow was trained on)')
      .option('--seed <n>', 'of the noise', wholeNumber, 2)
      .option(
        '--out <file>',
        'the rows as JSON',
        path.join('scratch', 'acceleration', 'blocks.json'),
      ),
  help: `\
Each block is solved by Jacobi iteration from what sequential sampling gives it, from the latent and from
zeros, until no number of a sample changes by more than ${tolerance}. The table has the mean over samples, and
left out are those that sequential sampling does not solve. A file that is there is gone on with.

Examples:
  $ tarflow blocks
  $ tarflow blocks fashion-mnist-density --samples 16 --images 200
  $ tarflow blocks afhq_model_8_768_8_8_0.07.pth --data afhq:PATH --out afhq-blocks.json`,
  run,
});

async function run(checkpoints: string[], options: BlocksOptions): Promise<Outcome> {
  const { samples, batch, images, data, seed, out } = options;
  await checkWritable(out);
  const engine = await startEngine();
  const settings = { samples, batch, images, seed, tolerance };
  const before = await readRecord('blocks', out);
  if (before && JSON.stringify(before.settings) !== JSON.stringify(settings)) {
    throw new UserError(
      `${out} was measured with other settings: ${JSON.stringify(before.settings)}`,
      'Delete it, or give --out',
    );
  }
  const rows: BlockStudyRow[] = before?.rows ?? [];
  const elapsed = stopwatch();
  for (const checkpoint of checkpoints.length > 0 ? checkpoints : flows) {
    if (rows.some(({ model }) => model === checkpoint)) continue;
    const progress = startProgress({ title: checkpoint, total: 100, unit: '%' });
    try {
      const onProgress = (share: number) => progress.update(Math.round(100 * share));
      rows.push(...(await studyBlocks(checkpoint, { ...settings, data, onProgress })));
    } finally {
      progress.finish();
    }
    await writeRecord<'blocks'>(out, {
      settings,
      rows,
      command: `tarflow blocks --samples ${samples} --batch ${batch} --images ${images} --seed ${seed}`,
      cost: {
        seconds: Number(before?.cost.seconds ?? 0) + elapsed(),
        cores: os.availableParallelism(),
      },
      date: new Date().toISOString(),
      versions: { engine: `${engine.engine} (${engine.version})`, node: process.version },
    });
  }
  return { json: { out, rows }, text: `${tableText(rows.map(shown))}\n${out}` };
}

/** A row as the table shows it: iterations and CRM rounded, the rest is in the file. */
function shown({ model, block, first, latent, zeros, leftOut, crm, igm }: BlockStudyRow): object {
  return {
    model,
    block,
    'iterations from the latent': Number(latent.mean.toFixed(1)),
    'from zeros': Number(zeros.mean.toFixed(1)),
    'left out': leftOut,
    'CRM, %': Number(crm.toFixed(1)),
    'IGM says': igm.says,
    inverted: first ? 'first' : undefined,
  };
}
