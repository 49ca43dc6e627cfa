import { tf } from '../core/tf.js';
import type { Leaves } from '../core/tree.js';
import type { SafetensorsFile, TensorSource } from './safetensors.js';

/** How a file stores the numbers of the engine. Half the bytes cost two or three decimal digits. */
export type StoredPrecision = 'F32' | 'F16' | 'BF16';

/**
 * Tensors of a file as tensors of the engine, one read after another, so that no more than one is
 * there twice.
 *
 * @param names default: all
 * @returns tensors that the caller frees
 * @throws as `SafetensorsFile.read` does
 */
export async function readLeaves(
  file: SafetensorsFile,
  names: readonly string[] = Object.keys(file.tensors),
): Promise<Leaves> {
  const read: [string, tf.Tensor][] = [];
  try {
    for (const name of names) {
      const { data, shape } = await file.read(name);
      const floats = data instanceof Float32Array ? data : Float32Array.from(data);
      read.push([name, tf.tensor(floats, shape)]);
    }
    return Object.fromEntries(read);
  } catch (error) {
    tf.dispose(read.map(([, tensor]) => tensor));
    throw error;
  }
}

/** A tensor of the engine for a file; its numbers are read when it is their turn. */
export function tensorSource(tensor: tf.Tensor, dtype: StoredPrecision): TensorSource {
  return { shape: tensor.shape, dtype, data: () => tensor.data<'float32'>() };
}
