import { zipSync } from 'fflate';

/** An array as NumPy stores it. */
export function npyOf(
  type: string,
  shape: readonly number[],
  numbers: Uint8Array,
  { fortran = false, version = 1 } = {},
): Uint8Array {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const order = fortran ? 'True' : 'False';
  const text = `{'descr': '${type}', 'fortran_order': ${order}, 'shape': (${sizes}), }`;
  const prefix = version === 1 ? 10 : 12;
  const padded = Math.ceil((prefix + text.length + 1) / 64) * 64 - prefix;
  const start = Buffer.alloc(prefix);
  start.write('\x93NUMPY', 0, 'latin1');
  start[6] = version;
  if (version === 1) start.writeUInt16LE(padded, 8);
  else start.writeUInt32LE(padded, 8);
  return Buffer.concat([start, Buffer.from(`${text.padEnd(padded - 1)}\n`), numbers]);
}

/** A `.npz` file of arrays: stored as `numpy.savez` does, or compressed. */
export function npzOf(arrays: Record<string, Uint8Array>, { compressed = false } = {}): Uint8Array {
  const files = Object.entries(arrays).map(([name, bytes]) => [`${name}.npy`, bytes]);
  return zipSync(Object.fromEntries(files), { level: compressed ? 6 : 0 });
}

/** Whole numbers in 64 bits, as NumPy has them. */
export function int64(numbers: readonly number[]): Uint8Array {
  return new Uint8Array(BigInt64Array.from(numbers, BigInt).buffer);
}
