/**
 * Sampling at the size of the papers' models, one image of 1,024 tokens:
 *
 *     npx tsx test/benchmarks/paper-size.ts [--model 2-768-8-8] [--side 64] [--tolerance 1e-3]
 *
 * The weights are random, so it says what the solvers cost at that size, in time and memory, and not
 * how many iterations a trained model takes. Each solver samples twice, once to warm up and once
 * timed. Writes results/acceleration/paper-size.json, where every figure has its configuration beside
 * it. Takes about 2 GB for the weights of 2-768-8-8.
 */

import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { startEngine } from '../../src/core/engine.js';
import { writeAtomically } from '../../src/core/files.js';
import { foldIn, normal, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { mapTree, treeSize } from '../../src/core/tree.js';
import { blocksOf } from '../../src/flow/model.js';
import { tokenCount } from '../../src/flow/patches.js';
import { checkConfig, configName } from '../../src/models/tarflow/config.js';
import { createTarFlow, type TarFlow } from '../../src/models/tarflow/index.js';
import { inverse, type Solver, sampleNoise, solverText } from '../../src/sampling/index.js';
import { processorName } from '../../src/sampling/planner/machine.js';
import { dataRange, largestError } from '../../src/sampling/planner/plan-sampling.js';
import { timed } from '../../src/sampling/planner/timing.js';
import { executionOf, executionText } from '../../src/sampling/solvers/execution.js';
import { showTable } from '../../src/show/table.js';
import { resultFile } from '../../workbook/records/results-folder.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: '2-768-8-8' },
    side: { type: 'string', default: '64' },
    tolerance: { type: 'string', default: '1e-3' },
  },
});
const [patchSize, channels, blocks, layersPerBlock] = values.model.split('-').map(Number) as [
  number,
  number,
  number,
  number,
];
const side = Number(values.side);
const tolerance = Number(values.tolerance);
const seed = 1;
const threads = Number(process.env.TF_NUM_INTRAOP_THREADS ?? os.availableParallelism());

/**
 * A fresh flow with a last layer that says something: log-scales and shifts of about this spread.
 * Fresh ones are zero, and every block the identity.
 */
function randomFlow(spread: number): TarFlow {
  const config = checkConfig({
    kind: 'tarflow',
    image: { channels: 3, height: side, width: side },
    ...{ patchSize, channels, blocks, layersPerBlock },
    headWidth: 64,
    classes: 0,
    volumePreserving: false,
  });
  const fresh = createTarFlow(config, seed);
  const key = foldIn(randomKey(seed), 'last layers');
  const parameters = mapTree(fresh.parameters, (leaf, name) => {
    if (!name.endsWith('proj_out.weight')) return leaf;
    const noise = tf.tensor(normal(foldIn(key, name), leaf.size), leaf.shape);
    const moved = tf.tidy(() => tf.mul(noise, spread / Math.sqrt(channels)));
    tf.dispose([leaf, noise]);
    return moved;
  });
  return { ...fresh, parameters };
}

function gigabytes(): number {
  return process.resourceUsage().maxRSS / 2 ** 20;
}

async function main(): Promise<void> {
  const engine = await startEngine();
  const begun = performance.now();
  const flow = randomFlow(0.2);
  const noise = sampleNoise(flow, seed, 0, 1);
  const iteration = { tolerance: (tolerance * dataRange) / 4 };
  const strategies: [string, Solver][] = [
    ['sequential', { kind: 'sequential' }],
    ['Jacobi', { kind: 'jacobi', ...iteration }],
    ['GS-Jacobi', { kind: 'gaussSeidelJacobi', segments: 8, ...iteration }],
  ];
  const rows: Record<string, unknown>[] = [];
  let exact: Float32Array | undefined;
  let base = 0;
  for (const [strategy, solver] of strategies) {
    const iterations = new Array<number>(blocks).fill(0);
    const blockSeconds = new Array<number>(blocks).fill(0);
    const run = (what: string) =>
      timed(() =>
        inverse(flow, noise, {
          solver,
          onTrace: ({ block, iterations: { length }, milliseconds }) => {
            iterations[block] = length;
            blockSeconds[block] = milliseconds / 1000;
            console.error(`${strategy}, ${what}: block ${block} is solved`);
          },
        }),
      );
    // Records and compiles.
    await run('warm-up');
    const { milliseconds, values: found } = await run('timed');
    exact ??= found;
    base ||= milliseconds;
    rows.push({
      strategy,
      solver: solverText(solver),
      seconds: milliseconds / 1000,
      blockSeconds,
      speedup: base / milliseconds,
      iterations,
      error: largestError(found, exact),
      peakGigabytes: gigabytes(),
    });
  }
  showTable(
    rows.map(({ strategy, seconds, speedup, iterations, error, peakGigabytes }) => ({
      strategy: String(strategy),
      s: Number(seconds),
      'times as fast': Number(speedup),
      iterations: [...(iterations as number[])].reverse().join(' '),
      error: Number(error).toExponential(1),
      'peak GB': Number(peakGigabytes),
    })),
    { caption: `${configName(flow.config)}, ${tokenCount(flow.config)} tokens, one image` },
  );
  const outcome = {
    model: `${configName(flow.config)}, random weights`,
    configuration: flow.config,
    seed,
    tolerance,
    execution: executionText(engine.version, executionOf(blocksOf(flow))),
    parameters: treeSize(flow.parameters),
    rows,
    cost: { seconds: (performance.now() - begun) / 1000, threads },
    processor: processorName(),
    command:
      `npx tsx test/benchmarks/paper-size.ts --model ${values.model} --side ${values.side} ` +
      `--tolerance ${values.tolerance}`,
    date: new Date().toISOString(),
  };
  const file = resultFile(path.join('acceleration', 'paper-size.json'));
  await writeAtomically(file, `${JSON.stringify(outcome, null, 2)}\n`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
