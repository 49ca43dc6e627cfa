import type { Shown } from '../pipes.js';
import { fromPackages } from './es-packages.js';

/** What a hint may be given for. */
export type Moment =
  /**
   * The compiler found something, which the line shows from the column, counted from 0, on. Without strict
   * mode it also tells of an index that the type of a value has not (7053), and the cell runs.
   */
  | { when: 'found'; code: number; message: string; line: string; column: number }
  /** A cell has declared a name again, which had a value, and had been imported from somewhere or not. */
  | { when: 'replaced'; name: string; old: unknown; from: string | undefined }
  /** A cell has ended, well or not. */
  | { when: 'ended' };

/** One line of Markdown for beginners, or nothing. */
export type Hint = (moment: Moment) => string | undefined | Promise<string | undefined>;

/**
 * The hints of all moments, each once: those of the kernel, and those of the packages that cells have
 * loaded. A package names a module in its package.json, `{ "notebook": { "hints": "./dist/hints.js" } }`,
 * which exports `hint`.
 */
export async function hintsFor(moments: readonly Moment[]): Promise<string[]> {
  const hints = [habit, imported, ...fromPackages<Hint>('hints', 'hint')];
  const found = new Set<string>();
  for (const moment of moments) {
    for (const hint of hints) {
      const line = await hint(moment);
      if (line !== undefined) found.add(line);
    }
  }
  return [...found];
}

/** A hint as it is shown below a cell. */
export function shownHint(line: string): Shown {
  return {
    data: { 'text/plain': `Hint: ${line}`, 'text/markdown': `💡 ${line}` },
    metadata: {},
  };
}

/** What Python and its notebooks have: the line, what the compiler says of it, and the way of TypeScript. */
const habits: { line: RegExp; message?: RegExp; hint(...parts: string[]): string }[] = [
  {
    line: /^\s*from\s+(\S+)\s+import\s+([\w\s,*]+)/,
    hint: (from, names = '') => `In TypeScript: \`import { ${names.trim()} } from '${from}';\``,
  },
  {
    line: /^\s*import\s+([\w.]+)(?:\s+as\s+(\w+))?\s*$/,
    hint: (from, name = from) => `In TypeScript: \`import * as ${name} from '${from}';\``,
  },
  {
    line: /\bprint\s*\(/,
    message: /'print'/,
    hint: () => 'In TypeScript: `console.log(…)`. What a cell ends with is shown without it.',
  },
  {
    line: /^\s*%%?[a-z]/,
    hint: () =>
      'There are no magic commands. To time a cell: `console.time(); …; console.timeEnd();`.',
  },
  {
    line: /^\s*!([a-z]\w*(?:\s+[^=&|?].*)?)$/,
    message: /Cannot find name|expected/,
    hint: (command = '') =>
      `To run a command: \`import { execSync } from 'node:child_process'; console.log(String(execSync('${command.trim()}')));\``,
  },
];

/** What Python has under these names; functions of mathematics are those of `Math`. */
const names: Readonly<Record<string, string>> = {
  True: 'true',
  False: 'false',
  None: 'undefined',
  math: 'Math',
  pi: 'Math.PI',
  len: 'x.length',
  range: 'for (let i = 0; i < n; i++) { … }',
  sum: 'xs.reduce((sum, x) => sum + x, 0)',
};

function habit(moment: Moment): string | undefined {
  if (moment.when !== 'found') return undefined;
  const [, name = ''] = /^Cannot find name '(\w+)'/.exec(moment.message) ?? [];
  const here = Object.hasOwn(Math, name)
    ? `Math.${name}`
    : Object.hasOwn(names, name) && names[name];
  if (here) return `In TypeScript: \`${here}\`.`;
  for (const { line, message, hint } of habits) {
    const [whole, ...parts] = line.exec(moment.line) ?? [];
    if (whole !== undefined && (!message || message.test(moment.message))) return hint(...parts);
  }
  return undefined;
}

/** Names that were told of. */
const told = new Set<string>();

function imported(moment: Moment): string | undefined {
  if (moment.when !== 'replaced' || moment.from === undefined || told.has(moment.name)) {
    return undefined;
  }
  const { name, from } = moment;
  told.add(name);
  return `\`${name}\` was imported from '${from}', and is now what this cell has declared. Another name keeps both; importing it again brings the first one back.`;
}
