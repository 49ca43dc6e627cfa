/**
 * What a round of a sliding window takes beside a step of sequential sampling, and how many of each a
 * model needs; and how many evaluations of all tokens take as long as all steps of a block:
 *
 *     npx tsx test/benchmarks/window.bench.ts [checkpoint] [batch]
 *
 * Without a checkpoint (`''` before a batch) a block of 256 channels and 4 layers on 256 tokens has random
 * weights, which say nothing of the number of rounds. Steps and rounds are of a loop compiled by XLA in
 * float32, the least of three times; evaluations are a graph each, the least of twenty, without what a
 * solver does between them.
 */

import { givenConditions } from '../../src/conditions/given.js';
import { startEngine } from '../../src/core/engine.js';
import { tf, tidy } from '../../src/core/tf.js';
import type { AutoregressiveBlock } from '../../src/flow/autoregressive.js';
import { blocksOf, disposeModel } from '../../src/flow/flow.js';
import type { Model } from '../../src/flow/model.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { createTarFlow } from '../../src/models/tarflow/index.js';
import { executionOf } from '../../src/sampling/guidance/execution.js';
import { type Guidance, guidedBlock } from '../../src/sampling/guidance/guided-block.js';
import { inverse } from '../../src/sampling/inverse.js';
import { dataRange, largestError } from '../../src/sampling/planner/plan-sampling.js';
import { sampleNoise } from '../../src/sampling/sample.js';
import type { BlockTrace } from '../../src/sampling/solvers/solve-record.js';
import type { Solver } from '../../src/sampling/solvers/solver.js';

const [checkpoint, batch = '1'] = process.argv.slice(2);

function randomModel(): Model {
  return createTarFlow(
    {
      ...{ kind: 'tarflow', image: { channels: 3, height: 32, width: 32 }, patchSize: 2 },
      ...{ channels: 256, blocks: 1, layersPerBlock: 4, headWidth: 64, classes: 10 },
      volumePreserving: false,
    },
    1,
  ) as unknown as Model;
}

/** Milliseconds of an evaluation of all tokens of a block, the least of twenty. */
function evaluation(
  flow: Model,
  block: AutoregressiveBlock,
  z: tf.Tensor3D,
  { label, guidance }: { label: number | undefined; guidance: Guidance | undefined },
  precision: 'float32' | 'bfloat16',
): number {
  const [batch, count] = z.shape;
  const conditions = givenConditions(flow.config, { label }, batch);
  const execution = executionOf([block], { precision });
  const guided = guidedBlock(block, batch, conditions, guidance, execution);
  // Of a block without a start token the last token predicts nothing.
  const tokens = tf.slice(z, [0, 0, 0], [-1, count - 1, -1]);
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 25; i++) {
    const begun = performance.now();
    const mean = tidy(() => guided.predict(tokens, { start: 0 }).next.mean);
    mean.dataSync();
    if (i >= 5) least = Math.min(least, performance.now() - begun);
    mean.dispose();
  }
  guided.dispose();
  tf.dispose([conditions, tokens]);
  return least;
}

async function main(): Promise<void> {
  await startEngine();
  const flow: Model = checkpoint ? await loadCheckpoint(checkpoint) : randomModel();
  const z = sampleNoise(flow, 5, 0, Number(batch));
  const label = flow.config.classes > 0 ? 3 : undefined;
  for (const guidance of label === undefined ? [undefined] : [undefined, { weight: 1 }]) {
    const best = async (solver: Solver) => {
      let least = {
        seconds: Number.POSITIVE_INFINITY,
        rounds: [0],
        milliseconds: [0],
        values: new Float32Array() as Float32Array,
      };
      for (let i = 0; i < 4; i++) {
        const traces: BlockTrace[] = [];
        const options = { label, ...(guidance && { guidance }), solver };
        const begun = performance.now();
        const images = await inverse(flow, z, { ...options, onTrace: (one) => traces.push(one) });
        const values = images.dataSync() as Float32Array;
        const seconds = (performance.now() - begun) / 1000;
        images.dispose();
        if (i === 0 || seconds >= least.seconds) continue;
        const rounds = traces.map(({ evaluations }) => evaluations);
        const milliseconds: number[] = [];
        for (const trace of traces) milliseconds[trace.block] = trace.milliseconds;
        least = { seconds, rounds, milliseconds, values };
      }
      return least;
    };
    const sum = (numbers: number[]) => numbers.reduce((total, one) => total + one, 0);
    const plain = await best({ kind: 'sequential' });
    const step = plain.seconds / sum(plain.rounds);
    console.log(
      `${guidance ? 'guided' : 'without guidance'}: a step ${(1000 * step).toFixed(2)} ms, ` +
        `${plain.seconds.toFixed(3)} s in all`,
    );
    for (const block of blocksOf(flow)) {
      const steps = plain.milliseconds[block.index] ?? Number.NaN;
      for (const precision of ['float32', 'bfloat16'] as const) {
        const one = evaluation(flow, block, z, { label, guidance }, precision);
        console.log(
          `  block ${block.index}: all steps ${steps.toFixed(0)} ms, an evaluation in ${precision} ` +
            `${one.toFixed(1)} ms; ${(steps / one).toFixed(1)} evaluations take as long`,
        );
      }
    }
    for (const window of [1, 4, 8, 16, 32, 64].filter((size) => size < z.shape[1])) {
      for (const tolerance of checkpoint ? [1e-2, 1e-3, 1e-4] : [0]) {
        const found = await best({ kind: 'slidingWindow', window, tolerance });
        const round = found.seconds / sum(found.rounds);
        console.log(
          `  ${window} tokens to ${tolerance}: a round ${(1000 * round).toFixed(2)} ms, ` +
            `${(round / step).toFixed(2)} steps; ${found.rounds.join(' ')} rounds, ` +
            `${(plain.seconds / found.seconds).toFixed(2)} times as fast, largest error ` +
            `${largestError(found.values, plain.values).toExponential(1)} of the range of ${dataRange}`,
        );
      }
    }
  }
  z.dispose();
  disposeModel(flow);
}

main();
