import { expect, test } from 'vitest';
import {
  bestDiffusion,
  comparableSamples,
  competitive,
  exactInverse,
  excessBits,
  faster,
  fewerBits,
  isUnstable,
  keepsModes,
  nearGans,
  type PeerKind,
  sharper,
  stable,
} from '../../../workbook/claims/peer-rules.js';
import type { ComparedModel, PeersRecord } from '../../../workbook/records/record.js';

const kinds = [
  ...(['tarflow', 'density', 'epsilon', 'v', 'rectified-flow'] as const),
  ...(['pixelcnn', 'vae', 'gan'] as const),
];
type Change = (kind: PeerKind, seed: number) => Partial<ComparedModel>;

const images = {
  ...{ n: 2000, notFinite: 0, precision: 0.5, density: 0.5, laplacian: 1 },
  KD: { mean: 0, error: 0.1 },
};
const samplesOf = (FD: number, modes = 0.5, laplacian = 1) => ({
  ...{ ...images, FD: { mean: FD, error: 0.5 }, recall: modes, coverage: modes, laplacian },
  ...{ guidance: 1, chosenFrom: [] },
});
const bitsOf = (value: number) => ({
  ...{ mean: value, error: 0.01, of: 'exact' as const, n: 3 },
  values: [value, value + 0.1, value + 0.3],
});
const courseOf = (...distances: number[]) => distances.map((FD, i) => ({ step: i + 1, FD }));
const timed = (one: number, many: number) => [
  {
    ...{ how: 'as usual', evaluations: 1 },
    seconds: [
      { batch: 1, values: [one] },
      { batch: 250, values: [many] },
    ],
  },
];

/** In which every rule holds, but for what is changed. */
function recordWith(change: Change = () => ({})): PeersRecord {
  const models = kinds.flatMap((kind) =>
    [1, 2, 3].map((seed): ComparedModel => {
      const own = kind === 'tarflow';
      return {
        ...{ model: `peers-${kind}`, title: '', seed, parameters: 1, sweep: [] },
        training: { steps: 1, batchSize: 1, operations: 1, learningRate: 1, seconds: 1 },
        course: kind === 'gan' ? courseOf(20, 10, 30) : courseOf(30, 20, 10),
        bits: bitsOf(kind === 'density' ? 3 : 3.5),
        // Recall and coverage differ between trainings, as those of real ones.
        samples: samplesOf(own ? 10 : 12, (own ? 0.8 : 0.5) + seed / 100, kind === 'vae' ? 0.5 : 1),
        sampling: timed(kind === 'pixelcnn' ? 2 : 1, kind === 'pixelcnn' ? 500 : 100),
        roundTrip: { n: 1, largest: own ? 0.001 : 0.1, rms: 0 },
        ...change(kind, seed),
      };
    }),
  );
  const real = { ...images, FD: { mean: 1, error: 0 }, recall: 1, coverage: 1 };
  return {
    ...{ command: '', cost: {}, date: '', processor: '', versions: { engine: '', node: '' } },
    ...{ dataset: 'fashion-mnist', network: '', real, models },
  };
}

const flips: [string, (records: readonly PeersRecord[]) => unknown, Change][] = [
  [
    'comparable samples',
    comparableSamples,
    (kind) => (kind === 'v' ? { samples: samplesOf(7.9) } : {}),
  ],
  [
    'exact inverse',
    exactInverse,
    (kind) => (kind === 'tarflow' ? { roundTrip: { n: 1, largest: 0.011, rms: 0 } } : {}),
  ],
  [
    'stable',
    stable,
    (kind, seed) => (kind === 'tarflow' && seed === 2 ? { course: courseOf(10, 16) } : {}),
  ],
  [
    'modes',
    keepsModes,
    (kind, seed) => (kind === 'gan' ? { samples: samplesOf(12, 0.9 + seed / 100) } : {}),
  ],
  [
    'likelihood',
    (records) => fewerBits(records, 'vae'),
    (kind) => (kind === 'vae' ? { bits: bitsOf(2.9) } : {}),
  ],
  ['near GANs', nearGans, (kind) => (kind === 'gan' ? { samples: samplesOf(7.9) } : {})],
  ['sharper', sharper, (kind) => (kind === 'tarflow' ? { samples: samplesOf(10, 0.8, 0.4) } : {})],
  ['competitive', competitive, (kind) => (kind === 'density' ? { bits: bitsOf(3.7) } : {})],
  ['faster', faster, (kind) => (kind === 'tarflow' ? { sampling: timed(1, 251) } : {})],
];

test.each(flips)('%s: one figure flips it, in one set of data in part', (_, rule, change) => {
  expect(rule([recordWith()])).toBe(true);
  expect(rule([recordWith(change)])).toBe(false);
  expect(rule([recordWith(), recordWith(change)])).toBe('in part');
  expect(rule([])).toBeUndefined();
  expect(rule([{ ...recordWith(), models: [] }])).toBeUndefined();
});

test('fewer bits than each of some kinds: one of them decides', () => {
  const record = recordWith((kind) => (kind === 'v' ? { bits: bitsOf(2.9) } : {}));
  expect(fewerBits([record], 'epsilon', 'rectified-flow')).toBe(true);
  expect(fewerBits([record], 'epsilon', 'v', 'rectified-flow')).toBe(false);
  const unmeasured = recordWith((kind) => (kind === 'v' ? { bits: undefined } : {}));
  expect(fewerBits([unmeasured], 'epsilon', 'v')).toBeUndefined();
});

test('without a GAN that rises, stability is open', () => {
  const calm = recordWith((kind) => (kind === 'gan' ? { course: courseOf(3, 2, 1) } : {}));
  expect(stable([calm])).toBeUndefined();
  expect(isUnstable({ ...calm.models[0]!, course: courseOf(10, 15, 9, 14) })).toBe(true);
  expect(isUnstable({ ...calm.models[0]!, course: courseOf(10, 15) })).toBe(false);
});

test('bits are compared image by image, as many as both have', () => {
  const { models } = recordWith((kind) =>
    kind === 'v' ? { bits: { ...bitsOf(4), values: [4, 4.1] } } : {},
  );
  expect(excessBits(models, 'v')?.value).toBeCloseTo(1);
  expect(bestDiffusion(models)).toBe('epsilon');
});
