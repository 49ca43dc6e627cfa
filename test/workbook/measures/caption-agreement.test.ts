import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { captionAgreement } from '../../../workbook/measures/caption-agreement.js';

/** Features of one number each. */
function captioned(numbers: readonly number[], captions: readonly string[]) {
  return { features: { data: numbers, shape: [numbers.length, 1] as [number, number] }, captions };
}

describe('caption agreement', () => {
  const references = captioned([0, 1, 2, 2], ['a', 'b', 'c', 'd']);

  test('is the share of images nearest to one of their caption, of equal ones to any', () => {
    const images = captioned([0.4, 0.6, 1.4, 9, 8, 0.1], ['a', 'b', 'c', 'd', 'c', 'b']);
    const { share, standardError, ...counts } = captionAgreement(images, references);
    expect(share).toBeCloseTo(4 / 6, 12);
    expect(standardError).toBeCloseTo(Math.sqrt((4 / 6) * (2 / 6) * (1 / 6)), 2);
    expect(counts).toEqual({ images: 6, references: 4, captions: 4 });
  });

  test('is what looking at every pair says (property)', () => {
    const one = fc.record({
      at: fc.integer({ min: -9, max: 9 }),
      caption: fc.constantFrom('a', 'b'),
    });
    const many = fc.array(one, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(many, many, (images, others) => {
        const all = [...others, { at: 20, caption: 'a' }, { at: 20, caption: 'b' }];
        const expected = images.filter(({ at, caption }) => {
          const least = Math.min(...all.map((other) => Math.abs(other.at - at)));
          return all.some((other) => {
            return other.caption === caption && Math.abs(other.at - at) === least;
          });
        }).length;
        const [queries, real] = [images, all].map((set) =>
          captioned(
            set.map(({ at }) => at),
            set.map(({ caption }) => caption),
          ),
        );
        expect(captionAgreement(queries!, real!).share).toBeCloseTo(expected / images.length, 12);
      }),
    );
  });

  test('takes what differs by rounding only as equally near', () => {
    const [x, y] = [0.1 + 0.2, 1 / 3];
    const two = (rows: number[][], captions: string[]) => ({
      features: { data: rows.flat(), shape: [rows.length, 2] as [number, number] },
      captions,
    });
    const real = two(
      [
        [x, y],
        [Math.fround(x), Math.fround(y)],
        [x + 0.01, y],
      ],
      ['a', 'b', 'c'],
    );
    for (const [caption, share] of [
      ['a', 1],
      ['b', 1],
      ['c', 0],
    ] as const) {
      expect(captionAgreement(two([[x, y]], [caption]), real).share, caption).toBe(share);
    }
  });

  test('refuses captions that are too few, and those that no reference has', () => {
    const images = captioned([0, 1], ['a', 'e']);
    expect(() => captionAgreement(images, references)).toThrow("No reference has the caption 'e'");
    expect(() => captionAgreement({ ...images, captions: ['a'] }, references)).toThrow(
      '1 captions came for the features of 2 images',
    );
    expect(() => captionAgreement(captioned([Number.NaN], ['a']), references)).toThrow(/finite/);
    expect(() => captionAgreement(captioned([], []), references)).toThrow(/agreement of no images/);
  });
});
