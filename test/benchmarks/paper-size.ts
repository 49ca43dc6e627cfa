/**
 * What a block of a published size costs, by the loop and by an evaluation of all its tokens:
 *
 *     TARFLOW_RESULTS=results npx tsx test/benchmarks/paper-size.ts [--rounds 3] [--precision bfloat16] [--batches 1,8]
 *
 * The weights are random, so it says what a step costs, and not how many iterations a trained model
 * takes. Both sides are timed in turns, after one call each that compiles. Rows that
 * results/acceleration/paper-size.json has with as many rounds stay; all take about 20 minutes on two
 * cores, and 2 GB.
 */

import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import type { Precision } from '@tarflow/graph';
import { startEngine } from '../../src/core/engine.js';
import { blocksOf } from '../../src/flow/model.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { configName } from '../../src/models/tarflow/config.js';
import { inverse, type Solver, sampleNoise } from '../../src/sampling/index.js';
import { processorName } from '../../src/sampling/planner/machine.js';
import { takeTurns } from '../../src/sampling/planner/timing.js';
import { executionOf, executionText } from '../../src/sampling/solvers/execution.js';
import { showTable } from '../../workbook/notebook/tables.js';
import { type PaperSizeRow, readRecord, writeRecord } from '../../workbook/records/record.js';
import { resultFile } from '../../workbook/records/results-folder.js';
import { randomFlow } from './random-flow.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    precision: { type: 'string', multiple: true, default: ['float32', 'bfloat16'] },
    batches: { type: 'string', default: '1,8' },
    /** One small block, to try the path. */
    tiny: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const precisions = values.precision as Precision[];
const batches = values.batches.split(',').map(Number);
const seed = 1;

/** The published models by side, patch size and channels; that of AFHQ has blocks like the first. */
const published = [
  { side: 64, patchSize: 2, channels: 768 },
  { side: 64, patchSize: 4, channels: 1024 },
  { side: 128, patchSize: 4, channels: 1024 },
];
const sizes = values.tiny ? [{ side: 8, patchSize: 4, channels: 64 }] : published;
const evaluations = 4;
const solvers: Solver[] = [
  { kind: 'sequential' },
  { kind: 'jacobi', tolerance: 0, maximum: evaluations },
];

async function measured(
  size: (typeof published)[number],
  precision: Precision,
  batch: number,
): Promise<PaperSizeRow> {
  const { side, patchSize, channels } = size;
  const flow = randomFlow(
    {
      kind: 'tarflow',
      image: { channels: 3, height: side, width: side },
      ...{ patchSize, channels, blocks: 1, layersPerBlock: 8 },
      headWidth: 64,
      classes: 0,
      volumePreserving: false,
    },
    seed,
  );
  const noise = sampleNoise(flow, seed, 0, batch);
  const runs = solvers.map((solver) => () => inverse(flow, noise, { solver, precision }));
  await takeTurns(runs, 1);
  const [loop, iterated] = (await takeTurns(runs, rounds)) as [number[], number[]];
  const row = {
    model: configName(flow.config).replace(/-1-8$/, '-8-8'),
    tokens: noise.shape[1],
    precision,
    batch,
    loopSeconds: loop.map((milliseconds) => milliseconds / 1000),
    evaluationSeconds: iterated.map((milliseconds) => milliseconds / 1000 / evaluations),
    execution: executionText('graph engine', executionOf(blocksOf(flow), { precision })),
  };
  noise.dispose();
  disposeModel(flow);
  return row;
}

async function main(): Promise<void> {
  const engine = await startEngine();
  const file = resultFile(path.join('acceleration', 'paper-size.json'));
  const before = await readRecord('paper size', file);
  const rows = (before?.rows ?? []).filter(({ loopSeconds }) => loopSeconds.length === rounds);
  for (const precision of precisions) {
    for (const size of sizes) {
      for (const batch of batches) {
        const name = `${size.patchSize}-${size.channels}-8-8`;
        const tokens = (size.side / size.patchSize) ** 2;
        const same = (row: PaperSizeRow) =>
          row.model === name && row.tokens === tokens && row.precision === precision;
        if (rows.some((row) => same(row) && row.batch === batch)) continue;
        console.error(`${name}, ${tokens} tokens, ${precision}, batch ${batch}`);
        rows.push(await measured(size, precision, batch));
        await writeRecord<'paper size'>(file, {
          rows,
          seed,
          versions: { engine: `${engine.engine} (${engine.version})`, node: process.version },
          processor: processorName(),
          cost: {
            seconds: rows
              .flatMap((row) => [...row.loopSeconds, ...row.evaluationSeconds])
              .reduce((sum, seconds) => sum + seconds, 0),
            cores: os.availableParallelism(),
          },
          command: `TARFLOW_RESULTS=results npx tsx test/benchmarks/paper-size.ts --rounds ${rounds}`,
          date: new Date().toISOString(),
        });
      }
    }
  }
  showTable(rows, { caption: 'One block of eight layers, random weights' });
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
