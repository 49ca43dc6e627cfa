import { describe, expect, test } from 'vitest';
import { normal, randomKey, tf } from '../../../src/core/index.js';
import { score } from '../../../src/flow/density.js';
import { disposeModel, forward, type Model } from '../../../src/flow/index.js';
import { angleTable } from '../../../src/models/starflow/block.js';
import { checkStarFlow, type StarFlowConfig } from '../../../src/models/starflow/config.js';
import type { Guidance } from '../../../src/sampling/guidance.js';
import { type InverseOptions, inverse } from '../../../src/sampling/inverse.js';
import type { Candidate } from '../../../src/sampling/planner/choice.js';
import { planSampling } from '../../../src/sampling/planner/plan-sampling.js';
import { sample } from '../../../src/sampling/sample.js';
import type { Solver } from '../../../src/sampling/solvers/solvers.js';
import { difference, movedModel, randomLatents } from '../cases.js';
import { smallStarFlow, starflowCases } from './cases.js';

const withClasses: StarFlowConfig = {
  ...smallStarFlow,
  image: { channels: 2, height: 4, width: 6 },
  classes: 3,
  channels: 40,
  headWidth: 20,
  layersPerBlock: [1, 1, 2],
};
const withText: StarFlowConfig = {
  ...withClasses,
  classes: 0,
  text: { entries: 3, width: 5 },
};

async function withModel(
  config: StarFlowConfig,
  f: (model: Model) => Promise<void> | void,
): Promise<void> {
  const before = tf.memory().numTensors;
  const model = movedModel(starflowCases, config, { strength: 3 }) as unknown as Model;
  await f(model);
  disposeModel(model);
  expect(tf.memory().numTensors, 'tensors left').toBe(before);
}

const captions = (batch: number, seed: number): tf.Tensor3D =>
  tf.tensor3d(normal(randomKey(seed), batch * 15), [batch, 3, 5]);

/** The errors of all candidates that iterate. */
function iteratedErrors(candidates: readonly Candidate[]): number[] {
  return candidates.filter(({ solver }) => solver.kind !== 'sequential').map(({ error }) => error);
}

describe('sampling', () => {
  const batch = 3;
  const rules: Record<string, Guidance | undefined> = {
    'linear, annealed, sharper': { weight: 1, annealed: true, temperature: 0.5 },
    product: { rule: 'product', weight: 4 },
    // They are parts of the others: `npm run nightly` sets TARFLOW_NIGHTLY.
    ...(process.env.TARFLOW_NIGHTLY && { none: undefined, linear: { weight: 1.5 } }),
  };

  test.each(Object.entries(rules))(
    'is the same by all executions and exact solvers, guidance: %s',
    async (_, guidance) => {
      // Two blocks of a layer: each more is recorded for each way.
      await withModel({ ...withClasses, layersPerBlock: [1, 1] }, async (model) => {
        const z = randomLatents(model, batch, 4);
        const how = { label: [2, -1, 0], ...(guidance && { guidance }) };
        const reference = await inverse(model, z, { ...how, mode: 'eager' });
        const ways: InverseOptions[] = [
          { mode: 'graph' },
          { mode: 'xla' },
          { solver: { kind: 'jacobi', tolerance: 0 } },
          { solver: { kind: 'gaussSeidelJacobi', segments: 5, tolerance: 0 }, mode: 'eager' },
          { solver: blockwise(7, 0, 24) },
          { solver: blockwise(24, 0, 24), mode: 'eager' },
        ];
        // By day each rule takes every other way.
        const first = guidance?.rule === 'product' ? 0 : 1;
        const taken = ways.filter((_, i) => process.env.TARFLOW_NIGHTLY || i % 2 === first);
        for (const way of taken) {
          const images = await inverse(model, z, { ...how, ...way });
          expect(difference(images, reference), JSON.stringify(way)).toBeLessThan(5e-4);
          images.dispose();
        }
        tf.dispose([z, reference]);
      });
    },
  );

  test('by captions: each differs, and the empty one is as good as none', async () => {
    await withModel(withText, async (model) => {
      const [text, other] = [captions(batch, 1), captions(batch, 2)];
      const zeros = tf.zeros([batch, 3, 5]);
      const z = randomLatents(model, batch, 4);
      const images = async (options: InverseOptions) => inverse(model, z, options);
      const [told, again, none, empty, graph] = [
        await images({ text, mode: 'eager' }),
        await images({ text: other, mode: 'eager' }),
        await images({ mode: 'eager' }),
        await images({ text: zeros, mode: 'eager' }),
        await images({ text, mode: 'graph' }),
      ] as const;
      expect(difference(told, again)).toBeGreaterThan(1e-2);
      expect(difference(told, none)).toBeGreaterThan(1e-2);
      expect(difference(none, empty)).toBe(0);
      expect(difference(told, graph)).toBeLessThan(1e-4);
      const back = forward(model, told, { text });
      expect(difference(back.z, z)).toBeLessThan(1e-3);
      const drawn = await sample(model, { count: 3, text, batchSize: 2, mode: 'eager' });
      const [gradient, blind] = [score(model, told, { text }), score(model, told)];
      expect(difference(gradient, blind)).toBeGreaterThan(1e-2);
      tf.dispose([text, other, zeros, z, told, again, none, empty, graph, drawn, gradient, blind]);
      tf.dispose(Object.values(back).flat());
    });
  });

  test('is planned for captions: those of a batch again and again, or one for each latent', async () => {
    const image = { channels: 2, height: 2, width: 3 };
    await withModel({ ...withText, image, layersPerBlock: [1] }, async (model) => {
      const z = randomLatents(model, 4, 4);
      const options = { batch: 2, tolerance: 1e-2, repeats: 1, mode: 'eager' } as const;
      for (const count of [2, 4]) {
        const text = captions(count, 1);
        const errors: number[] = [];
        await planSampling(model, z, {
          ...{ ...options, text },
          onBlock: (_, candidates) => errors.push(Math.min(...iteratedErrors(candidates))),
        });
        // Blocks solved without their captions would not come near what was made with them.
        expect(Math.max(...errors)).toBeLessThan(1e-2);
        text.dispose();
      }
      const few = captions(3, 1);
      await expect(planSampling(model, z, { ...options, text: few })).rejects.toThrow(
        /3 states of captions.*one for each sample of a batch, 2, or for each latent, 4/,
      );
      tf.dispose([z, few]);
    });
  });

  test('guidance leaves shallow blocks alone: they read no label', async () => {
    await withModel(withClasses, async (model) => {
      const z = randomLatents(model, 1, 4);
      const evaluated = new Map<number, number>();
      const images = await inverse(model, z, {
        ...{ label: 1, guidance: { weight: 2 }, mode: 'eager' },
        onTrace: ({ block, cacheBytes }) => void evaluated.set(block, cacheBytes),
      });
      // Both branches of the deep block, of twice the layers: four times a shallow block's keys.
      expect((evaluated.get(2) as number) / (evaluated.get(0) as number)).toBeGreaterThan(3.9);
      tf.dispose([z, images]);
    });
  });

  test('what does not fit is named', async () => {
    await withModel(withClasses, async (model) => {
      const z = randomLatents(model, 1, 4);
      const mistakes: [InverseOptions, RegExp][] = [
        [{ text: captions(1, 1) }, /a model that reads none/],
        [{ guidance: { rule: 'product', weight: 1, annealed: true } }, /annealing/],
        [{ guidance: { rule: 'product', weight: 1, on: 'a' } }, /on 'a'/],
        [{ guidance: { rule: 'sum' as never, weight: 1 } }, /"linear"|"product"/],
        [{ solver: blockwise(0, 1e-3, 3) }, /length is 0/],
        [{ solver: blockwise(4, -1, 3) }, /tolerance is -1/],
      ];
      for (const [options, message] of mistakes) {
        await expect(inverse(model, z, options)).rejects.toThrow(message);
        options.text?.dispose();
      }
      z.dispose();
    });
    await withModel(withText, async (model) => {
      const z = randomLatents(model, 2, 4);
      const text = captions(1, 1);
      await expect(inverse(model, z, { text })).rejects.toThrow(/shape \(1, 3, 5\).*\(2, 3, 5\)/s);
      tf.dispose([z, text]);
    });
    await withModel({ ...smallStarFlow, startToken: false }, async (model) => {
      const z = randomLatents(model, 1, 4);
      await expect(inverse(model, z, { solver: blockwise(4, 1e-3, 3) })).rejects.toThrow(
        /without a start token/,
      );
      z.dispose();
    });
  });
});

function blockwise(length: number, tolerance: number, maximum: number): Solver {
  return { kind: 'publishedBlockwiseJacobi', length, tolerance, maximum };
}

test('positions are scaled to the grid of training, and captions have their own', () => {
  const config = { ...withText, image: { channels: 2, height: 4, width: 9 }, gridSide: 3 };
  const table = angleTable(config, true);
  const { headWidth } = config;
  const row = (i: number): number[] => [...table.slice(i * headWidth, (i + 1) * headWidth)];
  expect(table.length).toBe((3 + 36) * headWidth);
  // 4 numbers of a head turn by the grid, 16 by the place in a caption.
  expect(row(1).slice(0, 4)).toEqual([0, 0, 0, 0]);
  expect(row(1)[4]).toBeCloseTo(1);
  expect(row(2)[4]).toBeCloseTo(2);
  const last = row(3 + 35);
  expect(last.slice(4).every((angle) => angle === 0)).toBe(true);
  expect(last[0]).toBeCloseTo((3 * 3) / 6);
  expect(last[2]).toBeCloseTo((8 * 3) / 6);
});

test('a configuration that does not fit is named', () => {
  const mistakes: [Partial<StarFlowConfig>, RegExp][] = [
    [{ patchSize: 3 }, /does not tile/],
    [{ image: { channels: 1, height: 1, width: 1 } }, /single token/],
    [{ headWidth: 12 }, /does not divide channels/],
    [{ text: { entries: 2, width: 3 }, classes: 2 }, /classes and reads captions/],
    [{ startToken: false, classes: 2 }, /set startToken=true/],
    [{ classes: 2 }, /multiple of 4 of at least 20/],
    [{ headWidth: 2 }, /headWidth is 2/],
    [{ layersPerBlock: [] }, /layersPerBlock/],
    [{ nullClass: false as never }, /nullClass/],
  ];
  for (const [change, message] of mistakes) {
    expect(() => checkStarFlow({ ...smallStarFlow, ...change })).toThrow(message);
  }
});
