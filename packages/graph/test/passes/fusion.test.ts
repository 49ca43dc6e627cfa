import { beforeAll, describe, expect, test } from 'vitest';
import { createProgram, repeat, tensorSpec } from '../../src/index.js';
import { types } from '../../src/native/binding.js';
import { dropIdle, hoistCasts, readNarrow, sinkCasts } from '../../src/passes/casts.js';
import { fused, isFusion } from '../../src/passes/fusion.js';
import { joinNorms } from '../../src/passes/join-norms.js';
import { activatedProducts, isBiasOfProduct } from '../../src/passes/rewrite.js';
import { sumRowsByProducts } from '../../src/passes/row-sums.js';
import { tf } from '../../src/tf.js';
import type { Precision } from '../../src/trace/body.js';
import type { Operation } from '../../src/trace/operations.js';
import { trace } from '../../src/trace/tracing.js';
import { areInOrder, native, random, startEngine, uniform } from '../engine.js';
import { attention, gelu, layerNorm, linear } from '../layers.js';

beforeAll(async () => {
  await startEngine('tensorflow');
});

type Body = (x: tf.Tensor2D, w: tf.Tensor2D) => tf.Tensor;

/** Large enough to be put together. */
const shape: [number, number] = [512, 128];

function traced(body: Body, precision: Precision = 'float32') {
  return trace(
    native(),
    'f',
    (_, { x, w }) => ({ outputs: { y: body(x as tf.Tensor2D, w as tf.Tensor2D) } }),
    {},
    { x: tensorSpec(shape), w: tensorSpec([128, 128]) },
    precision,
  );
}

/** The largest difference between the graph and op by op, relative to the largest number. */
function difference(body: Body, precision: Precision = 'float32'): number {
  const x = random(1, shape);
  const w = tf.mul(random(2, [128, 128]), 0.1);
  const [graph, eager] = (['graph', 'eager'] as const).map((mode) => {
    const program = createProgram({
      variables: {},
      functions: {
        f: {
          inputs: { x: tensorSpec(shape), w: tensorSpec([128, 128]) },
          body: (_: unknown, inputs: Record<string, tf.Tensor>) => ({
            outputs: { y: body(inputs.x as tf.Tensor2D, inputs.w as tf.Tensor2D) },
          }),
        },
      },
      mode,
      precision,
    });
    const { y } = program.run.f({ x, w }) as { y: tf.Tensor };
    program.dispose();
    return y;
  }) as [tf.Tensor, tf.Tensor];
  const [worst, scale] = tf.tidy(() => [
    tf.max(tf.abs(tf.sub(graph, eager))).dataSync()[0] as number,
    tf.max(tf.abs(eager)).dataSync()[0] as number,
  ]) as unknown as [number, number];
  tf.dispose([x, w, graph, eager]);
  return worst / scale;
}

/** A body of elementwise operations, sums and products, drawn at random. */
function randomBody(seed: number): Body {
  const draws = uniform(seed, 200);
  return (x, w) => {
    const made: tf.Tensor2D[] = [x, tf.mul(x, 0.5), tf.neg(x)];
    let next = 0;
    const draw = (below: number) => Math.floor((draws[next++] as number) * below);
    const any = () => made[draw(made.length)] as tf.Tensor2D;
    for (let i = 0; i < 25; i++) {
      const kinds: (() => tf.Tensor)[] = [
        () => tf.add(any(), any()),
        () => tf.mul(any(), tf.sigmoid(any())),
        () => tf.sub(any(), 0.3),
        () => tf.tanh(any()),
        () => tf.exp(tf.neg(tf.square(any()))),
        () => tf.sub(any(), tf.mean(any(), -1, true)),
        () => tf.mul(tf.matMul(any(), w), 0.1),
      ];
      made.push((kinds[draw(kinds.length)] as () => tf.Tensor)() as tf.Tensor2D);
    }
    return tf.addN(made.slice(-4));
  };
}

describe('elementwise operations put together', () => {
  test.each(Array.from({ length: 8 }, (_, seed) => seed))(
    'stand in an order in which they can run, whatever the graph (%i)',
    (seed) => {
      const { operations } = traced(randomBody(500 + seed));
      const units = fused(operations, () => true);
      const ordered = units.flatMap((unit) => (isFusion(unit) ? unit.members : [unit]));
      expect(areInOrder(ordered)).toBe(true);
      expect(new Set(ordered).size).toBe(operations.length);
      expect(units.some(isFusion)).toBe(true);
    },
  );

  test.each([0, 1, 2])('compute what they compute one by one (%i)', (seed) => {
    expect(difference(randomBody(600 + seed))).toBeLessThan(1e-5);
  });

  test('are a GELU and its gradient, each in one piece', () => {
    const { operations } = traced((x) => tf.grad((y: tf.Tensor) => gelu(y))(x));
    const pieces = fused(operations, () => true).filter(isFusion);
    const errorFunctions = pieces.map(({ members }) => members.filter(({ op }) => op === 'Erf'));
    expect(errorFunctions.map(({ length }) => length)).toEqual([1, 1]);
  });

  test('leave small tensors and what does not fit alone', () => {
    const small = traced((x) => gelu(tf.slice(x, 0, 4)));
    expect(fused(small.operations, () => true).some(isFusion)).toBe(false);
    const large = traced((x) => gelu(x));
    const neither = ['Erf', 'Add', 'AddV2'];
    expect(fused(large.operations, ({ op }) => !neither.includes(op)).some(isFusion)).toBe(false);
  });

  test('are made where they are needed, which can be much later than what they take', () => {
    const { operations } = traced((x, w) => {
      const late = tf.exp(tf.neg(tf.square(tf.tanh(x))));
      let y = tf.sigmoid(tf.square(tf.neg(x))) as tf.Tensor2D;
      for (let i = 0; i < 40; i++) y = tf.matMul(y, w);
      return tf.mul(y, late);
    });
    const units = fused(operations, () => true);
    const [early, late] = ['Sigmoid', 'Exp'].map((wanted) =>
      units.findIndex((unit) => isFusion(unit) && unit.members.some(({ op }) => op === wanted)),
    ) as [number, number];
    expect(early).toBe(0);
    expect(late).toBe(units.length - 1);
  });

  test('stand before a loop that reads one of them, and behind one that they read', () => {
    const body: Body = (x) => {
      const twice = tf.mul(x, 2);
      const [sum] = repeat(0, 3, [tf.scalar(0)], (_, [s]) => [tf.add(s!, tf.sum(twice))]);
      return tf.add(tf.exp(tf.neg(tf.square(tf.mul(tf.add(twice, 1), 3)))), tf.mul(sum!, 1e-6));
    };
    const { operations } = traced(body);
    const units = fused(operations, () => true);
    expect(units.some(isFusion)).toBe(true);
    expect(areInOrder(units.flatMap((unit) => (isFusion(unit) ? unit.members : [unit])))).toBe(
      true,
    );
    expect(difference(body)).toBeLessThan(1e-5);
  });

  test('do not move past an operation that writes into a variable', () => {
    const { operations } = traced((x) => tf.mul(tf.exp(tf.neg(tf.square(tf.mul(x, 0.5)))), 2));
    const write: Operation = { op: 'W', attributes: {}, inputs: [], outputs: [], writes: 1 };
    const half = Math.floor(operations.length / 2);
    const units = fused(
      [...operations.slice(0, half), write, ...operations.slice(half)],
      () => true,
    );
    expect(units.flatMap((unit) => (isFusion(unit) ? unit.members : [unit])).indexOf(write)).toBe(
      half,
    );
  });
});

const bias = () => tf.linspace(-1, 1, 128) as tf.Tensor1D;
const layer: Body = (x, w) => gelu(linear(x, w, bias()));

describe('a GELU of a product and a bias', () => {
  const found = (body: Body) => {
    const { operations, outputs } = traced(body);
    return activatedProducts(operations, Object.values(outputs)).length;
  };

  test('is found where nothing else needs what it takes', () => {
    expect(found(layer)).toBe(1);
    expect(found((x, w) => linear(layer(x, w) as tf.Tensor2D, w, bias()))).toBe(1);
    expect(found((x, w) => layer(layer(x, w) as tf.Tensor2D, w))).toBe(2);
  });

  test('is not where something does, nor is something like it', () => {
    expect(
      found((x, w) => {
        const sum = linear(x, w, bias());
        return tf.add(gelu(sum), sum);
      }),
    ).toBe(0);
    expect(found((x, w) => tf.grad((y: tf.Tensor) => layer(y as tf.Tensor2D, w))(x))).toBe(0);
    expect(found((x, w) => tf.mul(tf.erf(linear(x, w, bias())), 0.5))).toBe(0);
  });

  test.each(['float32', 'bfloat16'] as const)('is what it is op by op, in %s', (precision) => {
    expect(difference(layer, precision)).toBeLessThan(precision === 'float32' ? 1e-6 : 1e-2);
    const deep: Body = (x, w) => linear(layer(x, w) as tf.Tensor2D, w, bias());
    expect(difference(deep, precision)).toBeLessThan(precision === 'float32' ? 1e-6 : 1e-2);
  });
});

describe('a layer normalisation', () => {
  /** The gradients by the input, the scale and the offset, as one tensor of a row each. */
  const gradients: Body = (x, w) => {
    const value = (y: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) =>
      tf.tanh(
        tf.matMul(layerNorm(y as tf.Tensor2D, scale as tf.Tensor1D, offset as tf.Tensor1D), w),
      );
    const [dx, ...others] = tf.grads(value)([x, tf.linspace(0.5, 2, 128), bias()]);
    const rows = others.map((each) => tf.reshape(each, [1, -1]));
    return tf.concat2d([dx as tf.Tensor2D, ...(rows as tf.Tensor2D[])], 0);
  };

  test('and its gradient are a piece each, with means of rows and sums of columns', () => {
    const { operations } = traced(gradients);
    const units = fused(operations, () => true);
    const alone = units.flatMap((unit) => (isFusion(unit) ? [] : [unit.op]));
    // The gradient by the offset takes a product that no piece makes.
    expect(alone.filter((op) => ['Mean', 'Sum', 'Rsqrt', 'Sub'].includes(op))).toEqual(['Sum']);
    const counts = (wanted: string) =>
      units.flatMap((unit) =>
        isFusion(unit) ? [unit.members.filter(({ op }) => op === wanted).length] : [],
      );
    expect(counts('Mean').filter((count) => count > 0)).toEqual([2, 2]);
    expect(Math.max(...counts('Sum'))).toBe(1);
  });

  test('does not join numbers of rows behind a write with a mean before it', () => {
    const { operations } = traced((x) => tf.mul(x, tf.rsqrt(tf.mean(tf.square(x), -1, true))));
    const write: Operation = { op: 'W', attributes: {}, inputs: [], outputs: [], writes: 1 };
    const place = operations.findIndex(({ op }) => op === 'Rsqrt');
    const units = fused(
      [...operations.slice(0, place), write, ...operations.slice(place)],
      () => true,
    );
    const order = units.flatMap((unit) => (isFusion(unit) ? unit.members : [unit]));
    const at = (wanted: string) => order.findIndex(({ op }) => op === wanted);
    expect(at('Mean')).toBeLessThan(at('W'));
    expect(at('W')).toBeLessThan(at('Rsqrt'));
  });

  test.each(['float32', 'bfloat16'] as const)(
    'has the gradient of op by op, in %s',
    (precision) => {
      expect(difference(gradients, precision)).toBeLessThan(precision === 'float32' ? 1e-5 : 2e-2);
    },
  );

  const joined = (body: Body) => {
    const recorded = traced(body);
    dropIdle(recorded);
    joinNorms(recorded);
    return recorded.operations.flatMap(({ op }) => (op === 'LinSpace' ? [] : [op]));
  };
  const norm: Body = (x) => layerNorm(x, tf.linspace(0.5, 2, 128), bias());
  const large: Body = (x, w) => norm(tf.concat2d([x, tf.mul(x, 2) as tf.Tensor2D], 0), w);

  test('is one operation where it is large', () => {
    expect(joined(large)).toEqual(['Mul', 'ConcatV2', '_MklLayerNorm']);
    expect(joined(norm)).not.toContain('_MklLayerNorm');
    expect(difference(large)).toBeLessThan(1e-6);
  });

  test.each(['float32', 'bfloat16'] as const)(
    'is put together with what is around it: %s',
    (precision) => {
      const body: Body = (x, w) => {
        const rows = linear(tf.concat2d([x, tf.mul(x, 2) as tf.Tensor2D], 0), w, bias());
        const residual = tf.add(rows, tf.tanh(rows)) as tf.Tensor2D;
        return linear(norm(residual, w) as tf.Tensor2D, w, bias());
      };
      const recorded = traced(body, precision);
      dropIdle(recorded);
      joinNorms(recorded);
      const [fusion] = fused(
        recorded.operations,
        (operation) => !isBiasOfProduct(operation),
      ).filter(isFusion);
      const ops = fusion?.members.map(({ op }) => op);
      expect(ops).toEqual(expect.arrayContaining(['Tanh', '_MklLayerNorm']));
      if (precision === 'bfloat16') expect(ops).toContain('Cast');
      expect(difference(body, precision)).toBeLessThan(precision === 'float32' ? 1e-6 : 1e-2);
    },
  );

  test('stays as it is where its gradient is taken', () => {
    const gradient: Body = (x, w) => tf.grad((y: tf.Tensor) => large(y as tf.Tensor2D, w))(x);
    expect(joined(gradient)).not.toContain('_MklLayerNorm');
    expect(difference(gradient)).toBeLessThan(1e-5);
  });
});

/** Causal attention of 32 sequences of 16 tokens, as a transformer layer has it. */
const attended: Body = (x, w) => {
  const [batch, tokens, heads, width] = [32, 16, 2, 64];
  const qkv = linear(layerNorm(x, tf.ones([128]), bias()), tf.concat([w, w, w], 0), tf.ones([384]));
  const [q, k, v] = tf.unstack(
    tf.transpose(tf.reshape(qkv, [batch, tokens, 3, heads, width]), [2, 0, 3, 1, 4]),
  ) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
  const out = attention(q, k, v);
  const joined = tf.reshape(tf.transpose(out, [0, 2, 1, 3]), [batch * tokens, heads * width]);
  return linear(joined as tf.Tensor2D, w, bias());
};

const gradientOf =
  (body: Body): Body =>
  (x, w) =>
    tf.grad((y: tf.Tensor) => tf.sum(tf.square(body(y as tf.Tensor2D, w))))(x);

describe('casts to bfloat16', () => {
  const moved = (body: Body, passes = [hoistCasts]) => {
    const recorded = traced(body, 'bfloat16');
    for (const pass of passes) pass(recorded);
    expect(areInOrder(recorded.operations)).toBe(true);
    return recorded.operations;
  };
  const isCast = ({ op }: Operation) => op === 'Cast';

  test('move before what only moves numbers', () => {
    const operations = moved(attended);
    const transposes = operations.filter(({ op }) => op === 'Transpose');
    expect(transposes.map(({ outputs }) => outputs[0]?.type)).toEqual([
      types.bfloat16,
      types.bfloat16,
    ]);
    // No number goes to float32 and back without something done to it.
    for (const { inputs } of operations.filter(isCast)) {
      const [input] = inputs;
      expect(input?.from === 'operation' && isCast(input.operation)).toBe(false);
    }
  });

  test('stay where the float32 numbers are needed too', () => {
    const operations = moved((x, w) => {
      const turned = tf.transpose(x) as tf.Tensor2D;
      return tf.add(tf.sum(turned), tf.sum(tf.matMul(w, turned)));
    });
    const [transpose] = operations.filter(({ op }) => op === 'Transpose');
    expect(transpose?.outputs[0]?.type).toBe(types.float32);
  });

  test('move behind what only moves numbers that were bfloat16, whoever needs them', () => {
    const body: Body = (x, w) => {
      const turned = tf.transpose(tf.matMul(x, w)) as tf.Tensor2D;
      return tf.add(tf.sum(turned), tf.sum(tf.matMul(w, turned)));
    };
    const operations = moved(body, [sinkCasts, dropIdle]);
    const [transpose] = operations.filter(({ op }) => op === 'Transpose');
    expect(transpose?.outputs[0]?.type).toBe(types.bfloat16);
    // The product takes what was moved as it is.
    const products = operations.filter(({ op }) => op === 'BatchMatMulV2');
    expect(products[1]?.inputs[1]).toBe(transpose?.outputs[0]);
    expect(difference(body, 'bfloat16')).toBeLessThan(1e-2);
  });

  test('stay where a loop takes what they make', () => {
    const body: Body = (x, w) => {
      const turned = tf.transpose(w) as tf.Tensor2D;
      const once = tf.matMul(x, turned);
      const [y] = repeat(0, 2, [once], (_, [h]) => [tf.tanh(tf.matMul(h as tf.Tensor2D, turned))]);
      return y as tf.Tensor;
    };
    moved(body, [sinkCasts, dropIdle, hoistCasts]);
    expect(difference(body, 'bfloat16')).toBeLessThan(1e-2);
  });

  test('are made of variables when these are assigned, where no function writes them', () => {
    const variables = { kept: tf.ones([128, 128]), written: tf.ones([128, 128]) };
    const recorded = trace(
      native(),
      'f',
      ({ kept, written }, { x }) => {
        const product = (y: tf.Tensor) =>
          tf.matMul(tf.matMul(y, kept as tf.Tensor), written as tf.Tensor);
        const [y] = repeat(0, 2, [x as tf.Tensor], (_, [carried]) => [
          product(carried as tf.Tensor),
        ]);
        return { outputs: { y: y as tf.Tensor, z: product(x as tf.Tensor) } };
      },
      variables,
      { x: tensorSpec(shape) },
      'bfloat16',
    );
    readNarrow(recorded, (name) => name === 'kept');
    const all = recorded.operations.flatMap((one) => [one, ...(one.loop?.operations ?? [])]);
    const products = all.filter(({ op }) => op === 'BatchMatMulV2');
    expect(products.length).toBe(4);
    for (const [index, { inputs }] of products.entries()) {
      expect(inputs[1]?.type).toBe(types.bfloat16);
      expect(inputs[1]?.from).toBe(index % 2 === 0 ? 'variable' : 'operation');
    }
    tf.dispose(variables);
  });

  test('take reshapes to a shape from before with them where neither changes anything', () => {
    const body: Body = (x, w) => {
      const heads = tf.reshape(tf.matMul(x, w), [512, 2, 64]);
      return tf.matMul(tf.reshape(tf.reshape(heads, [512 * 2, 64]), shape) as tf.Tensor2D, w);
    };
    const operations = moved(body, [dropIdle]);
    expect(
      operations.filter(({ op }) => ['Cast', 'Reshape'].includes(op)).map(({ op }) => op),
    ).toEqual(['Cast', 'Cast', 'Cast']);
    expect(difference(body, 'bfloat16')).toBeLessThan(1e-2);
  });

  test('take no time that grows with a power of a chain of reshapes', () => {
    const body: Body = (x, w) => {
      let y: tf.Tensor = x;
      for (let i = 0; i < 40; i++) y = tf.reshape(y, [2 ** (i % 6), 2 ** Math.floor(i / 6), -1]);
      return tf.matMul(tf.reshape(y, shape), w);
    };
    expect(moved(body, [dropIdle]).some(({ op }) => op === 'Reshape')).toBe(false);
  });

  /** Sums of 2,048 rows of a product, and what else is made of it. */
  const rowSums = (others: (rows: tf.Tensor2D, w: tf.Tensor2D) => tf.Tensor): Body => {
    return (x, w) => {
      const rows = tf.matMul(tf.concat([x, x, x, x], 0) as tf.Tensor2D, w) as tf.Tensor2D;
      return tf.add(tf.sum(rows, 0), tf.sum(others(rows, w)));
    };
  };

  test.each([
    ['a product', rowSums((rows, w) => tf.matMul(rows, w))],
    [
      'what a product takes',
      (x, w) => {
        const rows = tf.tanh(tf.concat([x, x, x, x], 0)) as tf.Tensor2D;
        return tf.add(tf.sum(rows, 0), tf.sum(tf.matMul(rows, w)));
      },
    ],
  ] as [string, Body][])('let rows be summed by a product: those of %s', (_, body) => {
    const operations = moved(body, [sumRowsByProducts]);
    expect(operations.filter(({ op }) => op === 'MatMul').length).toBe(1);
    expect(difference(body, 'bfloat16')).toBeLessThan(1e-2);
  });

  test('do not where the rows are needed in float32 too', () => {
    const body = rowSums((rows) => tf.tanh(rows) as tf.Tensor);
    const operations = moved(body, [sumRowsByProducts]);
    expect(operations.some(({ op }) => op === 'MatMul')).toBe(false);
  });

  test.each([
    ['attention', attended],
    ['its gradient', gradientOf(attended)],
  ] as const)('change no number: %s', (_, body) => {
    expect(difference(body, 'bfloat16')).toBeLessThan(1e-2);
    expect(difference(body)).toBeLessThan(1e-5);
  });
});

test('recording takes the memory of one tensor of each shape', () => {
  const side = 2048;
  const before = process.memoryUsage().rss;
  const { operations } = trace(
    native(),
    'deep',
    (_, { x }) => {
      // 64 results of 16 MiB, all of which the gradient needs.
      const deep = (y: tf.Tensor) => {
        let z = y;
        for (let i = 0; i < 64; i++) z = tf.mul(tf.sin(z), z);
        return z;
      };
      return { outputs: { y: tf.grad(deep)(x as tf.Tensor) } };
    },
    {},
    { x: tensorSpec([side, side]) },
    'float32',
  );
  expect(operations.length).toBeGreaterThan(256);
  expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(400);
});
