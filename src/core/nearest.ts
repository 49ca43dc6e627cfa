/**
 * The name that somebody who wrote `name` most likely meant: the one with the fewest letters to
 * insert, delete, replace or swap with their neighbour (the restricted Damerau-Levenshtein
 * distance), where leaving out the beginning or the end (`layers` for `layersPerBlock`) counts as
 * one; capitals do not matter. The first of several that are as near.
 *
 * @returns none where there are no names, and where more than half of the letters would change
 */
export function nearestName(name: string, names: Iterable<string>): string | undefined {
  let nearest: string | undefined;
  // What is farther away was not meant.
  let least = Math.max(1, Math.floor(name.length / 2)) + 1;
  for (const candidate of names) {
    const [came, known] = [name.toLowerCase(), candidate.toLowerCase()];
    const edits = Math.min(
      distance(came, known),
      isPart(came, known) ? 1 : Number.POSITIVE_INFINITY,
    );
    if (edits < least) [nearest, least] = [candidate, edits];
  }
  return nearest;
}

/** Single letters are parts of most names, and say nothing. */
function isPart(came: string, known: string): boolean {
  return came.length > 2 && (known.startsWith(came) || known.endsWith(came));
}

function distance(a: string, b: string): number {
  // rows[i][j]: edits from the first i letters of a to the first j of b.
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => (rows[i] as number[])[j] as number;
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let edits = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, at(i - 2, j - 2) + 1);
      }
      (rows[i] as number[]).push(edits);
    }
  }
  return at(a.length, b.length);
}
