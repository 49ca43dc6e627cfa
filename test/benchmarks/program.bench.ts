/**
 * A training step op by op, as a graph, compiled by XLA and with bfloat16 matrix products, in turns:
 *
 *     npx tsx test/benchmarks/program.bench.ts [rounds]
 *
 * Prints medians in milliseconds: the time that passes, and the processor time of all threads,
 * which other processes disturb less.
 */

import { createProgram, type Mode, type Precision, tensorSpec } from '@tarflow/graph';
import { startEngine } from '../../src/core/engine.js';
import { normal, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { configName, type TarFlowConfig } from '../../src/models/tarflow/config.js';
import { createTarFlow, tarflow } from '../../src/models/tarflow/index.js';
import { modelSpec, type Task } from '../../src/training/model-spec.js';
import { biasCorrections } from '../../src/training/optimiser/adamw.js';
import { initialState } from '../../src/training/state.js';
import { packingOf, trainingStep } from '../../src/training/step.js';
import { spreadOf } from './statistics.js';

const kinds: [string, Mode, Precision][] = [
  ['op by op', 'eager', 'float32'],
  ['graph', 'graph', 'float32'],
  ['XLA', 'xla', 'float32'],
  ['graph, bfloat16', 'graph', 'bfloat16'],
  ['XLA, bfloat16', 'xla', 'bfloat16'],
];

const base = {
  kind: 'tarflow',
  classes: 0,
  layersPerBlock: 1,
  blocks: 4,
  volumePreserving: false,
} as const;
const configurations: [TarFlowConfig, number][] = [
  [
    {
      ...base,
      image: { channels: 3, height: 32, width: 32 },
      patchSize: 4,
      channels: 256,
      headWidth: 64,
    },
    32,
  ],
  [
    {
      ...base,
      image: { channels: 3, height: 8, width: 8 },
      patchSize: 2,
      channels: 64,
      headWidth: 64,
    },
    8,
  ],
];

function program(config: TarFlowConfig, batch: number, mode: Mode, precision: Precision) {
  const flow = createTarFlow(config, 1);
  const { channels, height, width } = config.image;
  const scalar = tensorSpec([]);
  const spec = modelSpec(tarflow, config);
  const [task] = spec.tasks as [Task];
  const variables = initialState(spec, flow, false);
  const made = createProgram({
    variables,
    functions: {
      train: {
        inputs: {
          images: tensorSpec([batch, channels, height, width]),
          learningRate: scalar,
          firstCorrection: scalar,
          secondCorrection: scalar,
        },
        body: trainingStep(spec, task, packingOf(spec, 'graph'), { parts: 1 }),
      },
    },
    mode,
    precision,
  });
  tf.dispose(variables);
  return made;
}

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? 20);
  console.log((await startEngine({ engine: 'tensorflow' })).version);
  for (const [config, batch] of configurations) {
    const size = batch * config.image.channels * config.image.height * config.image.width;
    console.log(
      `\n${configName(config)}, batch ${batch}`.padEnd(26),
      '    time processor first call',
    );
    const runs = kinds.map(([name, mode, precision]) => ({
      name,
      program: program(config, batch, mode, precision),
      time: [] as number[],
      processor: [] as number[],
    }));
    // The first round compiles.
    for (let round = 0; round <= rounds; round++) {
      const images = normal(randomKey(round), size);
      const { first, second } = biasCorrections(round + 1);
      for (const { program, time, processor } of runs) {
        const [begun, used] = [performance.now(), process.cpuUsage()];
        const outputs = program.run.train({
          images,
          learningRate: 1e-4,
          firstCorrection: first,
          secondCorrection: second,
        });
        const { user, system } = process.cpuUsage(used);
        time.push(performance.now() - begun);
        processor.push((user + system) / 1000);
        tf.dispose(outputs);
      }
    }
    for (const { name, program, time, processor } of runs) {
      const later = [time, processor].map((values) =>
        spreadOf(values.slice(1)).median.toFixed(1).padStart(8),
      );
      console.log(name.padEnd(24), ...later, (time[0] as number).toFixed(0).padStart(10));
      program.dispose();
    }
  }
}

main();
