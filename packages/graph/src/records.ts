/** A record of the same keys with `f` applied to each value. */
export function mapValues<A, B>(
  record: Record<string, A>,
  f: (value: A, key: string) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value, key)]));
}

/** What stands at a place of a list, or under a key of a map or a record, where something has to. */
export function entryOf<V>(list: readonly V[], place: number): V;
export function entryOf<K, V>(map: ReadonlyMap<K, V>, key: K): V;
export function entryOf<V>(record: Readonly<Record<string, V>>, key: string): V;
export function entryOf(from: object, key: unknown): unknown {
  const found = from instanceof Map ? from.get(key) : Reflect.get(from, String(key));
  if (found === undefined) throw new Error(`There is no entry ${String(key)}.`);
  return found;
}
