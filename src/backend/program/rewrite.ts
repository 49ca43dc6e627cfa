import { types } from './tensorflow.js';
import type { Operation, Value } from './trace.js';

/**
 * The same operation by the op that TensorFlow computes it fastest with. In a graph:
 * - the sum over all axes but the last, which the gradient of every bias is, takes BiasAddGrad a
 *   tenth of Sum's time;
 * - a bias by BiasAdd is added where the matrix product writes its result, which saves a pass over
 *   memory. (A product of two matrices by MatMul in place of BatchMatMulV2 loses that again.)
 *
 * @param xla true for a body that XLA compiles; it fuses by itself
 */
export function rewritten(operation: Operation, xla: boolean): Operation {
  if (xla)
    return operation.op === 'TensorStridedSliceUpdate' ? updateInCompiled(operation) : operation;
  return biasGradient(operation) ?? biasSum(operation) ?? operation;
}

function biasGradient(operation: Operation): Operation | undefined {
  const [x, axes] = operation.inputs;
  if (operation.op !== 'Sum' || !x || x.shape.length < 2 || x.type !== types.float32) return;
  const keep = operation.attributes.keep_dims;
  if (keep && 'bool' in keep && keep.bool) return;
  const leading = x.shape.slice(1).map((_, axis) => axis);
  if (String(integers(axes)?.sort()) !== String(leading)) return;
  return { ...operation, op: 'BiasAddGrad', inputs: [x], attributes: {} };
}

function biasSum(operation: Operation): Operation | undefined {
  const [x, bias] = operation.inputs;
  if (!/^Add(V2)?$/.test(operation.op) || !x || !bias || x.type !== types.float32) return;
  if (x.shape.length < 2 || bias.shape.length !== 1 || x.shape.at(-1) !== bias.shape[0]) return;
  return { ...operation, op: 'BiasAdd', attributes: {} };
}

/** XLA's form of an update of a slice, which takes a place that is computed. */
function updateInCompiled(operation: Operation): Operation {
  const [input, begin, , , update] = operation.inputs as [Value, Value, Value, Value, Value];
  return {
    ...operation,
    op: 'XlaDynamicUpdateSlice',
    inputs: [input, update, begin],
    attributes: {},
  };
}

function integers(value: Value | undefined): number[] | undefined {
  if (value?.from !== 'constant' || value.type !== types.int32) return undefined;
  const { buffer, byteOffset, byteLength } = value.content;
  return Array.from(new Int32Array(buffer.slice(byteOffset, byteOffset + byteLength)));
}
