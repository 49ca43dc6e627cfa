/**
 * Does training with bfloat16 matrix products come out as float32's?
 *
 *     npx tsx test/benchmarks/precision.ts [--seeds 3] [--steps 1400]
 *
 * Trains the small Fashion-MNIST flow of the noise experiment with both, once for each seed: the
 * same images, noise and first parameters on both sides. Writes the curves and the held-out losses
 * to results/precision.json and draws them in results/precision.png.
 */

import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import type { Precision } from '@tarflow/graph';
import { startEngine } from '../../src/core/engine.js';
import { writeAtomically } from '../../src/core/files.js';
import { loadDataset } from '../../src/data/index.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { withOverrides } from '../../src/models/experiments.js';
import { configName, tarflow } from '../../src/models/index.js';
import { startProgress } from '../../src/show/progress.js';
import { train } from '../../src/training/train.js';
import { lineChart, sideBySide } from '../../workbook/charts/builders.js';
import { saveChart } from '../../workbook/charts/chart.js';
import { noiseExperiment } from '../../workbook/experiments/index.js';
import { showTable } from '../../workbook/notebook/tables.js';
import { resultFile } from '../../workbook/records/results-folder.js';
import { averagedRecords } from '../../workbook/records/training-run.js';
import { spreadOf } from './statistics.js';

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '3' }, steps: { type: 'string', default: '1400' } },
});
const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => i + 1);
const precisions: Precision[] = ['float32', 'bfloat16'];

interface Run {
  precision: Precision;
  seed: number;
  /** Held out, nats per dimension. */
  loss: number;
  imagesPerSecond: number;
  /** Of training, in groups of steps. */
  curve: { step: number; loss: number }[];
}

async function main(): Promise<void> {
  const engine = await startEngine();
  const begun = performance.now();
  const [data, validation] = await Promise.all([
    loadDataset('fashion-mnist', 'train'),
    loadDataset('fashion-mnist', 'test'),
  ]);
  const experiment = (seed: number, precision: Precision) =>
    withOverrides(noiseExperiment('fashion-mnist', { kind: 'gaussian', sigma: 0.1 }, seed), [
      `steps=${values.steps}`,
      `precision=${precision}`,
      'validateEvery=100000',
      'validationImages=4096',
    ]);
  const runs: Run[] = [];
  for (const seed of seeds) {
    for (const precision of precisions) {
      const { config, settings } = experiment(seed, precision);
      const progress = startProgress({
        title: `${precision}, seed ${seed}`,
        total: settings.steps,
        unit: 'steps',
      });
      const { model, records } = await train({
        family: tarflow,
        config,
        settings,
        data,
        validation,
        onStep: ({ step, loss }) => progress.update(step, { loss }),
      });
      progress.finish();
      disposeModel(model);
      const rates = records.map(({ imagesPerSecond }) => imagesPerSecond);
      runs.push({
        precision,
        seed,
        loss: records.at(-1)?.validation?.loss as number,
        imagesPerSecond: spreadOf(rates).median,
        curve: averagedRecords(records, 20).map(({ step, loss }) => ({ step, loss })),
      });
    }
  }

  const of = (precision: Precision) => runs.filter((run) => run.precision === precision);
  const mean = (numbers: number[]) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const held = of('float32').map(({ loss }) => loss);
  const differences = of('bfloat16').map(({ loss }, i) => loss - (held[i] as number));
  const spread = Math.sqrt(
    held.reduce((sum, loss) => sum + (loss - mean(held)) ** 2, 0) / (held.length - 1),
  );
  const { config, settings } = experiment(1, 'float32');
  const outcome = {
    claim: 'bfloat16 matrix products train as well as float32',
    heldOutLoss: { float32: mean(held), bfloat16: mean(of('bfloat16').map(({ loss }) => loss)) },
    /** bfloat16 − float32 of the same seed, nats per dimension. */
    differences,
    /** Standard deviation of float32's held-out loss over seeds: what a difference is to be seen in. */
    seedDeviation: spread,
    configuration: { model: configName(config), ...settings, precision: precisions, seed: seeds },
    runs,
    cost: { seconds: (performance.now() - begun) / 1000, cores: os.availableParallelism() },
    versions: { engine: `${engine.engine} (${engine.version})`, node: process.version },
    command: `npx tsx test/benchmarks/precision.ts --seeds ${seeds.length} --steps ${values.steps}`,
    date: new Date().toISOString(),
  };
  await writeAtomically(resultFile('precision.json'), `${JSON.stringify(outcome, null, 1)}\n`);
  const curves = runs.flatMap(({ precision, seed, curve }) =>
    curve.map((point) => ({ ...point, run: `${precision}, seed ${seed}`, precision, seed })),
  );
  const gaps = seeds.flatMap((seed) => {
    const [one, other] = precisions.map(
      (precision) => runs.find((run) => run.precision === precision && run.seed === seed) as Run,
    ) as [Run, Run];
    return one.curve.map(({ step, loss }, i) => ({
      step,
      seed: `seed ${seed}`,
      gap: (other.curve[i] as { loss: number }).loss - loss,
    }));
  });
  await saveChart(
    sideBySide([
      lineChart({
        title: 'Training loss in both precisions',
        subtitle: `${configName(config)} on Fashion-MNIST, means of 20 steps`,
        rows: curves.filter(({ step }) => step > 100),
        ...{ x: 'step', y: 'loss', series: 'run', xTitle: 'step', yTitle: 'nats per dimension' },
      }),
      lineChart({
        title: 'bfloat16 − float32',
        subtitle: `on the same batches; held out at the end: ${differences.map((x) => x.toFixed(4)).join(', ')}`,
        rows: gaps.filter(({ step }) => step > 100),
        ...{ x: 'step', y: 'gap', series: 'seed', xTitle: 'step', yTitle: 'nats per dimension' },
      }),
    ]),
    path.join(path.dirname(resultFile('precision.json')), 'precision.png'),
  );
  showTable(
    runs.map(({ precision, seed, loss, imagesPerSecond }) => ({
      precision,
      seed,
      'held-out loss': loss,
      'images/s': imagesPerSecond,
    })),
    { caption: `Standard deviation over seeds in float32: ${spread.toFixed(4)}` },
  );
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
