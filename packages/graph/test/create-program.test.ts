import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  createProgram,
  inParts,
  keepGraphs,
  type Leaves,
  type Mode,
  type Outcome,
  repeat,
  tensorSpec,
  traceInPlace,
  UserError,
  xlaIsAtHand,
} from '../src/index.js';
import { tag } from '../src/lowering/saved-model.js';
import { loadGraph } from '../src/run/graph-store.js';
import { tf, tidy } from '../src/tf.js';
import { living, native, normal, random, startEngine } from './engine.js';

const modes: Mode[] = ['eager', 'graph', 'xla'];

const numbers = (seed: number, ...shape: number[]) => random(seed, shape);

const variable = (variables: Leaves, name: string) => variables[name] as tf.Tensor;

/** The numbers of tensors that a program returned, which are freed. */
function taken(tensors: Record<string, tf.Tensor>): Record<string, number[]> {
  const read = Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, Array.from(tensor.dataSync())]),
  );
  tf.dispose(tensors);
  return read;
}

let before: number[];
const cache = fs.mkdtempSync(path.join(os.tmpdir(), 'graph-test-'));
const graphs = path.join(cache, 'graphs');

beforeAll(async () => {
  await startEngine('tensorflow');
  keepGraphs({ folder: graphs });
});

afterAll(() => {
  fs.rmSync(cache, { recursive: true });
});

beforeEach(() => {
  before = living();
});

afterEach(() => {
  expect(living()).toEqual(before);
});

/** Counts, adds, and scales what it has. */
function counter(mode: Mode) {
  return tidy(() =>
    createProgram({
      mode,
      variables: { sum: tf.zeros([2]), count: tf.scalar(0, 'int32') },
      functions: {
        add: {
          inputs: { x: tensorSpec([2]) },
          body: (variables, { x }) => {
            const sum = tf.add(variable(variables, 'sum'), x);
            const count = tf.add(variable(variables, 'count'), tf.scalar(1, 'int32'));
            return { outputs: { sum, doubled: tf.mul(sum, 2) }, updates: { sum, count } };
          },
        },
        scaled: {
          inputs: { by: tensorSpec([]) },
          body: (variables, { by }) => ({
            outputs: { scaled: tf.mul(variable(variables, 'sum'), by) },
          }),
        },
        swap: {
          inputs: { sum: tensorSpec([2]) },
          body: (_, { sum }) => ({ outputs: {}, updates: { sum } }),
        },
      },
    }),
  );
}

describe.each(modes)('a program in mode %s', (mode) => {
  test('shares variables between functions', () => {
    const program = counter(mode);
    expect(taken(program.run.add({ x: new Float32Array([1, 2]) }))).toEqual({
      sum: [1, 2],
      doubled: [2, 4],
    });
    const x = tf.tensor1d([10, 20]);
    tf.dispose(program.run.add({ x }));
    x.dispose();
    expect(taken(program.run.scaled({ by: 3 }))).toEqual({ scaled: [33, 66] });
    expect(taken(program.read())).toEqual({ sum: [11, 22], count: [2] });
    program.dispose();
  });

  test('reads and assigns single variables and all', () => {
    const program = counter(mode);
    const [sum, count] = [tf.tensor1d([5, 6]), tf.scalar(7, 'int32')];
    program.assign({ sum });
    expect(taken(program.read(['sum']))).toEqual({ sum: [5, 6] });
    program.assign({ count, sum });
    expect(taken(program.read(['count', 'sum']))).toEqual({ count: [7], sum: [5, 6] });
    expect(taken(program.read([]))).toEqual({});
    program.dispose();
    tf.dispose([sum, count]);
  });

  test('keeps its state apart from arrays and tensors that go in and out', () => {
    const program = counter(mode);
    const array = new Float32Array([1, 2]);
    expect(program.run.swap({ sum: array })).toEqual({});
    array.fill(9);
    const held = program.read(['sum']);
    tf.dispose(program.run.add({ x: new Float32Array([1, 1]) }));
    expect(taken(held)).toEqual({ sum: [1, 2] });
    expect(taken(program.read(['sum']))).toEqual({ sum: [2, 3] });

    const values = new Float32Array([3, 4]);
    const sum = tf.tensor1d(values);
    program.assign({ sum });
    sum.dispose();
    expect(taken(program.run.scaled({ by: 1 }))).toEqual({ scaled: [3, 4] });
    program.dispose();
  });

  test('leaves memory as it was over 1,000 calls', () => {
    const program = counter(mode);
    const x = new Float32Array([1, -1]);
    for (let call = 0; call < 10; call++) tf.dispose(program.run.add({ x }));
    const during = living();
    for (let call = 10; call < 1000; call++) tf.dispose(program.run.add({ x }));
    expect(living()).toEqual(during);
    expect(taken(program.read())).toEqual({ sum: [1000, -1000], count: [1000] });
    program.dispose();
  });

  test('refuses feeds that do not fit, and names them', () => {
    const program = counter(mode);
    const run = program.run as unknown as Record<string, (feeds: object) => unknown>;
    const matrix = tf.zeros([2, 1]);
    const integers = tf.zeros([2], 'int32');
    const wrong: [object, string][] = [
      [{ x: matrix }, 'add: x got float32 (2,1). Expected float32 (2).'],
      [{ x: integers }, 'add: x got int32 (2). Expected float32 (2).'],
      [{ x: new Float32Array(3) }, 'add: x got Float32Array of 3. Expected float32 (2).'],
      [{ x: new Int32Array(2) }, 'add: x got Int32Array of 2. Expected float32 (2).'],
      [{ x: 1 }, 'add: x got a number. Expected float32 (2).'],
      [{}, 'add: x is missing. Expected float32 (2).'],
      [{ x: null }, 'add: x got null. Expected float32 (2).'],
      [{ x: [1, 2] }, 'add: x got Array of 2. Expected float32 (2).'],
      [undefined as never, 'add got undefined. Expected x by name.'],
      [{ x: new Float32Array(2), y: 1 }, 'add takes no input y. Expected x.'],
    ];
    for (const [feeds, message] of wrong) {
      expect(() => run.add?.(feeds)).toThrow(message);
    }
    expect(() => program.read(['total'])).toThrow(
      'There is no variable total. Expected sum, count.',
    );
    expect(() => program.assign({ sum: matrix })).toThrow('sum got float32 (2,1). Expected');
    expect(taken(program.read(['count']))).toEqual({ count: [0] });
    tf.dispose([matrix, integers]);
    expect(() => run.add?.({ x: integers })).toThrow('x got a disposed tensor.');
    program.dispose();
  });

  test('takes whole numbers of 32 bits where it takes integers', () => {
    const body = (_: Leaves, { i }: Leaves) => ({ outputs: { i: tf.neg(i as tf.Tensor) } });
    const inputs = { i: tensorSpec([], 'int32') };
    const program = createProgram({ variables: {}, functions: { f: { inputs, body } }, mode });
    expect(taken(program.run.f({ i: -7 }))).toEqual({ i: [7] });
    for (const wrong of [1.7, 3e9, Number.NaN]) {
      expect(() => program.run.f({ i: wrong })).toThrow(`f: i got ${wrong}. Expected a whole`);
    }
    program.dispose();
  });

  test('gathers at places that are computed', () => {
    const table = tf.tensor1d([5, 6, 7]);
    const program = createProgram({
      variables: { table },
      functions: {
        f: {
          inputs: { i: tensorSpec([], 'int32') },
          body: ({ table: held }, { i }) => ({
            outputs: { y: tf.gather(held as tf.Tensor, tf.sub(i, tf.scalar(1, 'int32'))) },
          }),
        },
      },
      mode,
    });
    table.dispose();
    expect(taken(program.run.f({ i: 1 }))).toEqual({ y: [5] });
    expect(taken(program.run.f({ i: 3 }))).toEqual({ y: [7] });
    const beyond = () => taken(program.run.f({ i: 9 }));
    if (mode === 'xla') expect(beyond()).toEqual({ y: [7] });
    // A graph on a GPU does not say so.
    else if (mode === 'eager' || xlaIsAtHand()) expect(beyond).toThrow('8 is not in');
    program.dispose();
  });

  test('cannot be used once disposed', () => {
    const program = counter(mode);
    program.dispose();
    expect(() => program.read()).toThrow('The program is disposed.');
    expect(() => program.run.scaled({ by: 1 })).toThrow('The program is disposed.');
    expect(() => program.dispose()).toThrow('The program is disposed.');
  });
});

function expectClose(actual: number[] | undefined, expected: number[]) {
  expect(actual?.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) {
    expect(Math.abs((actual?.[i] as number) - value)).toBeLessThan(3e-6 * Math.max(1, value));
  }
}

describe.each(['float32', 'bfloat16'] as const)('in parts, %s', (precision) => {
  test.each(modes)('mode %s: parts read variables that the function writes afterwards', (mode) => {
    const create = (count: number) =>
      createProgram({
        mode,
        precision,
        variables: { w: tf.tensor2d([0.5, -1, 2, 0.25], [2, 2]) },
        functions: {
          f: {
            inputs: { x: tensorSpec([4, 2]) },
            body: (variables, { x }): Outcome => {
              const w = variable(variables, 'w') as tf.Tensor2D;
              const parts = tf.split(x as tf.Tensor2D, count);
              const products = inParts(parts.map((part) => () => ({ y: tf.matMul(part, w) })));
              const y = tf.concat(products.map((product) => product.y));
              return { outputs: { y }, updates: { w: tf.add(w, tf.sum(y)) } };
            },
          },
        },
      });
    const x = Float32Array.from([1, 2, 3, 4, -1, 0.5, 0, 1]);
    const [whole, halves] = [1, 2].map((count) => {
      const program = tidy(() => create(count));
      const results = [0, 1, 2].map(() => taken(program.run.f({ x })).y);
      program.dispose();
      return results;
    });
    // Numbers that bfloat16 holds, so that both precisions are exact in the first call.
    expect(whole?.[0]).toEqual([4.5, -0.5, 9.5, -2, 0.5, 1.125, 2, 0.25]);
    expect(halves).toEqual(whole);
  });
});

test.each(['graph', 'xla'] as const)('mode %s: a written variable is read before', (mode) => {
  const program = tidy(() =>
    createProgram({
      mode,
      variables: { w: tf.tensor1d([1, 2]), copy: tf.zeros([2]) },
      functions: {
        f: {
          inputs: { x: tensorSpec([2]) },
          body: (variables, { x }): Outcome => {
            const w = variable(variables, 'w');
            // Recorded before the old value is used.
            const [next] = traceInPlace('AssignSubVariableOp', {}, [w], [x]) as [tf.Tensor];
            return {
              outputs: { w, next, doubled: tf.mul(w, 2), sum: tf.add(w, next) },
              updates: { w: next, copy: w },
            };
          },
        },
      },
    }),
  );
  for (let call = 0; call < 3; call++) {
    expect(taken(program.run.f({ x: new Float32Array([10, 20]) }))).toEqual({
      w: [1 - 10 * call, 2 - 20 * call],
      next: [-9 - 10 * call, -18 - 20 * call],
      doubled: [2 - 20 * call, 4 - 40 * call],
      sum: [-8 - 20 * call, -16 - 40 * call],
    });
  }
  expect(taken(program.read())).toEqual({ w: [-29, -58], copy: [-19, -38] });
  program.dispose();
});

describe('what a graph cannot stand for is refused', () => {
  const capture = (f: (x: tf.Tensor, w: tf.Tensor) => unknown, updates = false) => {
    const w = tf.zeros([2]);
    try {
      const program = createProgram({
        variables: { w },
        functions: {
          f: {
            inputs: { x: tensorSpec([2]) },
            body: (variables, { x }): Outcome => {
              const result = f(x, variable(variables, 'w')) as Leaves;
              return updates
                ? { outputs: {}, updates: result }
                : { outputs: { result: result as unknown as tf.Tensor } };
            },
          },
        },
      });
      program.dispose();
    } finally {
      w.dispose();
    }
  };

  test.each<[string, (x: tf.Tensor, w: tf.Tensor) => unknown, string]>([
    [
      'a computed value',
      (x) => tf.scalar(tf.exp(x).dataSync()[0] as number),
      'a tensor (from Exp)',
    ],
    ['an input', (x) => tf.scalar(x.dataSync()[0] as number), 'a tensor (from x)'],
    ['a variable', (_, w) => tf.scalar(w.dataSync()[0] as number), 'a tensor (from w)'],
    ['a condition', (x) => (tf.any(tf.greater(x, 0)).dataSync()[0] ? x : tf.neg(x)), '(from Any)'],
  ])('reading %s on the host', (_, f, message) => {
    expect(() => capture(f)).toThrow(message);
    expect(() => capture(f)).toThrow(UserError);
  });

  test('reading what a promise is to give', () => {
    const later = (x: tf.Tensor) => {
      x.data().catch(() => {});
      return x;
    };
    expect(() => capture(later)).toThrow('reads the value of a tensor (from x)');
  });

  test('a result of a loop that the loop does not hand on', () => {
    let kept: tf.Tensor | undefined;
    const leaking = (x: tf.Tensor) => {
      repeat(0, 2, [x], (_, [s]) => {
        kept = tf.keep(tf.add(s as tf.Tensor, 1));
        return [kept];
      });
      return tf.mul(kept as tf.Tensor, 2);
    };
    expect(() => capture(leaking)).toThrow('uses a result of Add');
    kept?.dispose();
  });

  test('random numbers that would be the same at every call', () => {
    expect(() => capture((x) => tf.add(x, tf.randomNormal([2])))).toThrow('draws random numbers');
    expect(() => capture((x) => tf.dropout(x, 0.5))).toThrow('draws random numbers');
    expect(() => capture((x) => tf.multinomial(tf.reshape(x, [1, 2]) as tf.Tensor2D, 1))).toThrow();
    expect(() => capture((x) => tf.add(x, tf.randomNormal([2], 0, 1, 'float32', 7)))).not.toThrow();
    expect(Math.random()).not.toBe(Math.random());
  });

  test('a function that is not a function of tensors', () => {
    const promise = createProgram as unknown as (options: object) => unknown;
    const body = async () => ({ outputs: {} });
    expect(() => promise({ variables: {}, functions: { f: { inputs: {}, body } } })).toThrow(
      'The function f returned no outputs.',
    );
    const named = { variables: {}, functions: { 'f,g': { inputs: {}, body } } };
    expect(() => promise(named)).toThrow("A function is named 'f,g'.");
    expect(() => capture(() => 5)).toThrow('returned 5 as the output result. Expected a tensor.');
    expect(() => capture(() => undefined)).toThrow('returned undefined as the output result.');
    expect(() => capture(() => ({ w: [1] }), true)).toThrow('Array of 1 as the update w.');
  });

  test('modes, precisions, shapes and types that are none', () => {
    const create = createProgram as unknown as (options: object) => unknown;
    const f = (x: object) => ({
      variables: {},
      functions: { f: { inputs: { x }, body: () => {} } },
    });
    const fitting = f({ shape: [1], dtype: 'float32' });
    expect(() => create({ ...fitting, mode: 'XLA' })).toThrow('Expected graph, xla, eager.');
    expect(() => create({ ...fitting, precision: 'bf16' })).toThrow('Expected float32, bfloat16.');
    expect(() => create(f({ shape: [1], dtype: 'complex64' }))).toThrow('has type complex64.');
    expect(() => create(f({ shape: [-1, 2], dtype: 'int32' }))).toThrow('has shape (-1,2).');
  });

  test('updates that do not fit a variable', () => {
    expect(() => capture((x) => ({ v: x }), true)).toThrow('f updates v.');
    expect(() => capture((x) => ({ w: tf.sum(x) }), true)).toThrow('Expected float32 (2).');
  });

  test('a captured function inside another', () => {
    const inner = counter('graph');
    expect(() => capture(() => inner.run.scaled({ by: 1 }).scaled)).toThrow('calls a captured');
    inner.dispose();
    expect(() => capture(() => counter('graph'))).toThrow('is traced inside f');
  });

  test('writing in place into what is not a variable, or unnamed', () => {
    const write = (tensor: tf.Tensor, x: tf.Tensor) =>
      (traceInPlace('AssignSubVariableOp', {}, [tensor], [x]) as tf.Tensor[])[0] as tf.Tensor;
    expect(() => capture((x) => ({ w: write(tf.mul(x, 2), x) }), true)).toThrow('no variable');
    expect(() => capture((x, w) => write(w, x))).toThrow('without naming it in its updates');
    expect(() => capture((x, w) => tf.add(write(w, x), write(w, x)))).toThrow('no variable');
    expect(() => capture((x, w) => ({ w: write(write(w, x), x) }), true)).not.toThrow();
  });
});

test.each(modes)('a variable is read between two writes into it, in mode %s', (mode) => {
  /** In place where a graph is captured. */
  const minus = (w: tf.Tensor, by: tf.Tensor) =>
    traceInPlace('AssignSubVariableOp', {}, [w], [by])?.[0] ?? tf.sub(w, by);
  const program = tidy(() =>
    createProgram({
      mode,
      variables: { w: numbers(1, 64) },
      functions: {
        twice: {
          inputs: { by: tensorSpec([64]) },
          body: (variables, { by }) => {
            const once = minus(variable(variables, 'w'), by);
            const between = tf.reshape(once, [8, 8]);
            return { outputs: { between }, updates: { w: minus(once, by) } };
          },
        },
      },
    }),
  );
  const start = taken(program.read(['w'])).w;
  const { between } = taken(program.run.twice({ by: new Float32Array(64).fill(0.5) }));
  const end = taken(program.read(['w'])).w;
  program.dispose();
  expectClose(between, start?.map((value) => value - 0.5) ?? []);
  expectClose(end, start?.map((value) => value - 1) ?? []);
});

describe('a graph kept on disk', () => {
  let traced = 0;
  const create = (description: string, size = 2, mode: Mode = 'graph') =>
    tidy(() =>
      createProgram({
        mode,
        description,
        variables: { w: tf.ones([size]) },
        functions: {
          f: {
            inputs: { x: tensorSpec([size]) },
            body: (variables, { x }) => {
              traced++;
              return { outputs: { sum: tf.sum(tf.mul(variable(variables, 'w'), x)) } };
            },
          },
        },
      }),
    );
  const use = (...options: Parameters<typeof create>) => {
    traced = 0;
    const program = create(...options);
    const x = new Float32Array(options[1] ?? 2).fill(2);
    const result = taken(program.run.f({ x }));
    program.dispose();
    expect(result).toEqual({ sum: [x.length * 2] });
    return traced;
  };

  test('is used again, for the same description, shapes, mode and precision', () => {
    expect(use('first')).toBe(1);
    expect(use('first')).toBe(0);
    expect(use('second')).toBe(1);
    expect(use('first', 3)).toBe(1);
    expect(use('first', 3)).toBe(0);
    expect(use('first', 2, 'xla')).toBe(1);
    expect(use('first', 2, 'xla')).toBe(0);
  });

  test('is forgotten when 400 others were used since', () => {
    use('old');
    const old = new Date(1e12);
    for (const name of fs.readdirSync(graphs)) fs.utimesSync(path.join(graphs, name), old, old);
    for (let i = 0; i < 400; i++) fs.mkdirSync(path.join(graphs, `other-${i}`));
    expect(use('old'), 'kept while there is room').toBe(0);
    for (let i = 400; i < 410; i++) fs.mkdirSync(path.join(graphs, `other-${i}`));
    use('new');
    expect(fs.readdirSync(graphs)).toHaveLength(400);
    expect(use('new')).toBe(0);
    for (const name of fs.readdirSync(graphs)) {
      if (name.startsWith('other')) fs.rmdirSync(path.join(graphs, name));
    }
  });

  test('makes room where graphs have more than 500 MB', () => {
    fs.rmSync(graphs, { recursive: true, force: true });
    const old = new Date(1e12);
    for (let i = 0; i < 3; i++) {
      const folder = path.join(graphs, `large-${i}`);
      fs.mkdirSync(folder, { recursive: true });
      fs.writeFileSync(path.join(folder, 'saved_model.pb'), '');
      fs.truncateSync(path.join(folder, 'saved_model.pb'), 240e6);
      fs.utimesSync(folder, old, old);
    }
    use('first');
    expect(fs.readdirSync(graphs).filter((name) => name.startsWith('large'))).toHaveLength(2);
    expect(use('first')).toBe(0);
    fs.rmSync(graphs, { recursive: true });
  });

  test('is done without where nothing can be written', () => {
    try {
      for (const folder of ['/dev/null/x', '/proc/x']) {
        keepGraphs({ folder });
        expect(use('first')).toBe(1);
      }
    } finally {
      keepGraphs({ folder: graphs });
    }
  });

  test('is not there where another process removed it before it was loaded', () => {
    const { binding } = native();
    const removed = { folder: path.join(cache, 'removed'), outputs: {} };
    expect(loadGraph(removed, (folder) => binding.loadSavedModel(folder, tag))).toBeUndefined();
  });

  test('is captured again where it is whole but does not load', () => {
    fs.rmSync(graphs, { recursive: true, force: true });
    expect(use('first')).toBe(1);
    const [folder] = fs.readdirSync(graphs) as [string];
    const unknown = Buffer.from('what no TensorFlow reads');
    fs.writeFileSync(path.join(graphs, folder, 'saved_model.pb'), unknown);
    const details = path.join(graphs, folder, 'program.json');
    const { outputs } = JSON.parse(fs.readFileSync(details, 'utf8'));
    const sha256 = createHash('sha256').update(unknown).digest('hex');
    fs.writeFileSync(details, JSON.stringify({ outputs, sha256 }));
    expect(use('first')).toBe(1);
    expect(use('first')).toBe(0);
  });

  test('is made again if it is damaged', () => {
    fs.rmSync(graphs, { recursive: true, force: true });
    expect(use('first')).toBe(1);
    const [folder] = fs.readdirSync(graphs) as [string];
    for (const name of ['saved_model.pb', 'program.json']) {
      const file = path.join(graphs, folder, name);
      fs.truncateSync(file, fs.statSync(file).size - 1);
      expect(use('first')).toBe(1);
      expect(use('first')).toBe(0);
    }
    expect(fs.readdirSync(graphs)).toEqual([folder]);
  });
});

describe('precision bfloat16', () => {
  const [x, w] = [normal(5, 12), normal(6, 16)];
  const result = (mode: Mode, precision: 'float32' | 'bfloat16') =>
    tf.tidy(() => {
      const program = createProgram({
        mode,
        precision,
        variables: { w: tf.tensor2d(w, [4, 4]) },
        functions: {
          f: {
            inputs: { x: tensorSpec([3, 4]) },
            body: (variables, { x }) => {
              const f = (w: tf.Tensor) =>
                tf.sum(tf.tanh(tf.matMul(tf.matMul(x, w), w))) as tf.Scalar;
              const { value, grad } = tf.valueAndGrad(f)(variable(variables, 'w'));
              return { outputs: { value, grad, exact: tf.mul(x, 1.0009765625) } };
            },
          },
        },
      });
      const read = taken(program.run.f({ x }));
      program.dispose();
      return read;
    });

  test('rounds the arguments of matrix products, and nothing else', () => {
    const exact = result('eager', 'float32');
    for (const mode of modes) {
      const rounded = result(mode, 'bfloat16');
      expect(rounded.exact).toEqual(exact.exact);
      const error = (exact.grad as number[]).map((g, i) => Math.abs(g - (rounded.grad?.[i] ?? 0)));
      const largest = Math.max(...error) / Math.max(...(exact.grad as number[]).map(Math.abs));
      expect(largest).toBeGreaterThan(1e-4);
      expect(largest).toBeLessThan(3e-2);
    }
  });

  /** A convolution with its gradients by image and kernel. */
  const convolved = (mode: Mode, precision: 'float32' | 'bfloat16') =>
    tf.tidy(() => {
      const program = createProgram({
        mode,
        precision,
        variables: { kernel: tf.tensor4d(normal(7, 54), [3, 3, 2, 3]) },
        functions: {
          f: {
            inputs: { x: tensorSpec([2, 6, 6, 2]) },
            body: (variables, { x }) => {
              const kernel = variable(variables, 'kernel') as tf.Tensor4D;
              const image = x as tf.Tensor4D;
              const f = (image: tf.Tensor4D, kernel: tf.Tensor4D) =>
                tf.sum(tf.tanh(tf.conv2d(image, kernel, 1, 'same'))) as tf.Scalar;
              const { value, grads } = tf.valueAndGrads(f as never)([image, kernel]);
              const [byImage, byKernel] = grads as [tf.Tensor, tf.Tensor];
              return { outputs: { value, byImage, byKernel } };
            },
          },
        },
      });
      const read = taken(program.run.f({ x: normal(8, 144) }));
      program.dispose();
      return read;
    });

  test.each(modes)('rounds the arguments of convolutions in mode %s, backwards too', (mode) => {
    const [exact, rounded] = [convolved('eager', 'float32'), convolved(mode, 'bfloat16')];
    for (const name of ['byImage', 'byKernel']) {
      const [right, near] = [exact[name] ?? [], rounded[name] ?? []];
      expect(near.length).toBe(right.length);
      const error = Math.max(...right.map((value, i) => Math.abs(value - (near[i] ?? 0))));
      const largest = error / Math.max(...right.map(Math.abs));
      expect(largest).toBeGreaterThan(1e-4);
      expect(largest).toBeLessThan(3e-2);
    }
  });

  test('gives the same numbers eagerly and as a graph', () => {
    const [eager, graph] = [result('eager', 'bfloat16'), result('graph', 'bfloat16')];
    expectClose(graph.grad, eager.grad as number[]);
  });

  test('rounds variables when they are assigned, where no function writes them', () => {
    const weights = (seed: number) => numbers(seed, 4, 4) as tf.Tensor2D;
    const found = modes.map((mode) =>
      tidy(() => {
        const program = createProgram({
          mode,
          precision: 'bfloat16',
          variables: { kept: weights(1), written: weights(2) },
          functions: {
            apply: {
              inputs: { x: tensorSpec([3, 4]) },
              body: (variables, { x }) => {
                const [kept, written] = ['kept', 'written'].map((name) =>
                  variable(variables, name),
                ) as [tf.Tensor, tf.Tensor];
                const product = (y: tf.Tensor) => tf.matMul(tf.matMul(y, kept), written);
                const [looped] = repeat(0, 2, [x], (_, [y]) => [product(y as tf.Tensor)]);
                const outputs = { once: product(x), looped: looped as tf.Tensor };
                return { outputs: { ...outputs, exact: tf.mul(kept, 1) } };
              },
            },
            write: {
              inputs: {},
              body: (variables) => {
                const kept = variable(variables, 'kept');
                const change = tf.matMul(kept, kept);
                return {
                  outputs: {},
                  updates: { written: tf.add(variable(variables, 'written'), change) },
                };
              },
            },
          },
        });
        const call = () => taken(program.run.apply({ x }));
        const results = [call()];
        program.run.write({});
        results.push(call());
        program.assign({ kept: weights(3) });
        results.push(call());
        const read = taken(program.read());
        expect(read.kept).toEqual(Array.from(weights(3).dataSync()));
        expect(results[2]?.exact).toEqual(read.kept);
        program.dispose();
        return results;
      }),
    );
    const [eager, ...others] = found;
    for (const results of others) {
      results.forEach((result, call) => {
        expectClose(result.once, eager?.[call]?.once as number[]);
        expectClose(result.looped, eager?.[call]?.looped as number[]);
      });
    }
  });
});

test('XLA is at hand where the native engine runs on a processor', async () => {
  const backend = native();
  const { isUsingGpuDevice } = backend;
  try {
    backend.isUsingGpuDevice = false;
    expect(xlaIsAtHand()).toBe(true);
    backend.isUsingGpuDevice = true;
    expect(xlaIsAtHand()).toBe(false);
    backend.isUsingGpuDevice = false;
    await startEngine('cpu');
    expect(xlaIsAtHand()).toBe(false);
  } finally {
    backend.isUsingGpuDevice = isUsingGpuDevice;
    await startEngine('tensorflow');
  }
});

test('without the native engine functions run eagerly, and only so', async () => {
  await startEngine('cpu');
  try {
    const tensors = tf.memory().numTensors;
    const program = tidy(() =>
      createProgram({
        variables: { w: tf.ones([2]) },
        functions: {
          f: {
            inputs: { x: tensorSpec([2]) },
            body: (variables, { x }) => ({
              outputs: {},
              updates: { w: tf.add(variable(variables, 'w'), x) },
            }),
          },
        },
      }),
    );
    program.run.f({ x: new Float32Array([1, 2]) });
    expect(taken(program.read())).toEqual({ w: [2, 3] });
    program.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
    const none = { variables: {}, functions: {} };
    expect(() => createProgram({ ...none, mode: 'graph' })).toThrow('needs the native engine');
    expect(() => createProgram({ ...none, precision: 'bfloat16' })).toThrow('needs the native');
  } finally {
    await startEngine('tensorflow');
  }
});
