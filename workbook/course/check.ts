import { UserError } from '../../src/core/errors.js';
import { tf } from '../../src/core/tf.js';

/** What a student's function may give: a number, numbers in lists, a tensor, or a word. */
export type Answer = number | boolean | string | ArrayLike<number> | tf.Tensor | readonly Answer[];

/** What is right, and what is known of wrong answers. */
export interface Expectation {
  expected: Answer;
  /** The largest difference that is taken for rounding; of numbers above 1 a share. Default 1e-4. */
  within?: number;
  /** What typical mistakes give, each with the sentence that leads on. */
  mistakes?: readonly { gives: Answer; hint: string }[];
  /** What to say of an answer that is wrong in another way. */
  hint?: string;
}

/** What {@link check} throws: it says in plain words what is wrong with an answer. */
export class WrongAnswer extends UserError {}

/**
 * Checks what a student has written: prints a line if it is right, and says what is wrong otherwise.
 *
 * @param name what was asked for, such as the name of the function
 * @param answer calls what the student has written
 * @throws WrongAnswer
 *
 * @example
 * ```ts
 * import { check } from 'tarflow/workbook';
 *
 * const slope = (x: number) => 3 * x ** 2;
 * await check('slope', () => [slope(0), slope(2)], { expected: [0, 12] }); // ✓ slope
 * ```
 */
export async function check(
  name: string,
  answer: () => Answer | Promise<Answer>,
  {
    expected,
    within = 1e-4,
    mistakes = [],
    hint = 'Compare your code with the formula',
  }: Expectation,
): Promise<void> {
  const right = entriesOf(expected);
  const given = entriesOf(await called(name, answer));
  const fault = given.fault ?? shapeFault(given.shape, right.shape) ?? oddNumber(given);
  if (fault !== undefined) throw new WrongAnswer(`${name} ${fault}`, hint);
  const isRight = (one: Entries) => same(one, right, within);
  if (isRight(given)) {
    console.log(`✓ ${name}`);
    return;
  }
  const known = mistakes.find(({ gives }) => same(given, entriesOf(gives), within));
  const opposite = given.values.map((value) => (typeof value === 'number' ? -value : value));
  const isOpposite = isRight({ ...given, values: opposite });
  throw new WrongAnswer(
    `${name} ${difference(given, right, within)}`,
    known?.hint ?? (isOpposite ? 'The size is right and the sign is wrong' : hint),
  );
}

/** Numbers in the order of their places, and the lengths of the lists that they stood in. */
interface Entries {
  shape: readonly number[];
  values: readonly unknown[];
  /** Why there are none. */
  fault?: string;
}

async function called(name: string, answer: () => Answer | Promise<Answer>): Promise<unknown> {
  try {
    return await answer();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (message === 'not implemented') {
      throw new WrongAnswer(
        `${name} is not written yet`,
        "Put your code in the place of the line with 'not implemented', run that cell, and then this one again",
      );
    }
    throw new WrongAnswer(
      `${name} stopped with an error: ${message}`,
      'Run your function by itself in a new cell to see where',
    );
  }
}

function entriesOf(answer: unknown): Entries {
  if (answer instanceof tf.Tensor) {
    return { shape: answer.shape, values: [...answer.dataSync()] };
  }
  if (answer === undefined || answer === null) {
    return none(`gives ${answer}, and no value. Does the function end with return?`);
  }
  if (typeof answer === 'function') return none('gives a function, and no value');
  if (!Array.isArray(answer) && !ArrayBuffer.isView(answer)) return { shape: [], values: [answer] };
  const parts = Array.from(answer as ArrayLike<unknown>, entriesOf);
  const [first] = parts;
  const at = parts.findIndex(({ fault }) => fault !== undefined);
  if (at >= 0) return none(`gives no value at place ${at}. Does the function end with return?`);
  if (parts.some(({ shape }) => String(shape) !== String(first?.shape))) {
    return none('has rows of different lengths');
  }
  const shape = [parts.length, ...(first?.shape ?? [])];
  return { shape, values: parts.flatMap(({ values }) => values) };
}

const none = (fault: string): Entries => ({ shape: [], values: [], fault });

function shapeFault(given: readonly number[], right: readonly number[]): string | undefined {
  if (String(given) === String(right)) return undefined;
  const swapped = String([...given].reverse()) === String(right);
  const note = swapped ? '; the axes are in the wrong order' : '';
  return `gives ${shapeText(given)}, expected ${shapeText(right)}${note}`;
}

function shapeText(shape: readonly number[]): string {
  if (shape.length === 0) return 'one value';
  return shape.length === 1 ? `a list of ${shape[0]}` : `the shape (${shape.join(', ')})`;
}

function oddNumber({ shape, values }: Entries): string | undefined {
  const at = values.findIndex((value) => typeof value === 'number' && !Number.isFinite(value));
  if (at < 0) return undefined;
  return `gives ${values[at]}${placeText(shape, at)}, which is no finite number`;
}

function same(one: Entries, other: Entries, within: number): boolean {
  return (
    String(one.shape) === String(other.shape) &&
    one.values.every((value, i) => close(value, other.values[i], within))
  );
}

function close(value: unknown, right: unknown, within: number): boolean {
  if (typeof value !== 'number' || typeof right !== 'number') return value === right;
  return Math.abs(value - right) <= within * Math.max(1, Math.abs(right));
}

function difference(given: Entries, right: Entries, within: number): string {
  const wrong = given.values.flatMap((value, i) =>
    close(value, right.values[i], within) ? [] : [i],
  );
  const [at = 0] = wrong;
  const count = given.values.length;
  const others = count > 1 ? ` (${count - wrong.length} of ${count} are right)` : '';
  const [came, expected] = [given, right].map(({ values }) => shortText(values[at]));
  return `gives ${came}${placeText(given.shape, at)}, expected ${expected}${others}`;
}

function shortText(value: unknown): string {
  return typeof value === 'number' ? `${Number(value.toPrecision(5))}` : `${value}`;
}

/** ' at place (1, 2)' of a list or table, counted from 0. */
function placeText(shape: readonly number[], at: number): string {
  if (shape.length === 0) return '';
  let rest = at;
  const place = [...shape].reverse().map((length) => {
    const index = rest % length;
    rest = Math.floor(rest / length);
    return index;
  });
  return ` at place ${place.length > 1 ? `(${place.reverse().join(', ')})` : place[0]}`;
}
