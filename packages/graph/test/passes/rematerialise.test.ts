import { beforeAll, describe, expect, test } from 'vitest';
import { createProgram, tensorSpec } from '../../src/index.js';
import { dropIdle } from '../../src/passes/casts.js';
import { joinNorms } from '../../src/passes/join-norms.js';
import { rematerialise } from '../../src/passes/rematerialise.js';
import { tf } from '../../src/tf.js';
import type { Precision } from '../../src/trace/body.js';
import type { Operation, Trace } from '../../src/trace/operations.js';
import { trace } from '../../src/trace/tracing.js';
import { areInOrder, native, normal, random, startEngine } from '../engine.js';
import { attention, gelu, layerNorm, linear } from '../layers.js';

beforeAll(async () => {
  await startEngine('tensorflow');
});

const rows = 512;
const inputs = { x: tensorSpec([rows, 128]) };

/** Something that takes a while, as the rest of a forward pass and a loss do. */
function long(x: tf.Tensor): tf.Tensor {
  let y: tf.Tensor = tf.mean(x, 0);
  for (let i = 0; i < 300; i++) y = tf.sin(y);
  return y;
}

type Body = (x: tf.Tensor2D) => tf.Tensor;

/** The recorded function, before and after the pass. */
function passed(
  body: Body,
  precision: Precision = 'float32',
  earlier: ((trace: Trace) => void)[] = [],
): [Trace, Trace] {
  const record = () =>
    trace(
      native(),
      'f',
      (_, { x }) => ({ outputs: { y: body(x as tf.Tensor2D) } }),
      {},
      inputs,
      precision,
    );
  const [before, after] = [record(), record()];
  for (const pass of earlier) for (const trace of [before, after]) pass(trace);
  rematerialise(after);
  expect(areInOrder(after.operations)).toBe(true);
  return [before, after];
}

function count({ operations }: Trace, op: string): number {
  return operations.filter((operation) => operation.op === op).length;
}

function madeAgain({ operations }: Trace): Operation[] {
  return operations.filter(({ after }) => after !== undefined);
}

function run(body: Body, mode: 'graph' | 'eager', precision: Precision = 'float32'): Float32Array {
  const program = createProgram({
    variables: {},
    functions: {
      f: {
        inputs,
        body: (_: unknown, { x }: Record<string, tf.Tensor>) => ({
          outputs: { y: body(x as tf.Tensor2D) },
        }),
      },
    },
    mode,
    precision,
  });
  const { y } = program.run.f({ x: normal(1, rows * 128) }) as { y: tf.Tensor };
  program.dispose();
  const numbers = y.dataSync() as Float32Array;
  y.dispose();
  return numbers;
}

function expectSame(body: Body): void {
  const [graph, eager] = [run(body, 'graph'), run(body, 'eager')];
  graph.forEach((value, i) => {
    expect(Math.abs(value - eager[i]!)).toBeLessThan(1e-4);
  });
}

const sliceOf = (h: tf.Tensor2D) => tf.slice2d(h, [0, 0], [rows - 128, 128]);

/** A slice that is needed at once and much later. */
const kept: Body = (x) => {
  const h = tf.tanh(x);
  const part = sliceOf(h);
  const later = long(tf.square(part));
  return tf.add(tf.mean(tf.mul(h, later), 0), tf.mean(tf.mul(part, later), 0));
};

describe('what is needed again much later', () => {
  test('is made again there, from what is kept anyway', () => {
    const [before, after] = passed(kept);
    expect(count(before, 'Slice')).toBe(1);
    expect(count(after, 'Slice')).toBe(2);
    const again = madeAgain(after)[0] as Operation;
    const [when] = again.after ?? [];
    const place = after.operations.findIndex(
      (operation) => when?.from === 'operation' && operation === when.operation,
    );
    expect(place).toBeGreaterThan(300);
    expect(again.inputs[0]).toBe(after.operations.find(({ op }) => op === 'Tanh')?.outputs[0]);
    expectSame(kept);
  });

  test('by several operations, where the first takes half as many bytes', () => {
    const bias = tf.tensor1d(normal(2, 128));
    const weight = tf.tensor2d(normal(3, 128 * 128), [128, 128]);
    const body: Body = (x) => {
      const sum = tf.add(tf.matMul(x, weight), bias);
      const later = long(tf.square(sum));
      return tf.mean(tf.mul(sum, later), 0);
    };
    const [before, after] = passed(body, 'bfloat16');
    expect(after.operations.length).toBe(before.operations.length + 2);
    expect(madeAgain(after).map(({ op }) => op)).toEqual(['Cast', expect.stringMatching(/^Add/)]);
    const [once, again] = [run(body, 'graph', 'bfloat16'), run(body, 'eager', 'bfloat16')];
    once.forEach((value, i) => {
      expect(Math.abs(value - again[i]!)).toBeLessThan(2e-2);
    });
    // In float32 the product is no smaller than the sum.
    const [plain, same] = passed(body);
    expect(same.operations.map(({ op }) => op)).toEqual(plain.operations.map(({ op }) => op));
    tf.dispose([bias, weight]);
  });

  test('waits for a normalisation that is put together with it', () => {
    const [bias, scale] = [2, 3].map((seed) => tf.tensor1d(normal(seed, 128)));
    const weight = tf.tensor2d(normal(4, 128 * 128), [128, 128]);
    const body: Body = (x) => {
      const twice = tf.concat2d([x, x], 0);
      const sum = tf.add(tf.matMul(twice, tf.mul(weight, 0.1) as tf.Tensor2D), bias as tf.Tensor1D);
      let y: tf.Tensor = tf.sigmoid(tf.square(sum));
      for (let i = 0; i < 300; i++) y = tf.neg(y);
      const norm = layerNorm(y as tf.Tensor2D, scale as tf.Tensor1D, bias as tf.Tensor1D);
      return tf.mean(tf.add(tf.add(norm, sum), tf.tanh(norm)), 0);
    };
    const recorded = passed(body, 'bfloat16', [dropIdle, joinNorms])[1];
    const [when] = madeAgain(recorded).at(-1)?.after ?? [];
    expect(when?.from === 'operation' && when.operation.op).toBe('_MklLayerNorm');
    const [graph, eager] = [run(body, 'graph', 'bfloat16'), run(body, 'eager', 'bfloat16')];
    graph.forEach((value, i) => {
      expect(Math.abs(value - eager[i]!)).toBeLessThan(2e-2);
    });
    tf.dispose([bias, scale, weight] as tf.Tensor[]);
  });

  const others: [string, Body][] = [
    [
      'of which only a part would be needed',
      (x) => {
        const part = sliceOf(tf.tanh(x));
        return tf.mean(tf.mul(part, long(tf.square(part))), 0);
      },
    ],
    [
      'that takes long to make',
      (x) => {
        const h = tf.tanh(x);
        const e = tf.exp(h);
        const later = long(tf.square(e));
        return tf.add(tf.mean(tf.mul(h, later), 0), tf.mean(tf.mul(e, later), 0));
      },
    ],
    [
      'that is needed at once alone',
      (x) => {
        const h = tf.tanh(x);
        return tf.add(tf.mean(tf.mul(h, long(h)), 0), tf.mean(sliceOf(h), 0));
      },
    ],
    [
      'that is small',
      (x) => {
        const h = tf.tanh(x);
        const part = tf.slice2d(h, [0, 0], [8, 128]);
        const later = long(tf.square(part));
        return tf.add(tf.mean(tf.mul(h, later), 0), tf.mean(tf.mul(part, later), 0));
      },
    ],
    [
      'that shares memory with what it is made of',
      (x) => {
        const h = tf.tanh(x);
        const flat = tf.reshape(h, [rows / 2, 256]);
        const later = long(tf.square(flat));
        return tf.add(tf.mean(tf.mul(flat, later), 0), tf.mean(tf.reshape(h, [-1])));
      },
    ],
  ];
  test.each(others)('is not, %s', (_, body) => {
    const [before, after] = passed(body);
    expect(after.operations.map(({ op }) => op)).toEqual(before.operations.map(({ op }) => op));
  });

  test('is not where the function returns it', () => {
    const recorded = trace(
      native(),
      'f',
      (_, { x }) => {
        const h = tf.tanh(x as tf.Tensor2D);
        const part = sliceOf(h);
        const later = long(tf.square(part));
        return { outputs: { part, y: tf.mul(part, later), h: tf.mul(h, later) } };
      },
      {},
      inputs,
      'float32',
    );
    rematerialise(recorded);
    expect(count(recorded, 'Slice')).toBe(1);
  });
});

/** A residual network over sequences of tokens: attention and a GELU layer in each of its layers. */
const network = { batch: 8, tokens: 256, channels: 32, layers: 4 };

function networkLoss(weights: Record<string, tf.Tensor>, input: tf.Tensor): tf.Scalar {
  const { batch, tokens, channels, layers } = network;
  const flat: [number, number] = [batch * tokens, channels];
  const ones = tf.ones([channels]) as tf.Tensor1D;
  const zeros = tf.zeros([channels]) as tf.Tensor1D;
  const weight = (layer: number, name: string) => weights[`${layer}.${name}`] as tf.Tensor2D;
  let x = tf.reshape(input, flat) as tf.Tensor2D;
  for (let layer = 0; layer < layers; layer++) {
    const qkv = linear(layerNorm(x, ones, zeros), weight(layer, 'qkv'), tf.ones([3 * channels]));
    const heads = tf.reshape(qkv, [batch, tokens, 3, 2, channels / 2]);
    const [q, k, v] = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4])) as [
      tf.Tensor4D,
      tf.Tensor4D,
      tf.Tensor4D,
    ];
    const attended = tf.reshape(tf.transpose(attention(q, k, v), [0, 2, 1, 3]), flat);
    x = tf.add(x, tf.add(tf.matMul(attended, weight(layer, 'out')), zeros));
    const inner = gelu(linear(layerNorm(x, ones, zeros), weight(layer, 'in'), tf.ones([64])));
    // A shift and a scale of each number, sliced from one tensor.
    const both = linear(inner, weight(layer, 'both'), tf.zeros([2 * channels]));
    const [shift, scale] = tf.split(both, 2, 1) as [tf.Tensor2D, tf.Tensor2D];
    x = tf.mul(tf.sub(x, shift), tf.exp(tf.neg(tf.tanh(scale))));
  }
  return tf.mean(tf.square(x)) as tf.Scalar;
}

test.each(['float32', 'bfloat16'] as const)(
  'the gradients of a network, whose slices and casts are made again, are what they are op by op: %s',
  (precision) => {
    const { batch, tokens, channels, layers } = network;
    const shapes = { qkv: [96, 32], out: [32, 32], in: [64, 32], both: [64, 64] };
    const variables = Object.fromEntries(
      Array.from({ length: layers }, (_, layer) =>
        Object.entries(shapes).map(([name, shape], index) => [
          `${layer}.${name}`,
          tf.tidy(() => tf.mul(random(10 * layer + index, shape), 0.1)),
        ]),
      ).flat(),
    );
    const x = tensorSpec([batch, tokens, channels]);
    const body = (weights: Record<string, tf.Tensor>, given: Record<string, tf.Tensor>) => {
      const names = Object.keys(weights);
      const { value, grads } = tf.valueAndGrads((...values: tf.Tensor[]) =>
        networkLoss(
          Object.fromEntries(names.map((name, i) => [name, values[i] as tf.Tensor])),
          given.x as tf.Tensor,
        ),
      )(Object.values(weights));
      const gradient = Object.fromEntries(names.map((name, i) => [name, grads[i] as tf.Tensor]));
      return { outputs: { loss: value, ...gradient } };
    };
    const recorded = trace(native(), 'f', body, variables, { x }, precision);
    rematerialise(recorded);
    expect(areInOrder(recorded.operations)).toBe(true);
    expect(madeAgain(recorded).length).toBeGreaterThan(4);

    const [graph, eager] = (['graph', 'eager'] as const).map((mode) => {
      const program = createProgram({
        variables,
        functions: { f: { inputs: { x }, body } },
        mode,
        precision,
      });
      const found = program.run.f({ x: normal(5, batch * tokens * channels) });
      program.dispose();
      return found as Record<string, tf.Tensor>;
    });
    const scale = precision === 'float32' ? 1e-5 : 2e-2;
    for (const [name, tensor] of Object.entries(eager!)) {
      const expected = tensor.dataSync() as Float32Array;
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3);
      graph![name]!.dataSync().forEach((value, i) => {
        expect(Math.abs(value - expected[i]!) / largest, name).toBeLessThan(scale);
      });
    }
    tf.dispose([graph!, eager!, variables]);
  },
);
