import { createProgram, tensorSpec } from '@tarflow/graph';
import { expect, test } from 'vitest';
import { type Leaves, normal, randomKey, tf } from '../../../src/core/index.js';
import { adamWUpdate } from '../../../src/training/optimiser/adamw.js';

const numbers = (seed: number, ...shape: number[]) =>
  tf.tensor(normal(randomKey(seed), tf.util.sizeFromShape(shape)), shape);

const variable = (variables: Leaves, name: string) => variables[name] as tf.Tensor;

/** The numbers of tensors that a program returned, which are freed. */
function taken(tensors: Record<string, tf.Tensor>): Record<string, number[]> {
  const read = Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, Array.from(tensor.dataSync())]),
  );
  tf.dispose(tensors);
  return read;
}

function expectClose(actual: number[] | undefined, expected: number[]) {
  expect(actual?.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) {
    expect(Math.abs((actual?.[i] as number) - value)).toBeLessThan(3e-6 * Math.max(1, value));
  }
}

test.each(['eager', 'graph', 'xla'] as const)(
  'AdamW updates are as published, in mode %s',
  (mode) => {
    const options = { beta1: 0.8, beta2: 0.9, epsilon: 1e-2, weightDecay: 0.1 };
    const [start, target] = [numbers(2, 3, 2), numbers(3, 3, 2)];
    const zeros = tf.zerosLike(start);
    const program = createProgram({
      mode,
      variables: { w: start, first: zeros, second: zeros, average: start },
      functions: {
        train: {
          inputs: { rate: tensorSpec([]), c1: tensorSpec([]), c2: tensorSpec([]) },
          body: (variables, { rate, c1, c2 }) => {
            const w = variable(variables, 'w');
            const f = (x: tf.Tensor) => tf.sum(tf.squaredDifference(x, target)) as tf.Scalar;
            const { value, grad } = tf.valueAndGrad(f)(w);
            const moments = {
              first: { w: variable(variables, 'first') },
              second: { w: variable(variables, 'second') },
            };
            const corrections = { first: c1 as tf.Scalar, second: c2 as tf.Scalar };
            const next = adamWUpdate(
              { w },
              { w: grad },
              moments,
              rate as tf.Scalar,
              corrections,
              options,
            );
            const moved = next.parameters.w as tf.Tensor;
            const average = tf.add(tf.mul(variable(variables, 'average'), 0.9), tf.mul(moved, 0.1));
            return {
              // What is read of a variable is its old value, what the update gave is the new one.
              outputs: { value, old: tf.mul(w, 1), moved: tf.mul(moved, 1) },
              updates: {
                w: moved,
                first: next.first.w as tf.Tensor,
                second: next.second.w as tf.Tensor,
                average,
              },
            };
          },
        },
      },
    });

    // Algorithm 2 of Loshchilov and Hutter (2019), in double precision.
    const [w, goal] = [Array.from(start.dataSync()), Array.from(target.dataSync())];
    const [m, v, average] = [w.map(() => 0), w.map(() => 0), [...w]];
    for (let t = 1; t <= 5; t++) {
      const rate = 0.1 / t;
      const old = [...w];
      const [c1, c2] = [1 - options.beta1 ** t, 1 - options.beta2 ** t];
      const result = taken(program.run.train({ rate, c1, c2 }));
      for (const [i, before] of old.entries()) {
        const g = 2 * (before - (goal[i] as number));
        m[i] = options.beta1 * (m[i] as number) + (1 - options.beta1) * g;
        v[i] = options.beta2 * (v[i] as number) + (1 - options.beta2) * g * g;
        const move = (m[i] as number) / c1 / (Math.sqrt((v[i] as number) / c2) + options.epsilon);
        w[i] = before - rate * (move + options.weightDecay * before);
        average[i] = 0.9 * (average[i] as number) + 0.1 * (w[i] as number);
      }
      expectClose(result.old, old);
      expectClose(result.moved, w);
    }
    const state = taken(program.read());
    expectClose(state.w, w);
    expectClose(state.first, m);
    expectClose(state.second, v);
    expectClose(state.average, average);
  },
);
