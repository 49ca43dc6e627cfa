/** Numbers and verdicts as the words of a sentence or a caption. */

/** A share as a percentage, “83.0 %”; a dash where there is none. */
export function percent(share: number | undefined, digits = 1): string {
  return share === undefined ? '–' : `${(100 * share).toFixed(digits)} %`;
}

/**
 * The least and the most of some numbers, or the ends of an interval: “2.4 to 3.6”. Where both read
 * the same it is one number.
 */
export function span(values: readonly number[], digits: number): string {
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) =>
    value.toFixed(digits),
  );
  return least === most ? `${least}` : `${least} to ${most}`;
}

/** Numbers one after the other: “1.8, 5.6 and 4.6”. */
export function listed(values: readonly number[], digits: number): string {
  const texts = values.map((value) => value.toFixed(digits));
  const last = texts.pop() ?? '';
  return texts.length === 0 ? last : `${texts.join(', ')} and ${last}`;
}

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

/**
 * What a measurement says of a claim, to go on from “that … ”.
 *
 * @param told whether what was measured can be told from chance, as a test or a 95 % interval says
 * @param asClaimed whether it is as claimed, rather than the other way round
 */
export function verdict(told: boolean, asClaimed: boolean): string {
  if (!told) return 'cannot be told at this size';
  return asClaimed ? 'holds here' : 'does not hold here';
}
