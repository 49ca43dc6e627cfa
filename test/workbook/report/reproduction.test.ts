import { describe, expect, test } from 'vitest';
import { measurements } from '../../../workbook/papers/index.js';
import {
  failures,
  type ReproducedFigure,
  recordedClaims,
  reproduction,
  reproductionText,
} from '../../../workbook/report/reproduction.js';

type Claims = Awaited<ReturnType<typeof recordedClaims>>;
const notebooks = [
  'reports/01-foundations',
  'reports/02-noise',
  'reports/03-guidance-and-classification',
  'reports/06-likelihood',
];
const denoising = 'denoising';
const share = 'share of the noise’s power removed';
const timed = 'time of inverse ÷ time of forward, one image';

/** The committed claims with one figure of a claim multiplied by a factor. */
function changed(claims: Claims, id: string, figure: string, factor: number): Claims {
  const claim = claims.get(id);
  if (!claim) throw new Error(id);
  const figures = { ...claim.figures, [figure]: factor * (claim.figures[figure] ?? Number.NaN) };
  return new Map([...claims, [id, { ...claim, figures }]]);
}

/** Claims as if a run had computed all of their figures. */
function computed(claims: Claims): Claims {
  return new Map([...claims].map(([id, claim]) => [id, { ...claim, read: [] }]));
}

const find = (figures: readonly ReproducedFigure[], claim: string, figure: string) =>
  figures.find((one) => one.claim === claim && one.figure === figure);

describe('figures beside the committed ones', async () => {
  const committed = await recordedClaims(notebooks);
  const again = computed(committed);

  test('are those of the notebooks that ran, in their order', () => {
    const figures = reproduction(notebooks, committed, again);
    const ids = [...new Set(figures.map(({ claim }) => claim))];
    const ofNotebook = measurements.map(({ id }) => id).filter((id) => committed.has(id));
    expect(ofNotebook).toContain(denoising);
    expect(ids).toEqual(ofNotebook);
    expect([...committed.keys()]).toEqual(ids);
  });

  test('the same are within their tolerance, and times are not judged', () => {
    const figures = reproduction(notebooks, committed, again);
    expect(failures(figures)).toEqual([]);
    for (const { outcome, timing } of figures)
      expect(outcome).toBe(timing ? 'not judged' : 'within');
    expect(figures.filter(({ timing }) => timing)).toMatchObject([{ claim: 'foundations' }]);
  });

  test.each([
    [denoising, share, 1 + 5e-6, 'within'],
    [denoising, share, 1 - 2e-5, 'outside'],
    // A model that a cell trained.
    ['bayes-classifier', 'accuracy of logistic regression', 1 + 5e-4, 'within'],
    ['bayes-classifier', 'accuracy of logistic regression', 1 + 2e-3, 'outside'],
    // An error of rounding may be smaller, and a few times larger.
    ['exactness', 'round trip of images, Gaussian noise', 0.1, 'within'],
    ['exactness', 'round trip of images, Gaussian noise', 10, 'outside'],
    ['bits-per-dimension', 'images', 1 + 1e-9, 'outside'],
    ['foundations', timed, 10, 'not judged'],
  ])('%s, %s, times %s: %s', (id, figure, factor, outcome) => {
    const figures = reproduction(notebooks, committed, changed(again, id, figure, factor));
    expect(find(figures, id, figure)?.outcome).toBe(outcome);
    const failed = failures(figures).map((one) => one.figure);
    expect(failed).toEqual(outcome === 'outside' ? [figure] : []);
  });

  test('a figure that the run’s processor has otherwise is judged by that too, and says so', () => {
    const claim = committed.get(denoising);
    const value = claim?.figures[share];
    if (!claim || value === undefined) throw new Error(denoising);
    const other = { processor: 'a processor', figures: { [share]: 1.003 * value } };
    const both = new Map([...committed, [denoising, { ...claim, elsewhere: [other] }]]);
    const found = (factor: number, processor = 'a processor') => {
      const now = changed(again, denoising, share, factor);
      const moved = now.get(denoising);
      if (!moved) throw new Error(denoising);
      const there = { ...moved, versions: { ...moved.versions, processor } };
      const figures = reproduction(notebooks, both, new Map([...now, [denoising, there]]));
      return find(figures, denoising, share);
    };
    expect(found(1 + 5e-6)).toMatchObject({ outcome: 'within', committed: value });
    expect(found(1 + 5e-6)).not.toHaveProperty('processor');
    const there = { outcome: 'within', committed: 1.003 * value, processor: 'a processor' };
    expect(found(1.003 * (1 - 5e-6))).toMatchObject(there);
    expect(reproductionText([found(1.003) as ReproducedFigure])).toContain(
      'within, as on a processor',
    );
    expect(found(1.003, 'a third')).toMatchObject({ outcome: 'outside', committed: value });
    // Between the two, and a little further off than the second.
    for (const factor of [1.0015, 1.003 * (1 + 2e-5)]) {
      expect(found(factor)).toMatchObject({ outcome: 'outside', committed: value });
    }
  });

  test('a claim that the run did not record fails, and is named', () => {
    const without = new Map([...again].filter(([id]) => id !== denoising));
    const figures = reproduction(notebooks, committed, without);
    const missing = Object.keys(committed.get(denoising)?.figures ?? {}).length;
    expect(missing).toBeGreaterThan(0);
    expect(failures(figures).map(({ claim }) => claim)).toEqual(Array(missing).fill(denoising));
    expect(reproductionText(figures)).toContain(`✗ ${denoising}: '${share}' was not recorded`);
  });

  test('a claim that a command of its own measures is not asked of the notebook', async () => {
    const own = ['reports/12-compression'];
    expect(measurements.find(({ id }) => id === 'lossless-compression')?.apart).toBe(true);
    expect(reproduction(own, await recordedClaims(own), new Map())).toEqual([]);
  });

  test('a figure that was never committed is new', () => {
    const before = new Map([...committed].filter(([id]) => id !== denoising));
    const figures = reproduction(notebooks, before, again);
    expect(find(figures, denoising, share)?.outcome).toBe('new');
    expect(failures(figures)).toEqual([]);
  });

  test('on another engine or precision nothing is judged', () => {
    const claim = again.get(denoising);
    if (!claim) throw new Error(denoising);
    for (const versions of [
      { ...claim.versions, engine: 'wasm (TensorFlow.js 4.22.0)' },
      { ...claim.versions, precision: 'tf32' as const },
    ]) {
      const there = new Map([...again, [denoising, { ...claim, versions }]]);
      const figures = reproduction(notebooks, committed, changed(there, denoising, share, 2));
      expect(find(figures, denoising, share)?.outcome).toBe('not judged');
    }
  });
});

describe('the report', () => {
  test('beside a committed 0 there is no ratio', async () => {
    const committed = changed(await recordedClaims(notebooks), 'foundations', timed, 0);
    const text = reproductionText(reproduction(notebooks, committed, computed(committed)));
    const line = text.split('\n').find((one) => one.includes(timed));
    expect(line?.split(/ {2,}/).slice(2)).toEqual(['0', '0', '–', 'computed']);
  });
});
