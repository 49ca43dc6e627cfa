/**
 * What a round of a sliding window takes beside a step of sequential sampling, and how many of each a
 * model needs:
 *
 *     npx tsx test/benchmarks/window.bench.ts [checkpoint] [batch]
 *
 * Without a checkpoint a block of 256 channels and 4 layers on 256 tokens has random weights, which say
 * nothing of the number of rounds. The least of three times counts.
 */

import { startEngine } from '../../src/backend/engine.js';
import { disposeModel } from '../../src/flow/flow.js';
import type { Model } from '../../src/flow/model.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { createTarFlow } from '../../src/models/tarflow/index.js';
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
