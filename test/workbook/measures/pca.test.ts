import { expect, test } from 'vitest';
import { featureStatistics } from '../../../src/evaluation/feature-statistics.js';
import { principalComponents, projectOnto } from '../../../workbook/measures/pca.js';

/** Points along (0.6, 0.8) with a little across. */
const features = {
  data: [5.6, 10.8, 4.4, 9.2, 6.2, 11.6, 3.8, 8.4, 5.08, 9.94, 4.92, 10.06],
  shape: [6, 2] as const,
};
const statistics = featureStatistics(features);

test('the first axis is the widest, the second perpendicular to it', () => {
  const axes = principalComponents(statistics, 2) as [number[], number[]];
  const sign = Math.sign(axes[0][0] as number);
  expect(axes[0].map((entry) => sign * entry)).toEqual([
    expect.closeTo(0.6, 6),
    expect.closeTo(0.8, 6),
  ]);
  const [first, second] = axes;
  expect((first[0] as number) * (second[0] as number)).toBeCloseTo(
    -(first[1] as number) * (second[1] as number),
    12,
  );
  const places = projectOnto(features, statistics, axes);
  expect(places.map(([along = 0]) => sign * along)).toEqual(
    [1, -1, 2, -2, 0, 0].map((value) => expect.closeTo(value, 6)),
  );
  expect(Math.abs(places[4]?.[1] as number)).toBeCloseTo(0.1, 6);
});

test('no more axes than features', () => {
  expect(() => principalComponents(statistics, 3)).toThrow('Features of width 2 have no 3 axes.');
});
