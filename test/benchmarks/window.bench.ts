/**
 * What a round of a sliding window takes beside a step of sequential sampling, and how many of each a
 * model needs; and what an evaluation of all tokens of a block takes beside the whole of its steps, which
 * is the count of evaluations that pays:
 *
 *     npx tsx test/benchmarks/window.bench.ts [checkpoint] [batch]
 *
 * Without a checkpoint a block of 256 channels and 4 layers on 256 tokens has random weights, which say
 * nothing of the number of rounds. The least of three times counts.
 */

import { startEngine } from '../../src/backend/engine.js';
import { tf } from '../../src/backend/tf.js';
import { givenConditions } from '../../src/conditions/given.js';
import { ability, disposeModel } from '../../src/flow/flow.js';
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

/** Milliseconds that evaluations of all tokens of the first block take, the least of twenty. */
function evaluation(
  flow: Model,
  z: tf.Tensor3D,
  label: number | undefined,
  guidance: Guidance | undefined,
  precision: 'float32' | 'bfloat16',
): number {
  const blocks = ability(flow.family, 'blocks')(flow);
  const [block] = blocks as [(typeof blocks)[number]];
  const conditions = givenConditions(flow.config, { label }, z.shape[0]);
  const guided = guidedBlock(
    block,
    z.shape[0],
    conditions,
    guidance,
    executionOf(blocks, { precision }),
  );
  const tokens = tf.slice(z, [0, 0, 0], [-1, z.shape[1] - 1, -1]);
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 25; i++) {
    const begun = performance.now();
    const { next } = guided.predict(tokens, { start: 0 });
    next.mean.dataSync();
    if (i >= 5) least = Math.min(least, performance.now() - begun);
    tf.dispose([next.mean, ...(next.logScale ? [next.logScale] : [])]);
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
        least = { seconds, rounds: traces.map(({ evaluations }) => evaluations), values };
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
    const block = (1000 * plain.seconds) / plain.rounds.length;
    for (const precision of ['float32', 'bfloat16'] as const) {
      const one = evaluation(flow, z, label, guidance, precision);
      console.log(
        `  an evaluation of all tokens in ${precision} ${one.toFixed(1)} ms, a block's steps ` +
          `${block.toFixed(0)} ms: ${(block / one).toFixed(1)} evaluations take as long`,
      );
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
