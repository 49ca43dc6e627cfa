import { expect, test } from 'vitest';
import { help, readOptions } from './options.js';

test('options have defaults, fewer repetitions in a quick run, and each is explained', () => {
  expect(readOptions([])).toEqual({
    ...{ only: undefined, quick: false, scaling: false, update: false },
    ...{ threads: 2, repetitions: 15 },
  });
  expect(readOptions(['--quick', '--only', 'forward'])).toMatchObject({
    ...{ only: 'forward', repetitions: 3 },
  });
  expect(readOptions(['--help'])).toBeUndefined();
  for (const name of Object.keys(readOptions([]) as object)) expect(help).toContain(`--${name} `);
});

test('a number that is none is refused by name', () => {
  expect(() => readOptions(['--threads', '0'])).toThrow("--threads got '0'");
  expect(() => readOptions(['--repetitions', '1.5'])).toThrow('--repetitions');
});
