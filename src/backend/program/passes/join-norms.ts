import { types } from '../../native/binding.js';
import { elements, type Operation, type Trace, type Value } from '../trace/tracing.js';
import { handOver, made, type Users, usesOf } from './casts.js';
import { madeBy, scalar } from './rewrite.js';

/**
 * Joins the operations of each large layer normalisation of rows into one that oneDNN has a primitive
 * for, which passes over memory once, not nine times; only where nothing else needs what is between
 * them, so not where a gradient flows. The trace is changed.
 */
export function joinNorms(trace: Trace): void {
  const uses = usesOf(trace);
  const replaced = new Set<Operation>();
  const joined = trace.operations.map((operation) => {
    const found = joinedNorm(operation, uses);
    for (const part of found?.parts ?? []) replaced.add(part);
    return found?.norm ?? operation;
  });
  const operations = joined.filter((operation) => !replaced.has(operation));
  trace.operations.splice(0, trace.operations.length, ...operations);
}

/** The op of a joined normalisation. */
export const joinedOp = '_MklLayerNorm';

/** With fewer numbers the making of the primitive, at every call, takes longer than the passes. */
const leastElements = 1 << 17;

/** The one op for the layer normalisation that ends in an operation, and the operations before that. */
function joinedNorm(
  last: Operation,
  uses: Users,
): { norm: Operation; parts: Operation[] } | undefined {
  const offset = last.inputs[1];
  const scaled = madeBy(last.inputs[0], 'Mul');
  const normalised = madeBy(scaled?.inputs[0], 'Mul');
  const centred = madeBy(normalised?.inputs[0], 'Sub');
  const inverse = madeBy(normalised?.inputs[1], 'Rsqrt');
  const raised = madeBy(inverse?.inputs[0], 'AddV2', 'Add');
  const variance = madeBy(raised?.inputs[0], 'Mean');
  const square = madeBy(variance?.inputs[0], 'Square');
  const mean = madeBy(centred?.inputs[1], 'Mean');
  const [x, scale] = [centred?.inputs[0], scaled?.inputs[1]];
  if (!/^Add(V2)?$/.test(last.op) || !scaled || !normalised || !centred || !inverse) return;
  if (!raised || !variance || !square || !mean || !x || !scale || !offset) return;
  const epsilon = scalar(raised.inputs[1]);
  const parts = [mean, centred, square, variance, raised, inverse, normalised, scaled];
  const fits =
    square.inputs[0] === centred.outputs[0] &&
    mean.inputs[0] === x &&
    x.type === types.float32 &&
    x.shape.length === 2 &&
    elements(x) >= leastElements &&
    [mean, variance].every(({ outputs }) => String(outputs[0]?.shape) === `${x.shape[0]},1`) &&
    [scale, offset].every(({ shape }) => String(shape) === String(x.shape.slice(1))) &&
    epsilon > 0 &&
    parts.every((part) => userCount(part, uses) === (part === centred ? 2 : 1));
  if (!fits) return;
  const norm = made(joinedOp, { epsilon: { float: epsilon } }, [x, scale, offset], x);
  handOver(norm, last.outputs[0] as Value);
  return { norm, parts };
}

/**
 * A joined normalisation as operations for XLA, which has no such primitive. Means are products with a
 * column of 1/channels: those XLA computes several numbers at a time, and sums along rows it does not.
 * That is 0.6 times oneDNN's time, together with what stands before and after it in a fusion.
 */
export function normForCompiler({ attributes, inputs, outputs }: Operation): Operation[] {
  const [x, scale, offset] = inputs as [Value, Value, Value];
  const [rows, channels] = x.shape as [number, number];
  const operations: Operation[] = [];
  const make = (op: string, taken: Value[], width = channels): Value => {
    const result = { shape: [rows, width], type: types.float32 };
    operations.push(made(op, {}, taken, result));
    return operations.at(-1)?.outputs[0] as Value;
  };
  const column = constant([channels, 1], new Float32Array(channels).fill(1 / channels));
  const { float: epsilon } = attributes.epsilon as { float: number };
  const centred = make('Sub', [x, make('MatMul', [x, column], 1)]);
  const variance = make('MatMul', [make('Square', [centred]), column], 1);
  const raised = make('Add', [variance, constant([], Float32Array.of(epsilon))], 1);
  const normalised = make('Mul', [centred, make('Rsqrt', [raised], 1)]);
  make('Add', [make('Mul', [normalised, scale]), offset]);
  handOver(operations.at(-1) as Operation, outputs[0] as Value);
  return operations;
}

function constant(shape: readonly number[], numbers: Float32Array): Value {
  const content = new Uint8Array(numbers.buffer);
  return { from: 'constant', shape, type: types.float32, content };
}

function userCount({ outputs: [result] }: Operation, uses: Users): number {
  return uses.get(result as Value)?.length ?? 0;
}
