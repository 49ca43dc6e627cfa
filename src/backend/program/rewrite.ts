import { types } from './tensorflow.js';
import type { Operation, Value } from './trace.js';

/**
 * The same operation by the op that TensorFlow computes it fastest with. The sum over all axes but
 * the last, which the gradient of every bias is, takes BiasAddGrad a tenth of Sum's time.
 */
export function rewritten(operation: Operation): Operation {
  const [x, axes] = operation.inputs;
  if (operation.op !== 'Sum' || !x || x.shape.length < 2 || x.type !== types.float32) {
    return operation;
  }
  const keep = operation.attributes.keep_dims;
  if (keep && 'bool' in keep && keep.bool) return operation;
  const leading = x.shape.slice(1).map((_, axis) => axis);
  if (String(integers(axes)?.sort()) !== String(leading)) return operation;
  return { ...operation, op: 'BiasAddGrad', inputs: [x], attributes: {} };
}

function integers(value: Value | undefined): number[] | undefined {
  if (value?.from !== 'constant' || value.type !== types.int32) return undefined;
  const { buffer, byteOffset, byteLength } = value.content;
  return Array.from(new Int32Array(buffer.slice(byteOffset, byteOffset + byteLength)));
}
