import { describe, expect, test } from 'vitest';
import { agree, comparisons, type Difference, differences, type Results } from './agreement.js';
import { allCases, growthCases } from './cases.js';

const rate = 1e-5;

/** AdamW's state after a step with this gradient, of parameters that were 0.5. */
function afterStep(gradient: readonly number[]): Results {
  const state = {
    'parameters.w': gradient.map((g) => 0.5 - rate * Math.sign(g)),
    'first.w': gradient.map((g) => 0.1 * g),
    'second.w': gradient.map((g) => 0.05 * g * g),
  };
  return Object.fromEntries(Object.entries(state).map(([name, data]) => [name, { data }]));
}

const compare = (ours: Results, peer: Results, input?: number[]) =>
  differences(ours, peer, { tolerance: 1e-3, learningRate: rate, input });

const beyond = (found: readonly Difference[]) =>
  found.filter(({ value, limit }) => !(value <= limit)).map(({ what }) => what);

describe('the two sides', () => {
  const gradient = [3, -2, 1e-9, 4];

  test('agree where they differ by rounding, and where only that decides a step', () => {
    const found = compare(
      { ...afterStep([3.0003, -2, -1e-9, 4]), loss: { data: [1.0001] } },
      { ...afterStep(gradient), loss: { data: [1] } },
    );
    expect(found.map(({ what }) => what)).toEqual(['steps', 'gradients', 'their squares', 'loss']);
    expect(agree(found)).toBe(true);
  });

  test('disagree on a gradient', () => {
    const found = compare(afterStep([3.1, -2, 1e-9, 4]), afterStep(gradient));
    expect(beyond(found)).toEqual(['gradients', 'their squares']);
  });

  test('disagree on a step that one did not make, or in half', () => {
    for (const share of [0, 0.5]) {
      const parameters = gradient.map((g) => 0.5 - share * rate * Math.sign(g));
      const ours = { ...afterStep(gradient), 'parameters.w': { data: parameters } };
      expect(beyond(compare(ours, afterStep(gradient)))).toEqual(['steps']);
    }
  });

  test('disagree on the decay of the second moment, which no first step shows', () => {
    const second = gradient.map((g) => 0.1 * g * g);
    const ours = { ...afterStep(gradient), 'second.w': { data: second } };
    expect(beyond(compare(ours, afterStep(gradient)))).toEqual(['their squares']);
  });

  test('disagree on the change that a denoising step makes, small beside the image', () => {
    const [ours, peer] = [1.0011, 1.001].map((value) => ({ images: { data: [value, 1] } }));
    expect(agree(compare(ours as Results, peer as Results))).toBe(true);
    expect(beyond(compare(ours as Results, peer as Results, [1, 1]))).toEqual(['images']);
    expect(agree(compare(peer as Results, peer as Results, [1, 1]))).toBe(true);
  });

  test('disagree where one way of the peer differs, and where a number is none or missing', () => {
    const peer = { 'images/a': { data: [1, 2] }, 'images/b': { data: [1, 2.1] } };
    expect(agree(compare({ images: { data: [1, 2] } }, peer))).toBe(false);
    const [first] = Object.entries(peer).map(([name, value]) => ({ [name]: value }));
    expect(agree(compare({ images: { data: [1, 2] } }, first as Results))).toBe(true);
    expect(agree(compare({ images: { data: [1, Number.NaN] } }, first as Results))).toBe(false);
    expect(agree(compare({ images: { data: [1] } }, first as Results))).toBe(false);
    expect(agree(compare({}, first as Results))).toBe(false);
    expect(agree(compare({ images: { data: [1, 2] } }, {}))).toBe(false);
  });
});

test('every row is compared as it runs, once, and long sampling with fewer images', () => {
  const cases = [...allCases(), ...growthCases().map((grown) => grown.case)];
  const compared = comparisons([...cases, ...cases]);
  const key = ({ workload, config, batch, precision, mode }: (typeof cases)[0]) =>
    JSON.stringify([workload, config, batch, precision, mode]);
  const keys = new Set(compared.map(key));
  expect(keys.size).toBe(compared.length);
  const left = cases.filter((one) => !keys.has(key(one)));
  expect(left.length).toBeGreaterThan(0);
  for (const one of left) {
    expect(one.workload).toMatch(/sampling/);
    expect(one.batch).toBe(256);
    expect(keys).toContain(key({ ...one, batch: 8 }));
  }
});
