import { loadDataset } from '../../../src/data/index.js';
import '../../../workbook/data/emoji.js';
import { isComposed, nameWords } from '../../../workbook/data/emoji-names.js';

/**
 * Which names of emoji are held out for composition, by a rule: words that a model meets apart and is
 * asked for together. `heldOutNames` lists what the rule gives.
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

/** All names of emoji, and those of the training split, in their order. */
export async function namesOfEmoji(): Promise<{ all: string[]; trained: string[] }> {
  const [train, ...rest] = await Promise.all(
    (['train', 'validation', 'test'] as const).map(async (split) => {
      const { captions = [] } = await loadDataset('emoji-32', split);
      return captions.map((caption) => caption.replace(/ \([^)]* skin tone\)$/, ''));
    }),
  );
  const trained = [...new Set(train)];
  return { all: [...new Set([...trained, ...rest.flat()])], trained };
}
