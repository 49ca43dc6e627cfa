import { nativeBackend, types } from '../native/binding.js';
import { entryOf } from '../records.js';
import { elements, type Operation, type Value } from '../trace/operations.js';
import { isRowMean, meanForCompiler } from './join-norms.js';
import { madeBy, resultOf, scalar } from './trace-edit.js';

/**
 * The same operation, by the op with which TensorFlow computes it fastest. In a graph:
 * - BiasAddGrad takes a tenth of Sum's time for a sum over all axes but the last, such as the
 *   gradient of every bias;
 * - BiasAdd adds a bias where the matrix product writes its result, which saves a pass over memory;
 * - a GELU of that sum is computed in the same place, where nothing else needs its argument.
 *   TensorFlow's optimiser finds it after MatMul only, which otherwise is slower than BatchMatMulV2.
 *
 * @param xla true for a body that XLA compiles; XLA fuses by itself
 * @param activated the products that only a bias and a GELU follow
 */
export function rewritten(
  operation: Operation,
  xla: boolean,
  activated: Set<Operation>,
): Operation {
  if (xla) return rewrittenForCompiler(operation);
  if (activated.has(operation)) return matrixProduct(operation);
  return biasGradient(operation) ?? biasSum(operation) ?? operation;
}

function rewrittenForCompiler(operation: Operation): Operation {
  if (operation.op === 'TensorStridedSliceUpdate') return updateInCompiled(operation);
  const large = operation.inputs[0] !== undefined && elements(operation.inputs[0]) >= manyElements;
  // A GPU sums rows as fast, and may round the arguments of products.
  const byProduct = large && isRowMean(operation) && !nativeBackend()?.isUsingGpuDevice;
  return byProduct ? meanForCompiler(operation) : operation;
}

/** With fewer numbers, a call of the routine for products takes longer than a sum. */
const manyElements = 1 << 16;

/**
 * The operations of each GELU, x·Φ(x), whose argument is a matrix product plus a bias: the product
 * first, then the sum. Only those whose operations have no other users.
 *
 * @param results values that are needed in any case
 */
export function activatedProducts(
  operations: readonly Operation[],
  results: Iterable<Value>,
): Operation[][] {
  const uses = new Map<Value, number>();
  const count = (value: Value) => uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const { inputs } of operations) inputs.forEach(count);
  for (const value of results) count(value);
  return operations.flatMap((operation) => {
    const found = activation(operation);
    if (!found) return [];
    // The sum is used twice, and the others but the last once.
    const fits = found
      .slice(0, -1)
      .every((one, place) => uses.get(resultOf(one)) === (place === 1 ? 2 : 1));
    return fits ? [found] : [];
  });
}

/** Product, sum, x/√2, erf, 1 + erf, Φ and x·Φ, if the operation is the last of these. */
function activation(operation: Operation): Operation[] | undefined {
  const [x, phi] = operation.inputs;
  const half = madeBy(phi, 'Mul');
  const one = madeBy(half?.inputs[0], 'AddV2', 'Add');
  const erf = madeBy(one?.inputs[0], 'Erf');
  const scaled = madeBy(erf?.inputs[0], 'Mul');
  const sum = madeBy(x, 'AddV2', 'Add');
  const product = madeBy(sum?.inputs[0], 'BatchMatMulV2');
  if (operation.op !== 'Mul' || !half || !one || !erf || !scaled || !sum || !product) return;
  if (scaled.inputs[0] !== x || !biasSum(sum) || x?.shape.length !== 2) return;
  const holds = ({ inputs }: Operation, number: number) =>
    Math.abs(scalar(inputs[1]) - number) < 1e-7;
  const equal = holds(half, 0.5) && holds(one, 1) && holds(scaled, Math.SQRT1_2);
  return equal ? [product, sum, scaled, erf, one, half, operation] : undefined;
}

/** A product of two matrices by MatMul. */
function matrixProduct(operation: Operation): Operation {
  const { adj_x: transpose_a, adj_y: transpose_b } = operation.attributes;
  const flags = { ...(transpose_a && { transpose_a }), ...(transpose_b && { transpose_b }) };
  return { ...operation, op: 'MatMul', attributes: flags };
}

function biasGradient(operation: Operation): Operation | undefined {
  if (!isSumToLastAxis(operation)) return;
  return { ...operation, op: 'BiasAddGrad', inputs: operation.inputs.slice(0, 1), attributes: {} };
}

/** True for a sum over all axes but the last, such as the gradient of a bias. */
export function isSumToLastAxis({ op, inputs: [x, axes], attributes }: Operation): boolean {
  if (op !== 'Sum' || !x || x.shape.length < 2 || x.type !== types.float32) return false;
  const keep = attributes.keep_dims;
  if (keep && 'bool' in keep && keep.bool) return false;
  const leading = x.shape.slice(1).map((_, axis) => axis);
  return String(integers(axes)?.sort()) === String(leading);
}

/** True for the sum of a matrix product and a bias, which is added where the product is made. */
export function isBiasOfProduct(operation: Operation): boolean {
  const [x] = operation.inputs;
  const product = x?.from === 'operation' ? x.operation.op : '';
  return /MatMul/.test(product) && biasSum(operation) !== undefined;
}

function biasSum(operation: Operation): Operation | undefined {
  const [x, bias] = operation.inputs;
  if (!/^Add(V2)?$/.test(operation.op) || !x || !bias || x.type !== types.float32) return;
  if (x.shape.length < 2 || bias.shape.length !== 1 || x.shape.at(-1) !== bias.shape[0]) return;
  return { ...operation, op: 'BiasAdd', attributes: {} };
}

/** XLA's form of an update of a slice, whose place may be a computed one. */
function updateInCompiled(operation: Operation): Operation {
  const inputs = [0, 4, 1].map((place) => entryOf(operation.inputs, place));
  return { ...operation, op: 'XlaDynamicUpdateSlice', inputs, attributes: {} };
}

function integers(value: Value | undefined): number[] | undefined {
  if (value?.from !== 'constant' || value.type !== types.int32) return undefined;
  const { buffer, byteOffset, byteLength } = value.content;
  return Array.from(new Int32Array(buffer.slice(byteOffset, byteOffset + byteLength)));
}
