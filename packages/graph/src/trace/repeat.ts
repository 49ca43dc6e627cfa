import { attributeKinds, nativeBackend, types } from '../native/binding.js';
import { entryOf } from '../records.js';
import { tf, tidy } from '../tf.js';
import { activeRecorder } from './tracing.js';

/**
 * Repeats a computation: `body` gets the number of the round and what the previous round returned.
 * In a captured function it is recorded once and becomes a loop of the graph, however many rounds
 * there are; elsewhere it is a loop of JavaScript. It has no gradient. The caller tidies.
 *
 * @param first number of the first round
 * @param end one more than the number of the last round
 * @param carried what the first round gets; every round returns tensors of the same shapes
 */
export function repeat(
  first: number,
  end: number,
  carried: tf.Tensor[],
  body: (round: tf.Scalar, carried: tf.Tensor[]) => tf.Tensor[],
): tf.Tensor[] {
  const recorder = activeRecorder();
  if (recorder) {
    return recorder.loop(tf.scalar(first, 'int32'), tf.scalar(end, 'int32'), carried, body);
  }
  let state = carried;
  for (let round = first; round < end; round++) {
    const before = state;
    // Tensors of their own: they go when the next round has run.
    state = tidy(() => body(tf.scalar(round, 'int32'), before).map((tensor) => tensor.clone()));
    if (before !== carried) tf.dispose(before);
  }
  return state;
}

/**
 * A tensor with a slice along an axis replaced. In a loop of a captured function that carries the
 * tensor, the slice is written in place. It has no gradient.
 *
 * @param axis from 0 to the rank minus 1
 * @param place index along the axis (an int32 scalar) at which the slice begins, from 0 to the size of
 *   the axis minus that of the slice. It is not checked: XLA moves any other to the nearest valid index
 *   and writes there; elsewhere what is beyond the end is not written, and a negative index writes
 *   nothing or to a wrong place
 * @param slice of the tensor's shape, except for its size along the axis
 * @returns a tensor of the same shape and type; `tensor` keeps its numbers. The caller frees it
 */
export function withSlice<T extends tf.Tensor>(
  tensor: T,
  axis: number,
  place: tf.Scalar,
  slice: tf.Tensor,
): T {
  const at = tensor.shape.map((_, other) => (other === axis ? place : tf.scalar(0, 'int32')));
  const native = nativeBackend();
  if (!native) {
    const shape = tensor.shape.map((size, other) => (other === axis ? size : 1));
    const [size, count] = [entryOf(tensor.shape, axis), entryOf(slice.shape, axis)];
    const entries = tf.sub(tf.range(0, size, 1, 'int32'), place);
    const within = tf.logicalAnd(tf.greaterEqual(entries, 0), tf.less(entries, count));
    // The minimum and maximum of integers, which clipping is not on every engine.
    const last = tf.scalar(count - 1, 'int32');
    const spread = tf.gather(
      slice,
      tf.cast(tf.maximum(tf.minimum(entries, last), tf.scalar(0, 'int32')), 'int32'),
      axis,
    );
    return tf.where(tf.reshape(within, shape), spread, tensor) as T;
  }
  const begin = tf.stack(at);
  const end = tf.add(begin, tf.tensor1d(slice.shape, 'int32'));
  const masks = ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'];
  const attributes = [
    { name: 'T', type: attributeKinds.type, value: types[tensor.dtype] },
    { name: 'Index', type: attributeKinds.type, value: types.int32 },
    ...masks.map((name) => ({ name, type: attributeKinds.int, value: 0 })),
  ];
  const inputs = [tensor, begin, end, tf.onesLike(begin), slice];
  return native.executeSingleOutput('TensorStridedSliceUpdate', attributes, inputs) as T;
}
