/**
 * Which names of emoji are held out for composition, by a rule: words that a model meets apart and is
 * asked for together. `composed-names.ts` lists what the rule gives.
 */

/** A table of names: each word of the rows before each word of the columns, where there is such a name. */
interface NameTable {
  rows: readonly string[];
  columns: readonly string[];
  /** Each so many-th diagonal of the table is held out, from the first one on. */
  every: number;
}

const tables: readonly NameTable[] = [
  {
    rows: ['red', 'orange', 'yellow', 'green', 'blue', 'purple', 'brown', 'black', 'white'],
    columns: ['heart', 'circle', 'square', 'book'],
    every: 3,
  },
  { rows: ['crying', 'grinning', 'kissing', 'weary', 'pouting'], columns: ['cat'], every: 2 },
  {
    rows: ['man', 'woman'],
    columns: [
      ...['artist', 'astronaut', 'climbing', 'cook', 'dancing', 'detective', 'elf', 'fairy'],
      ...['farmer', 'firefighter', 'genie', 'golfing', 'guard', 'judge', 'juggling', 'mage'],
      ...['mechanic', 'pilot', 'running', 'scientist', 'singer', 'student', 'superhero'],
      ...['surfing', 'swimming', 'teacher', 'technologist', 'vampire', 'walking', 'zombie'],
    ],
    every: 4,
  },
];

/** The words of a name, or of a caption. */
export function nameWords(name: string): string[] {
  return name.toLowerCase().match(/[\p{L}\p{N}’-]+/gu) ?? [];
}

/** Whether a name has all words of a held-out one, as `man running facing right` those of `man running`. */
export function isComposed(name: string, composed: readonly string[]): boolean {
  const words = new Set(nameWords(name));
  return composed.some((held) => nameWords(held).every((word) => words.has(word)));
}

/**
 * The names held out: of the tables above every third, second or fourth diagonal (row + column), without
 * those of which a word comes in no other name that is trained on. With a name go all that have its
 * words.
 *
 * @param names all names of emoji
 * @param trained those among them that are trained on, if none is held out
 */
export function composedNames(names: Iterable<string>, trained: Iterable<string>): string[] {
  const known = new Set(names);
  const onDiagonals = tables.flatMap(({ rows, columns, every }) =>
    rows.flatMap((row, i) =>
      columns.flatMap((column, j) => {
        const name = `${row} ${column}`;
        return (i + j) % every === 0 && known.has(name) ? [name] : [];
      }),
    ),
  );
  const left = [...trained].filter((name) => !isComposed(name, onDiagonals));
  const met = new Set(left.flatMap(nameWords));
  return onDiagonals.filter((name) => nameWords(name).every((word) => met.has(word)));
}
