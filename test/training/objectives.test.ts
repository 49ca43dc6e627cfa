import { describe, expect, test } from 'vitest';
import { leaves, tf } from '../../src/core/index.js';
import type { Family, ModelConfig } from '../../src/flow/model.js';
import { disposeModel, freshModel } from '../../src/flow/state-dict.js';
import { modelSpec } from '../../src/training/model-spec.js';
import { initialState, namedInState } from '../../src/training/state.js';
import { packingOf } from '../../src/training/step.js';
import { type TrainingRun, train } from '../../src/training/train.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { madeUpImages, packedState, smallSettings, unpackedState } from './small.js';
import { affineConfig, affineFamily, chaseConfig, chaseFamily, startedFamily } from './toys.js';

const data = madeUpImages('train', 32);
const validation = madeUpImages('test', 20);
const settings = { ...smallSettings, weightDecay: 0, steps: 3 };
const eager = { data, validation, settings, mode: 'eager' } as const;

/** The numbers of a trained model, which is freed. */
async function trained<C extends ModelConfig>(run: TrainingRun<C>) {
  const { model, records } = await train(run);
  const numbers = Object.fromEntries(
    Object.entries({ ...leaves(model.parameters), ...model.buffers }).map(([name, leaf]) => [
      name,
      Array.from(leaf.dataSync()),
    ]),
  );
  disposeModel(model);
  return { numbers, records };
}

const meanSquare = (values: number[]): number =>
  values.reduce((sum, value) => sum + value ** 2, 0) / values.length;

describe('several objectives', () => {
  test.each(['eager', 'graph', 'xla'] as const)(
    'take turns in a step, each with its own leaves and gradient, %s',
    async (mode) => {
      const before = tf.memory().numTensors;
      const run = { family: chaseFamily, config: chaseConfig, ...eager, mode };
      const { numbers, records } = await trained({ ...run, settings: { ...settings, steps: 1 } });
      expect(tf.memory().numTensors).toBe(before);
      const [record] = records;
      // The first step of all: the learning rate is 1e-6, and Adam goes as far.
      for (const value of numbers.leader!) expect(Math.abs(value)).toBeCloseTo(1e-6, 9);
      expect(numbers.scale).toEqual(new Array(16).fill(1));
      // The second objective sees what the first one changed, and goes after it.
      expect(record!['follower.loss']).toBeCloseTo(meanSquare(numbers.leader!), 14);
      expect(record!['follower.loss']).toBeGreaterThan(0);
      expect(numbers.follower!.map(Math.sign)).toEqual(numbers.leader!.map(Math.sign));
    },
  );

  test('have columns of their own in the log, and sums', async () => {
    const run = { family: chaseFamily, config: chaseConfig, ...eager };
    const { records } = await trained(run);
    const [record] = records;
    expect(Object.keys(record!)).toEqual([
      'step',
      'epoch',
      'loss',
      'leader.loss',
      'leader.miss',
      'leader.places',
      'leader.gradientNorm',
      'follower.loss',
      'follower.gradientNorm',
      'gradientNorm',
      'learningRate',
      'imagesPerSecond',
      'dataShare',
    ]);
    const column = (name: string): number => record![name] as number;
    expect(record!.loss).toBeCloseTo(column('leader.loss') + column('follower.loss'), 6);
    expect(record!.gradientNorm).toBeCloseTo(
      Math.hypot(column('leader.gradientNorm'), column('follower.gradientNorm')),
      6,
    );
    expect(record!['leader.places']).toHaveLength(16);
    // Numbers only, and no bits per dimension: this is no likelihood.
    expect(Object.keys(records[2]!.validation!)).toEqual([
      'loss',
      'leader.loss',
      'leader.miss',
      'follower.loss',
    ]);
  });

  test('leave a frozen leaf without moments, and keep buffers apart from all else', () => {
    expectNoTensorsLeft();
    const spec = modelSpec(chaseFamily, chaseConfig);
    const model = freshModel(chaseFamily, chaseConfig, 1);
    const state = initialState(spec, model, true);
    const kinds = ['parameters', 'first', 'second', 'average'];
    expect(Object.keys(state).sort()).toEqual(
      [
        'buffers.seen',
        'parameters.scale',
        ...kinds.flatMap((kind) => [`${kind}.leader`, `${kind}.follower`]),
      ].sort(),
    );
    const packing = packingOf(spec, 'xla');
    const packed = packedState(packing, state);
    expect(packed['parameters.scale']!.shape).toEqual([16]);
    const again = unpackedState(packing, packed);
    expect(Object.keys(again).sort()).toEqual(Object.keys(state).sort());
    tf.dispose([state, packed, again]);
    disposeModel(model);
  });
});

test('an objective gives new values of buffers', async () => {
  const { numbers } = await trained({
    family: affineFamily,
    config: affineConfig,
    ...eager,
    settings: { ...settings, steps: 1, noise: { kind: 'none' }, batchSize: 32 },
  });
  // v + 0.1·(mean z² − v), z = x before the first step.
  const seen = Array.from({ length: 16 }, (_, place) => {
    const values = Array.from({ length: 32 }, (_, i) => data.pixels[i * 16 + place]! / 127.5 - 1);
    return 1 + 0.1 * (meanSquare(values) - 1);
  });
  numbers.var!.forEach((value, place) => {
    expect(value).toBeCloseTo(seen[place]!, 6);
  });
});

describe('parameters that start from data', () => {
  const run = { family: startedFamily, config: affineConfig, ...eager };
  const one = { ...settings, steps: 1, batchSize: 32, noise: { kind: 'none' } as const };

  test('see the first batch, and leave nothing behind', async () => {
    const before = tf.memory().numTensors;
    const { records } = await trained({ ...run, settings: one });
    expect(tf.memory().numTensors).toBe(before);
    // Whitened: the mean of z² is 1.
    expect(records[0]!.prior).toBeCloseTo(0.5, 5);
    const fresh = await trained({ ...run, family: affineFamily, settings: one });
    expect(fresh.records[0]!.prior).not.toBeCloseTo(0.5, 2);
  });

  test('do not where the run begins with a model', async () => {
    const model = freshModel(affineFamily, affineConfig, 1);
    const state = namedInState(model);
    const about = { checkpoint: 'a.safetensors', sha256: 'digest', steps: 5 };
    const from = { ...about, config: affineConfig, state };
    const { records } = await trained({ ...run, settings: one, from });
    expect(records[0]!.prior).not.toBeCloseTo(0.5, 2);
  });
});

test('without held-out images nothing is validated', async () => {
  const { validation: _, ...run } = { family: affineFamily, config: affineConfig, ...eager };
  const { records } = await trained(run);
  expect(records.every((record) => record.validation === undefined)).toBe(true);
});

describe('a family that does not keep to the rules is refused', () => {
  const [leader, follower] = chaseFamily.objectives(chaseConfig);
  const broken = (objectives: readonly (typeof leader)[]): Family<typeof chaseConfig> =>
    ({ ...chaseFamily, objectives: () => objectives }) as Family<typeof chaseConfig>;
  const cases: [string, readonly (typeof leader)[], RegExp][] = [
    ['no objective', [], /chase has no objective/],
    ['one that trains nothing', [{ ...leader!, trains: () => false }], /leader of chase trains no/],
    ['a leaf of two', [leader!, { ...follower!, trains: () => true }], /follower .* train leader/],
    ['a name twice', [leader!, { ...follower!, name: 'leader' }], /'leader'.*each name once/],
  ];
  test.each(cases)('%s', (_, objectives, message) => {
    expect(() => modelSpec(broken(objectives), chaseConfig)).toThrow(message);
  });

  test('a term under a name that is taken', async () => {
    const wrong = {
      ...leader!,
      loss: (...given: Parameters<NonNullable<typeof leader>['loss']>) => {
        const { loss } = leader!.loss(...given);
        return { loss, terms: { epoch: loss } };
      },
    };
    const run = { family: broken([wrong]), config: chaseConfig, ...eager };
    await expect(train(run)).rejects.toThrow(/term of the objective leader has the name epoch/);
  });
});

test('a family that the library does not have trains for long, too', async () => {
  expectNoTensorsLeft();
  const long = { ...settings, steps: 120, validateEvery: 120 };
  const run = { family: affineFamily, config: affineConfig, ...eager, settings: long };
  const { records } = await trained(run);
  expect(records).toHaveLength(120);
});
