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
import { twoDigits } from '../../../workbook/notebook/numbers-in-text.js';
import { showPublished } from '../../../workbook/notebook/published-rows.js';
import { costSince, leastSeconds } from '../../../workbook/notebook/timing.js';
import { publishedFigure } from '../../../workbook/papers/index.js';
import { expectNoTensorsLeft } from '../../leaks.js';

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

test('a figure of a paper comes with where it stands', () => {
  const { value, source } = publishedFigure(
    'likelihood',
    'TarFlow 2-768-8-8',
    'bits per dimension',
  );
  expect(value).toBe(2.99);
  expect(source).toContain('arXiv 2412.06329');
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
