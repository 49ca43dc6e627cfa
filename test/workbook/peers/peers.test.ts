import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { tf } from '../../../src/core/index.js';
import { disposeTree, type Leaves, leaves } from '../../../src/core/tree.js';
import type { Family, ModelConfig } from '../../../src/flow/model.js';
import { disposeModel, freshModel } from '../../../src/flow/state-dict.js';
import { loadCheckpoint } from '../../../src/models/load-checkpoint.js';
import { familyOf } from '../../../src/models/registry.js';
import type { TarFlowConfig } from '../../../src/models/tarflow/config.js';
import { heldOutBatch } from '../../../src/training/batches/index.js';
import { modelSpec } from '../../../src/training/model-spec.js';
import { trainingProgram } from '../../../src/training/program.js';
import { initialState } from '../../../src/training/state.js';
import { train } from '../../../src/training/train.js';
import { peers } from '../../../workbook/experiments/peers.js';
import { diffusion } from '../../../workbook/peers/diffusion.js';
import { sampleDiffusion } from '../../../workbook/peers/diffusion-sampling.js';
import { gan } from '../../../workbook/peers/gan.js';
import { samplePeer } from '../../../workbook/peers/index.js';
import { spectrallyNormal } from '../../../workbook/peers/spectral-norm.js';
import { modelCost, trainingOperations } from '../../../workbook/reproduction/cost.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { temporaryFolder } from '../../temporary-folder.js';
import { madeUpImages, smallConfig, smallSettings } from '../../training/small.js';
import {
  greyLevels,
  lively,
  smallDiffusion,
  smallGan,
  smallPixelCnn,
  smallVae,
} from './small-peers.js';

const data = madeUpImages('train', 32);
const validation = madeUpImages('test', 20);

const configs: ModelConfig[] = [
  smallDiffusion,
  { ...smallDiffusion, prediction: 'epsilon', classes: 0 } as ModelConfig,
  // Its parts are tested by themselves: `npm run nightly` sets TARFLOW_NIGHTLY.
  ...(process.env.TARFLOW_NIGHTLY
    ? [{ ...smallDiffusion, prediction: 'flow' } as ModelConfig]
    : []),
  smallPixelCnn,
  smallVae,
  smallGan,
  { ...smallGan, classes: 0, penalty: 0 } as ModelConfig,
];

function runOf(config: ModelConfig, folder?: string) {
  const noise = { kind: config.kind === 'diffusion' ? 'uniform' : 'none' } as const;
  const settings = { ...smallSettings, noise, steps: 4, averageDecay: 0.9 };
  const family = familyOf(config.kind);
  return { family, config, data, validation, settings, mode: 'eager', folder } as const;
}

const numbersOf = (tensors: Leaves) =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, leaf]) => [name, Array.from(leaf.dataSync())]),
  );

describe.each(configs.map((config) => [familyOf(config.kind).title(config), config] as const))(
  'a peer: %s',
  (_, config) => {
    test('trains by the loop, goes on bit for bit, and its checkpoint is sampled', async () => {
      expectNoTensorsLeft();
      const folder = path.join(temporaryFolder(), 'run');
      const whole = await train(runOf(config));
      const expected = numbersOf({ ...leaves(whole.model.parameters), ...whole.model.buffers });
      disposeModel(whole.model);
      const controller = new AbortController();
      const onStep = ({ step }: { step: number }) => {
        if (step === 2) controller.abort();
      };
      const stopped = await train({ ...runOf(config, folder), onStep, signal: controller.signal });
      disposeModel(stopped.model);
      const resumed = await train({ ...runOf(config, folder), resume: true });
      disposeModel(resumed.model);
      const model = await loadCheckpoint(folder);
      expect(numbersOf({ ...leaves(model.parameters), ...model.buffers })).toEqual(expected);

      const label = config.classes > 0 ? 'b' : undefined;
      const steps = config.kind === 'diffusion' ? { steps: 3 } : {};
      const draw = (count: number) => samplePeer(model, { count, label, seed: 2, ...steps });
      const images = draw(3);
      const more = draw(4);
      expect(images.shape).toEqual([3, 1, 4, 4]);
      const values = Array.from(images.dataSync());
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(1);
      // A sample does not depend on those beside it.
      more
        .dataSync()
        .slice(0, values.length)
        .forEach((value, i) => {
          expect(value).toBeCloseTo(values[i]!, 4);
        });
      tf.dispose([images, more]);
      disposeModel(model);
    });
  },
);

test.each([smallDiffusion, smallPixelCnn, smallVae, smallGan] as ModelConfig[])(
  'a captured step of $kind is one op by op',
  async (config) => {
    const losses = [];
    for (const mode of ['eager', 'graph'] as const) {
      const { model, records } = await train({ ...runOf(config), mode });
      disposeModel(model);
      losses.push(records.map(({ loss }) => loss));
    }
    const [eager, graph] = losses as [number[], number[]];
    eager.forEach((loss, step) => {
      expect(graph[step]).toBeCloseTo(loss, 3);
    });
  },
);

/** A GAN whose spectral norm has found the largest singular values: they move with weights, and not otherwise. */
function settledGan() {
  const model = lively(gan, smallGan);
  let { buffers } = model;
  for (let i = 0; i < 60; i++) {
    buffers = spectrallyNormal(model.parameters.discriminator, buffers).powers;
  }
  return { ...model, buffers };
}

describe('a GAN', () => {
  test('trains one network at a time, and the loss of each falls', async () => {
    expectNoTensorsLeft();
    const spec = modelSpec(gan, smallGan);
    const fresh = freshModel(gan, smallGan, 1);
    const state = initialState(spec, fresh, false);
    disposeModel(fresh);
    const settings = { ...smallSettings, noise: { kind: 'none' } as const };
    const objectives = gan.objectives(smallGan);
    const feeds = await heldOutBatch(
      { config: smallGan, objectives, settings, data },
      [0, 1, 2, 3, 4, 5, 6, 7],
    );
    const options = { batchSize: 8, step: {}, precision: 'float32', mode: 'eager' } as const;
    const program = trainingProgram(spec, state, options);
    let before = numbersOf(state);
    tf.dispose(state);
    for (const name of ['discriminator', 'generator']) {
      const losses: number[] = [];
      for (let t = 1; t <= 12; t++) {
        const corrections = { firstCorrection: 1 - 0.9 ** t, secondCorrection: 1 - 0.95 ** t };
        const found = await program.train(name, feeds[name]!, {
          learningRate: 5e-3,
          ...corrections,
        });
        losses.push(found.loss!.dataSync()[0]!);
        tf.dispose(found);
      }
      expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.05);
      const now = program.read();
      const after = numbersOf(now);
      tf.dispose(now);
      const changed = Object.keys(after).filter(
        (leaf) => after[leaf]!.join() !== before[leaf]!.join(),
      );
      const own = (leaf: string) =>
        leaf.includes(`.${name}.`) || (name === 'discriminator' && leaf.startsWith('buffers.'));
      expect(changed.filter((leaf) => !own(leaf))).toEqual([]);
      expect(changed.length).toBeGreaterThan(10);
      before = after;
    }
    program.dispose();
  });

  test('has a discriminator whose weights have a largest singular value of 1', () => {
    const { parameters, buffers } = settledGan();
    const { normal } = spectrallyNormal(parameters.discriminator, buffers);
    const weight = normal.blocks[0]!.conv1.weight;
    const matrix = tf.reshape(weight, [weight.size / weight.shape[3], weight.shape[3]]);
    let vector: tf.Tensor2D = tf.ones([weight.shape[3], 1]);
    for (let i = 0; i < 60; i++) {
      vector = tf.matMul(matrix, tf.matMul(matrix, vector), true);
      vector = tf.div(vector, tf.norm(vector));
    }
    expect(tf.norm(tf.matMul(matrix, vector)).dataSync()[0]).toBeCloseTo(1, 3);
  });

  test('is penalised by the gradient of real images, and learns from that', () => {
    const objective = gan.objectives(smallGan)[0]!;
    const model = settledGan();
    const images = greyLevels(smallGan, 4);
    const classes = tf.tensor2d([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0], [4, 3]);
    const batch = { images, classes, latents: tf.zeros([4, 5]) };
    const { blocks } = model.parameters.discriminator;
    const kernel = blocks[0]!.conv1.weight;
    const steepness = (weight: tf.Tensor4D): tf.Scalar => {
      const conv1 = { ...blocks[0]!.conv1, weight };
      const own = { ...model.parameters.discriminator, blocks: [{ ...blocks[0]!, conv1 }] };
      const changed = { ...model, parameters: { ...model.parameters, discriminator: own } };
      return objective.loss(changed, batch, {}).terms.steepness as tf.Scalar;
    };
    const way = tf.randomNormal(kernel.shape, 0, 1, 'float32', 4) as tf.Tensor4D;
    const slope = tf.sum(tf.mul(tf.grad(steepness)(kernel), way)).dataSync()[0]!;
    const h = 2e-3;
    const [up, down] = [h, -h].map((step) => steepness(tf.add(kernel, tf.mul(way, step))));
    const difference = (up!.dataSync()[0]! - down!.dataSync()[0]!) / (2 * h);
    expect(Math.abs(slope)).toBeGreaterThan(1e-2);
    expect(difference / slope).toBeCloseTo(1, 1);
  });
});

test('learning begins with the row of a patch in one half of its place, the column in the other', () => {
  const { parameters } = freshModel(diffusion, smallDiffusion, 1);
  const places = parameters.pos_embed.arraySync();
  disposeTree(parameters);
  const [first, right, below, last] = places as [number[], number[], number[], number[]];
  expect(first).toEqual([0, 0, 1, 1, 0, 0, 1, 1]);
  const moved = [Math.sin(1), Math.sin(0.01), Math.cos(1), Math.cos(0.01)].map(Math.fround);
  expect(below.slice(0, 4)).toEqual(moved);
  expect(last).toEqual([...below.slice(0, 4), ...right.slice(4)]);
  expect(right.slice(4)).toEqual(moved);
});

test('guidance moves samples away from those without a label', () => {
  const model = lively(diffusion, smallDiffusion);
  expectNoTensorsLeft();
  const drawn = (guidance: number | undefined, label = 1, rule: 'ddim' | 'heun' = 'ddim') => {
    const images = sampleDiffusion(model, { count: 2, seed: 1, steps: 4, guidance, label, rule });
    const values = Array.from(images.dataSync());
    images.dispose();
    return values;
  };
  expect(drawn(0)).toEqual(drawn(undefined));
  expect(drawn(2)).not.toEqual(drawn(0));
  expect(drawn(0, 1, 'heun')).not.toEqual(drawn(0));
  const unlabelled = drawn(0, -1);
  drawn(2, -1).forEach((value, i) => {
    expect(value).toBeCloseTo(unlabelled[i]!, 4);
  });
});

test('peers cost within a tenth of what the flow of the same data costs', () => {
  const flow = (name: string) => peers.find((one) => one.name === name)!;
  for (const experiment of peers) {
    const base = flow(
      experiment.dataset === 'fashion-mnist' ? 'peers-tarflow' : 'peers-emoji-tarflow',
    );
    const ratio = trainingOperations(experiment) / trainingOperations(base);
    expect(ratio, experiment.name).toBeGreaterThan(0.9);
    expect(ratio, experiment.name).toBeLessThan(1.1);
  }
  // A transformer of the same width and depth takes as many operations.
  const image = { channels: 1, height: 28, width: 28 };
  const size = { patchSize: 4, channels: 128, headWidth: 64, classes: 10 };
  const tarflow: TarFlowConfig = {
    ...{ ...size, kind: 'tarflow', image, blocks: 4, layersPerBlock: 4, volumePreserving: false },
  };
  const transformer = { ...smallDiffusion, ...size, image, layers: 16 };
  const ratio = modelCost(transformer).passOperations / modelCost(tarflow).passOperations;
  expect(ratio).toBeCloseTo(1, 1);
});

describe('what does not fit is refused by name', () => {
  const cases: [ModelConfig, RegExp][] = [
    [{ ...smallDiffusion, patchSize: 3 } as ModelConfig, /patch of 3×3 does not tile/],
    [{ ...smallDiffusion, prediction: 'x' } as ModelConfig, /prediction/],
    [{ ...smallPixelCnn, image: { channels: 2, height: 4, width: 4 } }, /images of 2 channels/],
    [{ ...smallVae, groups: 3 } as ModelConfig, /in 3 groups/],
    [{ ...smallVae, beta: -1 } as ModelConfig, /beta/],
    [{ ...smallGan, channels: [4, 8, 8, 8] } as ModelConfig, /4 levels came for images of 4×4/],
    [{ ...smallGan, groups: 3 } as ModelConfig, /in 3 groups/],
  ];
  test.each(cases)('configuration %#', (config, message) => {
    const family: Family = familyOf(config.kind);
    expect(() => family.check(config)).toThrow(message);
  });

  test.each([
    [smallDiffusion, 'none', /uniform noise, and none noise came.*noise=uniform/],
    [smallPixelCnn, 'uniform', /as they are, and uniform noise came.*noise=none/],
    [smallVae, 'uniform', /noise=none/],
    [smallGan, 'uniform', /noise=none/],
  ] as [ModelConfig, 'none' | 'uniform', RegExp][])('noise %#', async (config, kind, message) => {
    const run = runOf(config);
    const settings = { ...run.settings, noise: { kind } };
    await expect(train({ ...run, settings })).rejects.toThrow(message);
  });

  test('samples', () => {
    const model = freshModel(familyOf('gan'), smallGan, 1);
    const asked = { count: 2, seed: 1 };
    expect(() => samplePeer(model, { ...asked, steps: 3 })).toThrow(/3 steps came.*'gan'/);
    expect(() => samplePeer(model, { ...asked, guidance: 1 })).toThrow(/Guidance came.*'gan'/);
    expect(() => samplePeer(model, { ...asked, count: 0 })).toThrow(/number of samples/);
    expect(() => samplePeer(model, { ...asked, label: 3 })).toThrow(/Label 3/);
    const guided = freshModel(familyOf('diffusion'), smallDiffusion, 1);
    expect(() => samplePeer(guided, { ...asked, guidance: -1 })).toThrow(/guidance is -1/);
    const blind = freshModel(familyOf('diffusion'), { ...smallDiffusion, classes: 0 }, 1);
    expect(() => samplePeer(blind, { ...asked, guidance: 1 })).toThrow(/Guidance came/);
    const flow = freshModel(familyOf('tarflow'), smallConfig, 1);
    expect(() => samplePeer(flow, asked)).toThrow(/'tarflow'.*diffusion, pixelcnn, pixel-vae, gan/);
  });
});
