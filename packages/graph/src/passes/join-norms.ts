import { types } from '../native/binding.js';
import { entryOf } from '../records.js';
import { elements, type Operation, type Trace, type Value } from '../trace/operations.js';
import {
  float32Constant,
  handOver,
  made,
  madeBy,
  replaceOperations,
  resultOf,
  scalar,
  type Users,
  usesOf,
} from './trace-edit.js';

/**
 * Joins the operations of each large layer normalisation of rows into the one for which oneDNN has a
 * primitive, which passes over memory once instead of nine times. Only where nothing else needs the
 * intermediate results, so not where a gradient flows. The trace is changed.
 */
export function joinNorms(trace: Trace): void {
  const uses = usesOf(trace);
  const replaced = new Set<Operation>();
  const joined = trace.operations.map((operation) => {
    const found = joinedNorm(operation, uses);
    for (const part of found?.parts ?? []) replaced.add(part);
    return found?.norm ?? operation;
  });
  replaceOperations(
    trace.operations,
    joined.filter((operation) => !replaced.has(operation)),
  );
}

/** The op of a joined normalisation. */
export const joinedOp = '_MklLayerNorm';

/** With fewer numbers, creating the primitive at every call takes longer than the passes. */
const leastElements = 1 << 17;

/** The joined form of the layer normalisation that ends in an operation, and its other parts. */
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
  handOver(norm, resultOf(last));
  return { norm, parts };
}

/** True for the mean of each row of a matrix, kept as a column. */
export function isRowMean({ op, inputs: [x, axes], outputs: [result] }: Operation): boolean {
  return (
    op === 'Mean' &&
    x?.type === types.float32 &&
    x.shape.length === 2 &&
    String(result?.shape) === `${x.shape[0]},1` &&
    axes?.from === 'constant'
  );
}

/**
 * A mean of rows as XLA computes it fastest on a processor: as a product with a column of 1/channels,
 * because it computes products several numbers at a time, but not sums along rows.
 */
export function meanForCompiler(mean: Operation): Operation {
  const x = entryOf(mean.inputs, 0);
  const column = columnOfMean(entryOf(x.shape, 1));
  return { ...mean, op: 'MatMul', inputs: [x, column], attributes: {} };
}

/** A column whose product with a row is the row's mean. */
function columnOfMean(channels: number): Value {
  return float32Constant([channels, 1], new Float32Array(channels).fill(1 / channels));
}

/**
 * A joined normalisation as operations for XLA, which has no such primitive. Together with the
 * operations around it in a fusion, this takes 0.6 times oneDNN's time.
 */
export function normForCompiler({ attributes, inputs, outputs }: Operation): Operation[] {
  const [x, scale, offset] = [entryOf(inputs, 0), entryOf(inputs, 1), entryOf(inputs, 2)];
  const [rows, channels] = [entryOf(x.shape, 0), entryOf(x.shape, 1)];
  const { epsilon } = attributes;
  if (!epsilon || !('float' in epsilon)) throw new Error('A normalisation has no epsilon.');
  const operations: Operation[] = [];
  const make = (op: string, taken: Value[], width = channels): Value => {
    const result = { shape: [rows, width], type: types.float32 };
    const operation = made(op, {}, taken, result);
    operations.push(operation);
    return resultOf(operation);
  };
  const column = columnOfMean(channels);
  const centred = make('Sub', [x, make('MatMul', [x, column], 1)]);
  const variance = make('MatMul', [make('Square', [centred]), column], 1);
  const small = float32Constant([], Float32Array.of(...[epsilon.float].flat()));
  const raised = make('Add', [variance, small], 1);
  const normalised = make('Mul', [centred, make('Rsqrt', [raised], 1)]);
  const last = made('Add', {}, [make('Mul', [normalised, scale]), offset], x);
  return [...operations, handOver(last, entryOf(outputs, 0))];
}

function userCount(operation: Operation, uses: Users): number {
  return uses.get(resultOf(operation))?.length ?? 0;
}
