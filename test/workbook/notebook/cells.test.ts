import * as os from 'node:os';
import { expect, test, vi } from 'vitest';
import { tf } from '../../../src/core/index.js';
import { imagesTensor, loadDataset } from '../../../src/data/index.js';
import {
  accuracy,
  classifierFeatures,
  disposeClassifier,
} from '../../../src/models/classifier/family.js';
import { fetchData } from '../../../workbook/notebook/fetch-data.js';
import { fashionClassifier } from '../../../workbook/notebook/models.js';
import {
  listed,
  percent,
  span,
  twoDigits,
  verdict,
} from '../../../workbook/notebook/numbers-in-text.js';
import {
  publishedRows,
  publishedScale,
  showPublished,
} from '../../../workbook/notebook/published-rows.js';
import { costSince, cpuSecondsSince, leastSeconds } from '../../../workbook/notebook/timing.js';
import { publishedFigure, tableOf } from '../../../workbook/papers/index.js';
import { expectNoTensorsLeft } from '../../leaks.js';

test('a share reads as a percentage, an absent one as a dash', () => {
  expect(percent(0.8295)).toBe('83.0 %');
  expect(percent(0.8295, 0)).toBe('83 %');
  expect(percent(undefined)).toBe('–');
});

test('a span names the least and the most, or one number where both read the same', () => {
  expect(span([3.61, 2.4, 3], 1)).toBe('2.4 to 3.6');
  expect(span([-1.7, 5.04], 1)).toBe('-1.7 to 5.0');
  expect(span([1.04, 0.96], 1)).toBe('1.0');
});

test('numbers are listed in their order', () => {
  expect(listed([1.84, 5.6, 4.57], 1)).toBe('1.8, 5.6 and 4.6');
  expect(listed([1.84, 5.6], 1)).toBe('1.8 and 5.6');
  expect(listed([1.84], 1)).toBe('1.8');
  expect(listed([], 1)).toBe('');
});

test.each([
  [0, '0'],
  [0.0338, '0.034'],
  [-2.57, '-2.6'],
  [0.996, '1.0'],
  [0.00099, '9.9e-4'],
  [0.0009999, '0.0010'],
  [14.7, '15'],
  [3212, '3200'],
  [12_500, '1.3e+4'],
  [Number.NaN, 'NaN'],
])('%s with two digits is %s', (value, text) => {
  expect(twoDigits(value)).toBe(text);
});

test.each([
  [true, true, 'holds here'],
  [true, false, 'does not hold here'],
  [false, true, 'cannot be told at this size'],
  [false, false, 'cannot be told at this size'],
])('told %s, as claimed %s: %s', (told, asClaimed, words) => {
  expect(verdict(told, asClaimed)).toBe(words);
});

test('a figure of a paper comes with where it stands', () => {
  const { value, source } = publishedFigure(
    'likelihood',
    'TarFlow 2-768-8-8',
    'bits per dimension',
  );
  expect(value).toBe(2.99);
  expect(source).toContain('arXiv 2412.06329');
});

test('and what was trained for it, where that is known', () => {
  expect(publishedScale('likelihood', 'TarFlow 2-768-8-8')).toMatchObject({ blocks: 8, side: 64 });
  expect(() => publishedScale('likelihood', 'Glow')).toThrow('scale is not known');
});

test('published figures are rows, with a column for each that is asked for', () => {
  const rows = publishedRows('crm', ({ of }) => of);
  expect(rows).toHaveLength(tableOf('crm').rows.length);
  const [first] = tableOf('crm').rows;
  expect(rows[0]).toMatchObject({ 'published model': first?.name, setting: first?.setting });
  for (const { of, value } of first?.published ?? []) expect(rows[0]?.[of as string]).toBe(value);
  expect(publishedRows('crm', () => undefined)[0]).not.toHaveProperty('block 0');
  expect(() => publishedRows('none', () => 'x')).toThrow(/none/);
});

test('they are shown as printed, and the caption says that they are not ours', () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  showPublished('selective-jacobi', ({ measure, of }) =>
    measure === 'speed-up' && of === 'SeJD' ? 'SeJD' : undefined,
  );
  showPublished('crm', ({ of }) => of, 'in %');
  const [speedUps, crm] = log.mock.calls.map(([text]) => (text as string).split('\n'));
  expect(speedUps?.[0]).toMatch(
    /^Published, not ours: Time of a batch .* \(arXiv 2505\.24791, table of results\)$/,
  );
  expect(speedUps?.at(-1)).toMatch(/^AFHQ +1,024 tokens, GPU +4\.5$/);
  expect(crm?.[0]).toMatch(/; in %$/);
  log.mockRestore();
});

test('the cost of a piece of work, in whole seconds', () => {
  const cores = os.availableParallelism();
  expect(costSince(performance.now() - 2600)).toEqual({ seconds: 3, cores });
});

test('processor time grows with work', () => {
  const start = process.cpuUsage();
  const end = performance.now() + 50;
  while (performance.now() < end);
  expect(cpuSecondsSince(start)).toBeGreaterThan(0.01);
});

test('the least time leaves the first round out', async () => {
  // The beginning of the first round, then beginning and end of three, in milliseconds.
  const clock = [0, 100, 160, 200, 220, 300, 340];
  const now = vi.spyOn(performance, 'now').mockImplementation(() => clock.shift() as number);
  let rounds = 0;
  const seconds = await leastSeconds(async () => {
    rounds++;
  }, 3);
  now.mockRestore();
  expect(rounds).toBe(4);
  expect(seconds).toBe(0.02);
});

test('the classifier that results/ keeps knows clothes that it never saw', async () => {
  expectNoTensorsLeft();
  const classifier = await fashionClassifier();
  const data = await loadDataset('fashion-mnist', 'validation');
  const images = imagesTensor(
    data,
    Array.from({ length: 500 }, (_, i) => i),
  );
  const { features, logits } = classifierFeatures(classifier, images);
  expect(features.shape).toEqual([500, 64]);
  expect(accuracy(logits, data.labels)).toBeGreaterThan(0.88);
  tf.dispose([features, logits, images]);
  disposeClassifier(classifier);
});

test('data that are there are named in one line, and others are refused', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  await fetchData('fashion-mnist');
  expect(log.mock.calls).toEqual([['Ready: fashion-mnist.']]);
  await expect(fetchData('fashion')).rejects.toThrow(
    /no data set 'fashion'\. Did you mean fashion-mnist\? Name one/,
  );
});
