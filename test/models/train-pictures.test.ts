import * as fs from 'node:fs';
import * as path from 'node:path';
import { callCompiled } from '@tarflow/graph';
import sharp from 'sharp';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { isOnGpu, startEngine } from '../../src/core/engine.js';
import { tf } from '../../src/core/tf.js';
import { bitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import { logProb, score } from '../../src/flow/density.js';
import { forward } from '../../src/flow/forward.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { readExperiment } from '../../src/models/experiments.js';
import { createModel, familyOf } from '../../src/models/registry.js';
import { train } from '../../src/models/train-pictures.js';
import { denoise } from '../../src/sampling/denoise.js';
import { sample } from '../../src/sampling/sample.js';
import { convergenceRankingMetric } from '../../src/sampling/study/metrics.js';
import { checkRun } from '../../src/training/checks.js';
import { usualSettings } from '../../src/training/settings.js';
import { temporaryFolder } from '../cli/command-line.js';
import { madeUpImages } from '../training/small.js';

vi.mock('../../src/core/engine.js', async (original) => ({
  ...(await original<typeof import('../../src/core/engine.js')>()),
  isOnGpu: vi.fn(() => false),
}));

beforeAll(async () => {
  await startEngine();
});

const image = { channels: 1, height: 8, width: 8 };
const tarflow = {
  kind: 'tarflow',
  image,
  patchSize: 4,
  channels: 8,
  blocks: 2,
  layersPerBlock: 1,
  headWidth: 8,
  classes: 0,
  volumePreserving: false,
} as const;

test('a folder of pictures is trained on, and its model knows the names of classes', async () => {
  const folder = temporaryFolder();
  for (const [label, name] of ['cat', 'dog'].entries()) {
    fs.mkdirSync(path.join(folder, name));
    for (let i = 0; i < 6; i++) {
      const background = { r: 20 * i, g: 200 * label, b: 90 };
      const create = { width: 8, height: 8, channels: 3 as const, background };
      await sharp({ create }).toFile(path.join(folder, name, `${i}.png`));
    }
  }
  await sharp({ create: { width: 16, height: 8, channels: 4, background: '#00000000' } }).toFile(
    path.join(folder, 'cat', 'wide.png'),
  );
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  const before = tf.memory().numTensors;
  const { model, records, details } = await train(folder, {
    minutes: 1,
    config: { channels: 16, headWidth: 16, blocks: 2, layersPerBlock: 1 },
    settings: { steps: 2, warmupSteps: 1 },
  });
  expect(records.length).toBe(2);
  expect(warned.mock.calls.map(([told]) => told)).toContainEqual(
    `${folder}: 1 with transparency are put on white; 1 of another shape lose what is beside a middle of 8×8.`,
  );
  warned.mockRestore();
  expect(details).toMatchObject({ classNames: ['cat', 'dog'], place: `folder:${folder}` });
  expect(model.config).toMatchObject({ classes: 2, image: { channels: 3, height: 8, width: 8 } });
  const images = await sample(model, { count: 2, label: ['dog', 'cat'] });
  expect(images.shape).toEqual([2, 3, 8, 8]);
  images.dispose();
  await expect(sample(model, { count: 1, label: 'cta' })).rejects.toThrow(
    /'cta'\. Did you mean cat\?/,
  );
  const black = tf.zeros<tf.Rank.R4>([1, 3, 8, 8]);
  const grey = tf.fill<tf.Rank.R4>([1, 3, 8, 8], 255);
  for (const use of [forward, logProb, score, bitsPerDimension]) {
    expect(() => use(model, grey)).toThrow(/values from 255 to 255\. Expected .*x \/ 127\.5 - 1/);
  }
  expect(() => denoise(model, grey, { sigma: 0.05 })).toThrow(/values from 255/);
  expect(() => logProb(model, black, { label: [0, 1, 0] })).toThrow(/3 labels came for 1 sample/);
  const { metric } = convergenceRankingMetric(model, black, { label: 'dog' })[0]!;
  expect(metric).toBe(convergenceRankingMetric(model, black, { label: 1 })[0]!.metric);
  tf.dispose([grey, black]);
  disposeModel(model);
  disposeModel(model);
  expect(tf.memory().numTensors).toBe(before);
  await expect(sample(model, { count: 1 })).rejects.toThrow(/freed by disposeModel/);
});

test('a run goes on as its folder records it', async () => {
  const folder = temporaryFolder();
  const pictures = path.join(folder, 'pictures');
  fs.mkdirSync(pictures);
  for (let i = 0; i < 6; i++) {
    const background = { r: 20 * i, g: 9, b: 90 };
    const create = { width: 8, height: 8, channels: 3 as const, background };
    await sharp({ create }).toFile(path.join(pictures, `${i}.png`));
  }
  const options = {
    config: { channels: 16, headWidth: 16, blocks: 2, layersPerBlock: 1 },
    settings: { steps: 4, warmupSteps: 1, saveEvery: 1 },
    minutes: 1,
  };
  const whole = await train(pictures, options);
  const stop = new AbortController();
  const half = {
    ...options,
    folder: path.join(folder, 'run'),
    signal: stop.signal,
    onStep: ({ step }: { step: number }) => void (step === 2 && stop.abort()),
  };
  const begun = await train(pictures, half);
  expect(begun.records).toHaveLength(2);
  const on = await train(pictures, { folder: half.folder, resume: true });
  const losses = ({ records }: typeof on) => records.map(({ step, loss }) => [step, loss]);
  expect(losses(on)).toEqual(losses(whole));
  for (const { model } of [whole, begun, on]) disposeModel(model);
  // Before any picture is looked at.
  const nowhere = path.join(folder, 'nowhere');
  await expect(train(nowhere, { folder: half.folder })).rejects.toThrow(/holds a run already/);
  await expect(train(nowhere, { settings: { steps: 0 } })).rejects.toThrow(/setting steps is 0/);
  await expect(train(pictures, { config: { patchSize: 5 } })).rejects.toThrow(/5×5/);
  await expect(train(pictures, { resume: true })).rejects.toThrow(/No folder came with resume/);
  await expect(train(pictures, { folder, resume: true })).rejects.toThrow(/holds no run/);
});

test('pixels are looked at once on a graphics processor, and not where a function is traced', () => {
  const model = createModel(tarflow, 1);
  const [black, grey] = [tf.zeros<tf.Rank.R4>([1, 1, 8, 8]), tf.fill([1, 1, 8, 8], 255)];
  const call = () => {
    const body = (_: object, { x }: { x: tf.Tensor4D }) => ({ z: forward(model, x).z });
    const description = 'pixels';
    const inputs = { x: grey };
    callCompiled({ name: 'traced', description, parameters: {}, inputs, body, mode: 'graph' });
  };
  if (tf.getBackend() === 'tensorflow') call();
  vi.mocked(isOnGpu).mockReturnValue(true);
  expect(() => forward(model, grey)).toThrow(/values from 255/);
  forward(model, black);
  const read = vi.spyOn(tf.Tensor.prototype, 'dataSync');
  for (const use of [forward, logProb, score]) use(model, black);
  expect(read).not.toHaveBeenCalled();
  read.mockRestore();
  vi.mocked(isOnGpu).mockReturnValue(false);
  disposeModel(model);
});

test('numbers on a scale of 0 to 255 are not trained on', async () => {
  const data = madeUpImages('train', 8);
  const config = { ...tarflow, image: data.image, patchSize: 2 };
  const read = (indices: ArrayLike<number>) => {
    const raw = data.read(indices);
    return { ...raw, values: Float32Array.from(raw.values) };
  };
  const run = { family: familyOf('tarflow'), config, settings: { batchSize: 4 } };
  await checkRun({ ...run, data });
  await expect(checkRun({ ...run, data: { ...data, read } })).rejects.toThrow(
    /The images of made-up have values from \d+ to \d+\. Expected about/,
  );
});

test('what no folder is, is said', async () => {
  await expect(train(path.join(temporaryFolder(), 'none'))).rejects.toThrow(/There is no folder/);
});

describe('a model by its kind', () => {
  test('takes the options of that kind alone', () => {
    disposeModel(createModel(tarflow, 1));
    // @ts-expect-error There is no such kind.
    expect(() => createModel({ ...tarflow, kind: 'glow' }, 1)).toThrow(
      /Unknown kind of model 'glow'/,
    );
    const { layersPerBlock: layers, ...rest } = tarflow;
    // @ts-expect-error A TarFlow has layersPerBlock.
    expect(() => createModel({ ...rest, layers }, 1)).toThrow(/nearest one is layersPerBlock/);
    // @ts-expect-error A number is expected.
    expect(() => createModel({ ...tarflow, blocks: 'two' }, 1)).toThrow(/blocks is "two"/);
    // @ts-expect-error A MAF has no patches.
    expect(() => createModel({ ...tarflow, kind: 'maf' }, 1)).toThrow(/has the key/);
    const open: string = 'coupling?';
    expect(() => createModel({ kind: open, image, classes: 0 }, 1)).toThrow(
      /Did you mean coupling\?/,
    );
  });
});

describe('an experiment in a file', () => {
  async function read(content: object) {
    const file = path.join(temporaryFolder(), 'mine.json');
    fs.writeFileSync(file, JSON.stringify(content));
    return readExperiment(file);
  }

  test('needs only what differs', async () => {
    const { classes: _, volumePreserving: __, ...config } = tarflow;
    expect(await read({ dataset: 'folder:pets', config, settings: { steps: 5 } })).toEqual({
      name: 'mine',
      description: '',
      dataset: 'folder:pets',
      config: tarflow,
      settings: { ...usualSettings, steps: 5 },
    });
    expect((await read({ dataset: 'a', config })).settings).toEqual(usualSettings);
  });

  test('names all that is wrong at once', async () => {
    const config = { ...tarflow, blocks: 0, channels: 'many', layers: 3 };
    const wrong = read({ config, settings: { steps: -1, stepz: 3 } });
    for (const message of [
      /mine\.json has the key config\.layers, which is unknown.*nearest one is config\.layersPerBlock/,
      /Besides, .*dataset is missing \(expected a string, such as "folder:mypics"\)/,
      /config\.blocks is 0 .*config\.channels|config\.channels is "many".*config\.blocks/,
      /settings\.steps is -1/,
      /settings\.stepz is unknown/,
    ]) {
      await expect(wrong).rejects.toThrow(message);
    }
  });
});
