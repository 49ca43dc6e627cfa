import { createProgram, type Mode, type Outcome, tensorSpec } from '@tarflow/graph';
import { expect, test } from 'vitest';
import { mixtureRows } from '../../src/conditions/labels.js';
import { type Leaves, leaves, normal, randomKey, tf } from '../../src/core/index.js';
import { createTarFlow, type TarFlow, type TarFlowConfig } from '../../src/models/index.js';
import { biasCorrections } from '../../src/training/optimiser/adamw.js';
import { initialState } from '../../src/training/state.js';
import { trainingStep } from '../../src/training/step.js';
import { packedState, smallConfig, tarflowSpec, unpackedState } from './small.js';

/** A conditional flow whose output layers are not zero, so that every parameter has a gradient. */
function flow(config: TarFlowConfig): TarFlow {
  const made = createTarFlow(config, 1);
  for (const [index, block] of made.parameters.blocks.entries()) {
    const { weight } = block.proj_out;
    const values = normal(randomKey(index), weight.size).map((value) => value / 10);
    block.proj_out.weight = tf.tensor2d(values, weight.shape as [number, number]);
    weight.dispose();
  }
  return made;
}

interface Trained {
  losses: number[];
  state: Record<string, number[]>;
}

interface Training {
  batch: number;
  /** Of the batch, side by side. */
  parts: number;
  steps: number;
  times: number;
}

/** Training steps, from the same state as often as asked. */
function trained(flow: TarFlow, mode: Mode, { batch, parts, steps, times }: Training): Trained[] {
  const { config } = flow;
  const { spec, task, packing } = tarflowSpec(config, mode);
  const { channels, height, width } = config.image;
  const initial = initialState(spec, flow, false);
  const variables = packedState(packing, initial);
  const labels = Array.from({ length: batch }, (_, i) => [0, 2, -1][i % 3] as number);
  const body = trainingStep(spec, task, packing, { weightDecay: 0.1, parts });
  const scalar = tensorSpec([]);
  const program = createProgram({
    mode,
    variables,
    functions: {
      train: {
        inputs: {
          images: tensorSpec([batch, channels, height, width]),
          classes: tensorSpec([batch, config.classes]),
          learningRate: scalar,
          firstCorrection: scalar,
          secondCorrection: scalar,
        },
        body: (state, inputs): Outcome => body(state, inputs),
      },
    },
  });
  const results = Array.from({ length: times }, () => {
    program.assign(variables);
    const losses: number[] = [];
    for (let step = 1; step <= steps; step++) {
      const { first, second } = biasCorrections(step);
      const outputs = program.run.train({
        images: normal(randomKey(step), batch * channels * height * width),
        classes: mixtureRows(labels, batch, config),
        learningRate: 1e-2,
        firstCorrection: first,
        secondCorrection: second,
      });
      losses.push((outputs.loss as tf.Tensor).dataSync()[0] as number);
      tf.dispose(outputs);
    }
    const read: Leaves = program.read();
    const named = unpackedState(packing, read);
    const state = Object.fromEntries(
      Object.entries(named).map(([name, leaf]) => [name, Array.from(leaf.dataSync())]),
    );
    tf.dispose([read, named]);
    return { losses, state };
  });
  tf.dispose([initial, variables]);
  program.dispose();
  return results;
}

const largest = (values: number[]) => Math.max(...values.map(Math.abs));

test('a flow trains alike op by op, as a graph and by XLA, and to the same bits each time', () => {
  const template = flow({ ...smallConfig, image: { channels: 2, height: 4, width: 4 } });
  const small = { batch: 3, parts: 1, steps: 4, times: 1 };
  const [eager] = trained(template, 'eager', small) as [Trained];
  const moments = Object.keys(leaves(template.parameters)).map((name) => `first.${name}`);
  const scale = Math.max(...moments.map((name) => largest(eager.state[name] as number[])));
  for (const name of moments) expect(largest(eager.state[name] as number[]), name).not.toBe(0);

  for (const mode of ['graph', 'xla'] as const) {
    const twice = { ...small, parts: mode === 'xla' ? 3 : 1, times: 2 };
    const [once, again] = trained(template, mode, twice) as [Trained, Trained];
    expect(again).toEqual(once);
    for (const [step, loss] of once.losses.entries()) {
      expect(loss).toBeCloseTo(eager.losses[step] as number, 5);
    }
    // Gradients by way of their mean. Not the parameters: the gradient of the bias of the keys is
    // zero, and Adam makes whole steps of its rounding errors.
    for (const name of moments) {
      const expected = eager.state[name] as number[];
      const error = expected.map((value, i) => value - (once.state[name]?.[i] as number));
      expect(largest(error) / scale, `${mode} ${name}`).toBeLessThan(1e-4);
    }
  }
});

// Large enough that operations are divided among threads, where sums could come in any order.
test.each(['graph', 'xla'] as const)('a step of 2,048 rows gives equal bits, %s', (mode) => {
  const template = flow({
    ...smallConfig,
    image: { channels: 3, height: 16, width: 16 },
    channels: 64,
    headWidth: 32,
  });
  const step = { batch: 32, parts: 2, steps: 1, times: 2 };
  const [once, again] = trained(template, mode, step) as [Trained, Trained];
  expect(again).toEqual(once);
  expect(largest(once.state['first.blocks.0.proj_in.weight'] as number[])).not.toBe(0);
});
