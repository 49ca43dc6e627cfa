import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  callCompiled,
  createProgram,
  disposeCompiled,
  inParts,
  type Leaves,
  type Mode,
  repeat,
  tensorSpec,
  withSlice,
} from '../src/index.js';
import { tf } from '../src/tf.js';
import { living, startEngine } from './engine.js';

const modes: Mode[] = ['eager', 'graph', 'xla'];

beforeAll(async () => {
  await startEngine('tensorflow');
});

let before: number[];
beforeEach(() => {
  disposeCompiled();
  before = living();
});
afterEach(() => {
  disposeCompiled();
  expect(living()).toEqual(before);
});

describe.each(modes)('a loop, %s', (mode) => {
  /** Runs a loop in a program of its own. */
  function run(
    inputs: Record<string, tf.Tensor>,
    body: (inputs: Record<string, tf.Tensor>) => Record<string, tf.Tensor>,
    ...also: unknown[]
  ): Record<string, tf.Tensor> {
    return callCompiled({
      ...{ name: 'loop', description: [String(body), ...also], parameters: {}, inputs, mode },
      body: (_, given) => body(given),
    });
  }

  test('hands on what it carries, and knows its round', () => {
    const inputs = { x: tf.tensor1d([1, 2]) };
    const { sum, last } = run(inputs, ({ x }) => {
      const [sum, last] = repeat(2, 5, [tf.zerosLike(x!), tf.scalar(0, 'int32')], (t, [s]) => [
        tf.add(s!, tf.mul(x!, tf.cast(t, 'float32'))),
        t.clone(),
      ]);
      return { sum: sum!, last: last! };
    });
    expect([...sum!.dataSync()]).toEqual([9, 18]);
    expect([...last!.dataSync()]).toEqual([4]);
    tf.dispose([inputs, { sum, last }]);
  });

  test('of no rounds gives what it got', () => {
    const inputs = { x: tf.tensor1d([1, 2]) };
    const { y } = run(inputs, ({ x }) => ({
      y: repeat(3, 3, [x!], (_, [s]) => [tf.add(s!, 1)])[0]!,
    }));
    expect([...y!.dataSync()]).toEqual([1, 2]);
    tf.dispose([inputs, { y }]);
  });

  test('inside a loop', () => {
    const inputs = { x: tf.scalar(1) };
    const { y } = run(inputs, ({ x }) => ({
      y: repeat(0, 3, [x!], (_, [s]) => repeat(0, 2, [s!], (_, [r]) => [tf.mul(r!, 2)]))[0]!,
    }));
    expect(y!.dataSync()[0]).toBe(64);
    tf.dispose([inputs, { y }]);
  });

  test('beside others, with what they share and what comes after', () => {
    const inputs = { x: tf.tensor1d([1, 2]), y: tf.tensor1d([3, 4]) };
    const results = run(inputs, ({ x, y }) => {
      const shared = tf.add(x!, 1);
      const sum = (of: tf.Tensor) =>
        repeat(0, 3, [of], (_, [s]) => [tf.add(s!, tf.mul(shared, 2))])[0]!;
      const [{ one }, { two }] = inParts<Record<string, tf.Tensor>>([
        () => ({ one: sum(x!), shared }),
        () => ({ two: sum(y!), given: y! }),
      ]) as [{ one: tf.Tensor }, { two: tf.Tensor }];
      const after = repeat(0, 2, [tf.add(one, shared)], (_, [s]) => [tf.mul(s!, 2)])[0]!;
      return { shared, plain: tf.mul(y!, 5), one, two, after, both: tf.mul(shared, two) };
    });
    const numbers = Object.fromEntries(
      Object.entries(results).map(([name, tensor]) => [name, [...tensor.dataSync()]]),
    );
    expect(numbers).toEqual({
      shared: [2, 3],
      plain: [15, 20],
      one: [13, 20],
      two: [15, 22],
      after: [60, 92],
      both: [30, 66],
    });
    tf.dispose([inputs, results]);
  });

  test('in parts is refused inside a loop, and so are two such places', () => {
    if (mode === 'eager') return;
    const inputs = { x: tf.scalar(1) };
    const parts = (x: tf.Tensor) => inParts([() => ({ y: tf.add(x, 1) })])[0]!.y;
    expect(() =>
      run(inputs, ({ x }) => ({ y: repeat(0, 2, [x!], (_, [s]) => [parts(s!)])[0]! })),
    ).toThrow(/parts side by side in a loop.*outside of loops/s);
    expect(() => run(inputs, ({ x }) => ({ y: parts(parts(x!)) }))).toThrow(/in two places/);
    tf.dispose(inputs);
  });

  test('writes slices along any axis, and leaves what it was given as it was', () => {
    const inputs = {
      table: tf.zeros([2, 3, 2]),
      rows: tf.tensor2d([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
    };
    const { filled } = run(inputs, ({ table, rows }) => {
      const [filled] = repeat(0, 2, [table!], (t, [whole]) => {
        const row = tf.reshape(tf.gather(rows!, t), [1, 1, 2]);
        return [withSlice(whole!, 1, t, tf.tile(row, [2, 1, 1]))];
      });
      return { filled: filled! };
    });
    expect([...filled!.dataSync()]).toEqual([1, 2, 3, 4, 0, 0, 1, 2, 3, 4, 0, 0]);
    expect(Math.max(...inputs.table.dataSync())).toBe(0);
    tf.dispose([inputs, { filled }]);
  });

  test('writes slices of several entries', () => {
    const inputs = { x: tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]), place: tf.scalar(1, 'int32') };
    const { y } = run(inputs, ({ x, place }) => ({
      y: withSlice(tf.mul(x!, 1), 1, place as tf.Scalar, tf.tensor2d([7, 8, 9, 10], [2, 2])),
    }));
    expect([...y!.dataSync()]).toEqual([1, 7, 8, 4, 9, 10]);
    tf.dispose([inputs, { y }]);
  });

  test('does not check the place of a slice: beyond the end XLA alone writes it, at the end', () => {
    const inputs = { x: tf.tensor1d([1, 2]), place: tf.scalar(5, 'int32') };
    const { y } = run(inputs, ({ x, place }) => ({
      y: withSlice(tf.mul(x!, 1), 0, place as tf.Scalar, tf.tensor1d([9])),
    }));
    expect([...y!.dataSync()]).toEqual(mode === 'xla' ? [1, 9] : [1, 2]);
    tf.dispose([inputs, { y }]);
  });

  test('that changes a shape is refused', () => {
    if (mode === 'eager') return;
    const inputs = { x: tf.tensor1d([1, 2]) };
    expect(() =>
      run(inputs, ({ x }) => ({ y: repeat(0, 2, [x!], (_, [s]) => [tf.concat([s!, s!])])[0]! })),
    ).toThrow(/A loop in loop turns .*What a loop carries keeps its shape/);
    tf.dispose(inputs);
  });
});

describe.each([false, true])('a compiled call, parameters kept: %s', (keepParameters) => {
  function scaled(weight: tf.Tensor, x: tf.Tensor, instance = 0): number[] {
    const { y } = callCompiled({
      name: 'scaled',
      description: 'a test',
      parameters: { weight },
      instance,
      inputs: { x },
      body: ({ weight }, { x }) => ({ y: tf.mul(x, weight as tf.Tensor) }),
      mode: 'graph',
      keepParameters,
    });
    const values = [...y.dataSync()];
    y.dispose();
    return values;
  }

  test('follows its parameters, whichever come', () => {
    const [two, three, x] = [tf.scalar(2), tf.scalar(3), tf.tensor1d([1, 2])];
    expect(scaled(two, x)).toEqual([2, 4]);
    expect(scaled(three, x)).toEqual([3, 6]);
    expect(scaled(two, x)).toEqual([2, 4]);
    expect(scaled(three, x, 1)).toEqual([3, 6]);
    const changing = tf.variable(two);
    expect(scaled(changing, x)).toEqual([2, 4]);
    changing.assign(three);
    expect(scaled(changing, x)).toEqual([3, 6]);
    tf.dispose([two, three, x, changing]);
  });

  test('takes every shape', () => {
    const two = tf.scalar(2);
    for (const size of [1, 3, 1, 2]) {
      const x = tf.ones([size]);
      expect(scaled(two, x)).toEqual(new Array(size).fill(2));
      x.dispose();
    }
    two.dispose();
  });

  test('knows functions apart by their source', () => {
    const x = tf.tensor1d([1, 2]);
    const call = (body: (parameters: Leaves, inputs: Leaves) => Leaves) => {
      const described = { name: 'scaled', description: 'the same', parameters: {}, inputs: { x } };
      const { y } = callCompiled({ ...described, body, mode: 'graph', keepParameters });
      const values = [...y!.dataSync()];
      y!.dispose();
      return values;
    };
    expect(call((_, { x }) => ({ y: tf.mul(x!, 2) }))).toEqual([2, 4]);
    expect(call((_, { x }) => ({ y: tf.mul(x!, 3) }))).toEqual([3, 6]);
    // As the next process finds it.
    disposeCompiled();
    expect(call((_, { x }) => ({ y: tf.mul(x!, 4) }))).toEqual([4, 8]);
    x.dispose();
  });

  test('keeps only what was used last', () => {
    const graphs = () => living()[2]!;
    const two = tf.scalar(2);
    const first = graphs();
    for (let size = 1; size <= 140; size++) {
      const x = tf.ones([size]);
      scaled(two, x);
      x.dispose();
    }
    expect(graphs() - first).toBe(128);
    two.dispose();
  });
});

test.each(modes)('a loop and what comes after it share a weight in bfloat16, %s', (mode) => {
  const w = tf.fill([4, 4], 0.5);
  const program = createProgram({
    variables: { w },
    functions: {
      f: {
        inputs: { x: tensorSpec([2, 4]) },
        body: ({ w }, { x }) => {
          const [looped] = repeat(0, 2, [x], (_, [s]) => [tf.mul(tf.matMul(s!, w!), 0.5)]);
          return { outputs: { looped: looped!, after: tf.matMul(x, w!) } };
        },
      },
    },
    mode,
    precision: 'bfloat16',
  });
  const { looped, after } = program.run.f({ x: new Float32Array(8).fill(1) });
  expect([...looped!.dataSync(), ...after!.dataSync()]).toEqual([
    ...new Array(8).fill(1),
    ...new Array(8).fill(2),
  ]);
  tf.dispose([w, looped!, after!]);
  program.dispose();
});

test('a loop may run on a variable', () => {
  const one = tf.scalar(1);
  const program = createProgram({
    variables: { total: one },
    functions: {
      double: {
        inputs: { x: tensorSpec([]) },
        body: ({ total }, { x }) => {
          const [doubled] = repeat(0, 4, [total as tf.Tensor], (_, [s]) => [tf.add(s!, x)]);
          return { outputs: {}, updates: { total: doubled! } };
        },
      },
    },
    mode: 'graph',
  });
  program.run.double({ x: 2 });
  program.run.double({ x: 1 });
  const { total } = program.read();
  expect(total!.dataSync()[0]).toBe(13);
  tf.dispose([one, total!]);
  program.dispose();
});
