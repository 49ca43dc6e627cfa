import { UserError } from '@tarflow/graph';

/**
 * An error that a user can cause and correct: it says what came (`problem`) and what to do (`remedy`). The
 * command line shows it without a stack trace (exit code 2).
 *
 * @example
 * ```ts
 * import { loadDataset, UserError } from 'tarflow';
 *
 * try {
 *   await loadDataset('mnist', 'test');
 * } catch (error) {
 *   if (!(error instanceof UserError)) throw error;
 *   console.log(error.problem, error.remedy);
 * }
 * ```
 */
export { UserError };

/**
 * What long work throws that an interrupt stopped, by the stop button of a notebook or by Control-C. The
 * command line shows it without a stack trace (exit code 130).
 *
 * @example
 * ```ts
 * import { Interruption } from 'tarflow';
 *
 * const stop = AbortSignal.abort(new Interruption());
 * try {
 *   stop.throwIfAborted();
 * } catch (error) {
 *   if (!(error instanceof Interruption)) throw error;
 *   console.log(error.problem); // This was stopped
 * }
 * ```
 */
export class Interruption extends UserError {
  /** @param remedy how to go on */
  constructor(
    problem = 'This was stopped',
    remedy = 'Do the same again, and what was kept of it is not done anew',
  ) {
    super(problem, remedy);
  }
}

/** A number of things in words: “1 image”, “2 images”. */
export function counted(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}

/**
 * Checks a number of things.
 *
 * @param what its name, for the error
 * @throws UserError where it is not a whole number above 0
 */
export function checkCount(what: string, value: number | undefined): void {
  if (value !== undefined && Number.isInteger(value) && value >= 1) return;
  throw new UserError(`${what} is ${value}`, 'Expected a whole number above 0');
}

/**
 * Checks an argument that no compiler looks at where the caller writes JavaScript.
 *
 * @param what to call it in the error, e.g. `The model`
 * @param fields what it has to have
 * @throws UserError that says what came: of a promise, that it has to be awaited
 */
export function checkGiven(what: string, value: unknown, ...fields: string[]): void {
  if (value instanceof Object && fields.every((field) => field in value)) return;
  if (value instanceof Promise) {
    throw new UserError(`${what} is a promise`, 'Put await before the call that returns it');
  }
  const came = value instanceof Object ? value.constructor?.name : value;
  throw new UserError(
    `${what} is ${typeof value === 'string' ? `'${value}'` : came}`,
    `Expected an object${fields.length > 0 ? ` with ${fields.join(' and ')}` : ''}`,
  );
}

/**
 * The name that somebody who wrote `name` most likely meant: the one with the fewest letters to
 * insert, delete, replace or swap with their neighbour (the restricted Damerau-Levenshtein
 * distance), where leaving out the end (`layers` for `layersPerBlock`) counts as one, and the beginning
 * as two; capitals do not matter, nor what follows a colon, as in `folder:PATH`. The first of several that
 * are as near.
 *
 * @returns none where there are no names, and where more than half of the letters would change
 */
export function nearestName(name: string, names: Iterable<string>): string | undefined {
  let nearest: string | undefined;
  // What is farther away was not meant.
  let least = Math.max(1, Math.floor(name.length / 2)) + 1;
  for (const candidate of names) {
    const [came = '', known = ''] = [name, candidate].map((one) =>
      (candidate.includes(':') ? one.replace(/:.*/s, '') : one).toLowerCase(),
    );
    const edits = Math.min(distance(came, known), partEdits(came, known));
    if (edits < least) [nearest, least] = [candidate, edits];
  }
  return nearest;
}

/**
 * The error for a name that is none of those there are: it names the nearest one.
 * @param what the name is of, for example 'data set'
 */
export function unknownName(what: string, name: string, names: readonly string[]): UserError {
  return new UserError(
    `Unknown ${what} '${name}'`,
    `${didYouMean(`${name}`, names)}Expected one of ${names.join(', ')}`,
  );
}

/** A question for the name that was most likely meant, to stand before what there is; '' for none. */
export function didYouMean(name: string, names: Iterable<string>): string {
  const nearest = nearestName(name, names);
  return nearest === undefined ? '' : `Did you mean ${nearest}? `;
}

/** How far a name is from its beginning, and from its end. Single letters are parts of most names. */
function partEdits(came: string, known: string): number {
  if (came.length <= 2) return Number.POSITIVE_INFINITY;
  return known.startsWith(came) ? 1 : known.endsWith(came) ? 2 : Number.POSITIVE_INFINITY;
}

function distance(a: string, b: string): number {
  // Edits from the first letters of a, one fewer and two fewer of them, to the first j of b.
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  let before: number[] = [];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      next.push(
        Math.min(
          at(row, j) + 1,
          at(next, j - 1) + 1,
          at(row, j - 1) + (same ? 0 : 1),
          swapped ? at(before, j - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    [before, row] = [row, next];
  }
  return at(row, b.length);
}

/**
 * An entry of a list that has it.
 * @throws RangeError where it has not
 */
export function at<T>(list: readonly T[], index: number): T {
  const entry = list.at(index);
  if (entry === undefined) throw new RangeError(`A list of ${list.length} has no entry ${index}`);
  return entry;
}
