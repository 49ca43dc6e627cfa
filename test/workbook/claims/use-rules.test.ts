import { expect, test } from 'vitest';
import {
  fillsIn,
  inNewClass,
  inpaintedParts,
  isAbove,
  middlesGain,
  varied,
} from '../../../workbook/claims/use-rules.js';
import type { EditingRecord } from '../../../workbook/records/record.js';

type Row = EditingRecord['inpainting'][number];

/** Two images of each part: drawn ones are nearer than pasted ones by what is given. */
const rowsWith = (change: (row: Row) => Partial<Row> = () => ({})): Row[] =>
  inpaintedParts.flatMap((where) =>
    [0, 1].flatMap((image) =>
      (['drawn', 'pasted'] as const).map((how) => {
        const drawn = how === 'drawn';
        const measured = { psnr: drawn ? 15 + image : 10, distance: drawn ? 0.1 : 0.3 };
        const row = { where, model: '', image, class: '', how, ...measured, diversity: 1 };
        return { ...row, ...change(row) };
      }),
    ),
  );

test('pictures fill in where they are nearer than pasted ones in pixels and features', () => {
  expect(fillsIn(rowsWith())).toBe(true);
  const [first] = inpaintedParts;
  const far = { psnr: 5, distance: 0.5 };
  for (const measure of ['psnr', 'distance'] as const) {
    const worse = (row: Row) => row.how === 'drawn' && { [measure]: far[measure] };
    expect(fillsIn(rowsWith((row) => worse(row) || {}))).toBe(false);
    expect(fillsIn(rowsWith((row) => (row.where === first && worse(row)) || {}))).toBe('in part');
  }
  // By less than two errors.
  const wide = (row: Row) => (row.how === 'drawn' ? { psnr: 11 + 4 * row.image } : {});
  expect(fillsIn(rowsWith(wide))).toBe(false);
  expect(fillsIn(rowsWith().filter(({ where }) => where !== first))).toBeUndefined();
});

test('pictures are varied where they differ half as much as pasted ones', () => {
  const less = (to: number) => (row: Row) => (row.how === 'drawn' ? { diversity: to } : {});
  expect(varied(rowsWith(less(0.5)))).toBe(true);
  expect(varied(rowsWith(less(0.49)))).toBe(false);
});

test('middles and new classes are judged by two errors', () => {
  const middles = [0.2, 0.3].map((more) => ({ images: [0, 1], noise: 0.5 + more, pixels: 0.5 }));
  expect(isAbove(middlesGain(middles))).toBe(true);
  expect(isAbove(middlesGain(middles.map((row) => ({ ...row, noise: 0.1 }))))).toBe(false);
  const styles = Array.from({ length: 10 }, (_, i) => ({ image: i, from: 0, to: 1, guess: 1 }));
  expect(isAbove(inNewClass(styles), 0.5)).toBe(true);
  const half = styles.map((row) => ({ ...row, guess: row.image % 2 }));
  expect(isAbove(inNewClass(half), 0.5)).toBeUndefined();
});
