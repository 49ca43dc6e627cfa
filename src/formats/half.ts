/**
 * The two 16-bit floating-point formats that checkpoints are stored in. TensorFlow.js has neither,
 * so they live only in files: decoded to float32 exactly, rounded to nearest, ties to even.
 */

const scratch = new ArrayBuffer(4);
const asFloat = new Float32Array(scratch);
const asBits = new Uint32Array(scratch);

/** bfloat16 (1 sign, 8 exponent, 7 fraction bits): the upper half of a float32. */
export function decodeBfloat16(bits: number): number {
  asBits[0] = bits << 16;
  return asFloat[0]!;
}

/** The bits of the bfloat16 nearest to a float32. */
export function encodeBfloat16(value: number): number {
  asFloat[0] = value;
  const bits = asBits[0]!;
  // Rounding could carry a NaN's fraction into infinity; keep its sign and make it quiet.
  if (Number.isNaN(value)) return ((bits >>> 16) & 0x8000) | 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** IEEE 754 binary16 (1 sign, 5 exponent, 10 fraction bits). */
export function decodeFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The bits of the binary16 nearest to a float32; from 65520 on that is infinity. */
export function encodeFloat16(value: number): number {
  asFloat[0] = value;
  const bits = asBits[0]!;
  const sign = (bits >>> 16) & 0x8000;
  if (Number.isNaN(value)) return sign | 0x7e00;
  const magnitude = Math.abs(asFloat[0]!);
  if (magnitude >= 65520) return sign | 0x7c00;
  // Below the smallest normal number, 2^-14, the spacing is constant: 2^-24. A subnormal that
  // rounds up to 1024 units is the smallest normal number, whose bits are the same integer. Doubles
  // from 2^52 on are whole numbers, to which a sum is rounded, ties to even.
  if (magnitude < 2 ** -14) return sign | (magnitude * 2 ** 24 + 2 ** 52 - 2 ** 52);
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7fffff;
  const kept = ((exponent - 112) << 10) | (fraction >>> 13);
  const dropped = fraction & 0x1fff;
  const up = dropped > 0x1000 || (dropped === 0x1000 && (kept & 1) === 1);
  // A carry out of the fraction goes into the exponent, as it should.
  return sign | (kept + (up ? 1 : 0));
}
