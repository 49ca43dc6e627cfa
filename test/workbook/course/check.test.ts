import { afterEach, describe, expect, test, vi } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { type Answer, check, WrongAnswer } from '../../../workbook/course/check.js';

afterEach(() => {
  vi.restoreAllMocks();
});

/** What the check says of an answer. */
async function said(answer: () => unknown, expected: Answer, more: object = {}): Promise<string> {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    await check('slope', answer as () => Answer, { expected, ...more });
  } catch (error) {
    expect(error).toBeInstanceOf(WrongAnswer);
    return (error as Error).message;
  }
  return `${log.mock.calls[0]?.[0]}`;
}

describe('a check', () => {
  test.each<[string, unknown, Answer]>([
    ['a number', 2.00001, 2],
    ['a word', 'right', 'right'],
    ['a list', [1, 2], new Float32Array([1, 2])],
    ['a promise', Promise.resolve([1, 2]), [1, 2]],
    ['rows', [[1], [2]], [[1], [2]]],
  ])('prints one line for %s that is right', async (_what, given, expected) => {
    expect(await said(() => given, expected)).toBe('✓ slope');
  });

  test('takes tensors', async () => {
    const tensor = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
    const rows: Answer = [
      [1, 2, 3],
      [4, 5, 6],
    ];
    expect(await said(() => tensor, rows)).toBe('✓ slope');
    const turned = tf.transpose(tensor);
    expect(await said(() => turned, rows)).toContain(
      'slope gives the shape (3, 2), expected the shape (2, 3); the axes are in the wrong order',
    );
    tf.dispose([tensor, turned]);
  });

  test.each<[string, () => unknown, Answer, string]>([
    ['a wrong number', () => 3, 2, 'slope gives 3, expected 2. Look again.'],
    ['a wrong sign', () => [-1, -2], [1, 2], 'The size is right and the sign is wrong.'],
    [
      'one wrong entry',
      () => [[1, 9]],
      [[1, 2]],
      'gives 9 at place (0, 1), expected 2 (1 of 2 are',
    ],
    ['another length', () => [1], [1, 2], 'gives a list of 1, expected a list of 2'],
    ['nothing', () => undefined, 1, 'Does the function end with return?'],
    ['nothing in a list', () => [1, undefined], [1, 2], 'gives no value at place 1'],
    ['ragged rows', () => [[1], [1, 2]], [[1], [2]], 'has rows of different lengths'],
    ['a function', () => Math.sin, 1, 'gives a function, and no value'],
    [
      'no finite number',
      () => [1, 0 / 0],
      [1, 2],
      'gives NaN at place 1, which is no finite number',
    ],
    ['an error', () => [].reduce((sum) => sum), 1, 'slope stopped with an error: Reduce of empty'],
  ])('says what is wrong with %s', async (_what, answer, expected, message) => {
    expect(await said(answer, expected, { hint: 'Look again' })).toContain(message);
  });

  test('knows an empty blank, and typical mistakes', async () => {
    const empty = () => {
      throw new Error('not implemented');
    };
    expect(await said(empty, 1)).toContain('slope is not written yet. Put your code');
    const mistakes = [{ gives: 4, hint: 'You forgot the square root' }];
    expect(await said(() => 4, 2, { mistakes })).toBe(
      'slope gives 4, expected 2. You forgot the square root.',
    );
  });
});
