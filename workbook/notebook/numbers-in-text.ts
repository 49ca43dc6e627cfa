/**
 * A number with two significant digits, as an error is written: “0.034”, “2.6”; with an exponent below
 * 0.001 and from 10,000 on, “3.4e-5”; zero as “0”.
 */
export function twoDigits(value: number): string {
  const rounded = Number(value.toPrecision(2));
  const magnitude = Math.abs(rounded);
  if (value === 0) return '0';
  if (!(magnitude >= 1e-3 && magnitude < 1e4)) return value.toExponential(1);
  return rounded.toFixed(Math.max(0, 1 - Math.floor(Math.log10(magnitude))));
}
