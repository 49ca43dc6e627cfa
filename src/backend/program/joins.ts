import { narrowing, type Users, usesOf } from './casts.js';
import { activation, madeBy, scalar } from './rewrite.js';
import { types } from './tensorflow.js';
import type { Operation, Trace, Value } from './trace.js';

/**
 * Joins operations for which oneDNN has one primitive; only where nothing else needs what is between
 * them, so not where a gradient flows. The trace is changed.
 * - A large layer normalisation of rows passes over memory once, not nine times.
 * - A GELU of a product of bfloat16 matrices and a bias is computed where the product writes its
 *   result, before that is rounded to bfloat16.
 *
 * @param bfloat16 whether oneDNN computes in bfloat16 here
 */
export function joinOperations(trace: Trace, bfloat16: boolean): void {
  const uses = usesOf(trace);
  const left: Operation[] = [];
  const replaced = new Set<Operation>();
  for (const operation of trace.operations) {
    const joined =
      joinedNorm(operation, uses) ?? (bfloat16 ? joinedActivation(operation, uses) : undefined);
    for (const part of joined?.parts ?? []) replaced.add(part);
    left.push(...(joined?.operations ?? [operation]));
  }
  const operations = left.filter((operation) => !replaced.has(operation));
  trace.operations.splice(0, trace.operations.length, ...operations);
}

interface Joined {
  /** What is computed in place of the last operation. */
  operations: Operation[];
  /** The operations before the last, which fall away. */
  parts: Operation[];
}

/** An operation of one result. */
function make(
  op: string,
  inputs: Value[],
  { shape, type }: Pick<Value, 'shape' | 'type'>,
  attributes: Operation['attributes'] = {},
): Operation {
  const operation: Operation = { op, attributes, inputs, outputs: [], writes: 0 };
  operation.outputs.push({ from: 'operation', operation, output: 0, shape, type });
  return operation;
}

/** Has an operation make the result of another. */
function handOver(operation: Operation, { outputs: [result] }: Operation): Operation {
  operation.outputs[0] = Object.assign(result as Value, { operation });
  return operation;
}

/** With fewer numbers the making of the primitive, at every call, takes longer than the passes. */
const leastElements = 1 << 17;

/** The one op for the layer normalisation that ends in an operation. */
function joinedNorm(last: Operation, uses: Users): Joined | undefined {
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
    x.shape.reduce((product, size) => product * size, 1) >= leastElements &&
    [mean, variance].every(({ outputs }) => String(outputs[0]?.shape) === `${x.shape[0]},1`) &&
    [scale, offset].every(({ shape }) => String(shape) === String(x.shape.slice(1))) &&
    epsilon > 0 &&
    parts.every((part) => userCount(part, uses) === (part === centred ? 2 : 1));
  if (!fits) return;
  const norm = make('_MklLayerNorm', [x, scale, offset], x, { epsilon: { float: epsilon } });
  return { operations: [handOver(norm, last)], parts };
}

/** The GELU of a product and a bias, all in bfloat16, for one that a cast to bfloat16 follows. */
function joinedActivation(last: Operation, uses: Users): Joined | undefined {
  if (last.op !== 'Cast' || last.outputs[0]?.type !== types.bfloat16) return;
  const chain = activation(madeBy(last.inputs[0], 'Mul'));
  const cast = madeBy(chain?.[1]?.inputs[0], 'Cast');
  if (!chain || !cast) return;
  const [product, sum, ...rest] = chain as [Operation, Operation, ...Operation[]];
  const parts = [cast, sum, ...rest];
  if (product.outputs[0]?.type !== types.bfloat16) return;
  const once = [product, ...parts].every((part) => {
    return userCount(part, uses) === (part === sum ? 2 : 1);
  });
  if (!once) return;
  const like = product.outputs[0];
  const bias = narrowing(sum.inputs[1] as Value);
  const operations = [bias, make('AddV2', [like, bias.outputs[0] as Value], like)];
  const x = operations[1]?.outputs[0] as Value;
  let made = x;
  for (const { op, inputs } of rest) {
    const other = inputs[1];
    const second = other?.from === 'constant' ? [bfloat16Scalar(scalar(other))] : [made];
    const next = op === 'Erf' ? make(op, [made], like) : make(op, [made, ...second], like);
    operations.push(next);
    made = next.outputs[0] as Value;
  }
  const end = operations.at(-1) as Operation;
  end.inputs[0] = x;
  handOver(end, last);
  return { operations, parts };
}

function userCount({ outputs: [result] }: Operation, uses: Users): number {
  return uses.get(result as Value)?.length ?? 0;
}

/** A constant, rounded to bfloat16. */
function bfloat16Scalar(value: number): Value {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0] as number;
  const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  const content = Uint8Array.of(rounded & 0xff, rounded >>> 8);
  return { from: 'constant', shape: [], type: types.bfloat16, content };
}
