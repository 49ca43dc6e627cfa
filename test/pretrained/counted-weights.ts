import type { HostTensor } from '../../src/formats/safetensors.js';

/** Numbers of [0, 1) by name and counter, as in counted_weights.py. */
export function counted(name: string, size: number): Float64Array {
  let seed = 0;
  for (const character of name) seed = (Math.imul(seed, 31) + character.charCodeAt(0)) >>> 0;
  const values = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    let x = (i + seed) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    values[i] = ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  }
  return values;
}

/** The tensor of a state dict by its name, as in counted_weights.py. */
export function filled(
  name: string,
  shape: readonly number[],
): HostTensor & { data: Float32Array } {
  const size = shape.reduce((product, side) => product * side, 1);
  const values = counted(name, size);
  const place = placeOf(name, shape);
  const data = new Float32Array(size);
  for (let i = 0; i < size; i++) data[i] = place(values[i] as number);
  return { dtype: 'F32', shape: [...shape], data };
}

function placeOf(name: string, shape: readonly number[]): (value: number) => number {
  const fan = shape.slice(1).reduce((product, side) => product * side, 1);
  if (name.endsWith('running_var')) return (value) => 0.5 + value;
  if (shape.length === 4) return (value) => (2 * value - 1) * Math.sqrt(6 / fan);
  if (shape.length === 2) return (value) => (2 * value - 1) * Math.sqrt(3 / fan);
  if (name.endsWith('pos_embed')) return (value) => 2 * value - 1;
  if (/(weight|gamma)$/.test(name)) return (value) => 0.75 + value / 2;
  return (value) => (value - 0.5) / 5;
}

/** Images in [−1, 1] of grey levels 0 … 255 by name and counter, as `pixels` in counted_weights.py. */
export function countedImages(name: string, shape: readonly number[]): Float32Array {
  const size = shape.reduce((product, side) => product * side, 1);
  return Float32Array.from(counted(name, size), (value) => Math.floor(256 * value) / 127.5 - 1);
}

/** |a − b| / |b|, by the Euclidean length. */
export function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, length] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] as number) - (b[i] as number)) ** 2;
    length += (b[i] as number) ** 2;
  }
  return a.length === b.length ? Math.sqrt(difference / length) : Number.NaN;
}
