/** A record of the same keys with `f` applied to each value. */
export function mapValues<A, B>(
  record: Record<string, A>,
  f: (value: A, key: string) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value, key)]));
}
