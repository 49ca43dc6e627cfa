/** A position counted in code points, as Jupyter does, in UTF-16 units. */
export function toUnits(code: string, position: number): number {
  let units = 0;
  let points = 0;
  for (const sign of code) {
    if (points >= position) break;
    units += sign.length;
    points += 1;
  }
  return units;
}

/** A position counted in UTF-16 units, as JavaScript does, in code points. */
export function toCodePoints(code: string, position: number): number {
  return [...code.slice(0, position)].length;
}
