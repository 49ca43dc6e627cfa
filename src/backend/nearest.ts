/**
 * The one of several names that is most like a given one, by the number of letters that differ
 * (Levenshtein); undefined where even that one differs in more than half of its letters.
 */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const candidate of names) {
    const found = distance(name.toLowerCase(), candidate.toLowerCase());
    if (found < (best?.distance ?? Number.POSITIVE_INFINITY)) {
      best = { name: candidate, distance: found };
    }
  }
  return best && best.distance <= best.name.length / 2 ? best.name : undefined;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
