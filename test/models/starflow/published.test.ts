import * as path from 'node:path';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { normal, randomKey, tf } from '../../../src/core/index.js';
import { disposeModel, publishedConfig } from '../../../src/flow/state-dict.js';
import { readSafetensors, writeSafetensors } from '../../../src/formats/safetensors.js';
import { loadCheckpoint, type StarFlowConfig, starflow } from '../../../src/models/index.js';
import { starflowSpecs } from '../../../src/models/starflow/parameters.js';
import { shapesOf } from '../../../src/nn/specs.js';
import { sample } from '../../../src/sampling/sample.js';
import { succeeds, tarflow } from '../../cli/command-line.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { writeSmallBert } from '../../pretrained/small-bert.js';
import { sharedFolder } from '../../temporary-folder.js';

/** starflow_3B_t2i_256x256.pth. */
const textToImage: StarFlowConfig = {
  kind: 'starflow',
  image: { channels: 4, height: 32, width: 32 },
  classes: 0,
  nullClass: true,
  text: { entries: 128, width: 2048 },
  patchSize: 1,
  channels: 3072,
  layersPerBlock: [2, 2, 2, 2, 2, 24],
  headWidth: 64,
  startToken: true,
  norm: 'layer',
  finalNorm: true,
  softClip: 4,
  scale: 'softplus',
  firstDirection: 'reverse',
  gridSide: 32,
};
const { text: _, ...withoutText } = textToImage;
const byClass: StarFlowConfig = { ...withoutText, classes: 1000 };
const small: StarFlowConfig = {
  ...textToImage,
  image: { channels: 4, height: 4, width: 4 },
  text: { entries: 6, width: 24 },
  channels: 64,
  layersPerBlock: [1, 1, 2],
  gridSide: 4,
};

type Shapes = Record<string, { shape: number[] }>;

/** What a released file holds: the parameters, and buffers that nothing reads. */
function releasedShapes(config: StarFlowConfig): Shapes {
  const shapes = shapesOf(starflowSpecs(config, randomKey(0)).parameters);
  const tokens = config.gridSide ** 2;
  const width = config.image.channels;
  const entries = tokens + (config.text?.entries ?? (config.classes > 0 ? 1 : 0));
  const angles = [entries, config.headWidth];
  const unread = [
    ...config.layersPerBlock.map(
      (_, block) => [`blocks.${block}.attn_mask`, [entries, entries]] as const,
    ),
    ['feat_rope.freqs_cos', angles],
    ['feat_rope.freqs_sin', angles],
  ] as const;
  return Object.fromEntries(
    [['var', [tokens, width]] as const, ...Object.entries(shapes), ...unread].map(
      ([name, shape]) => [name, { shape: [...shape] }],
    ),
  );
}

const emptyText = ({ text }: StarFlowConfig): Shapes => ({
  empty_text: { shape: [text?.entries ?? 0, text?.width ?? 0] },
});

const folder = sharedFolder();
const file = path.join(folder, 'small.safetensors');
beforeAll(async () => {
  const tensors = Object.entries(releasedShapes(small)).map(([name, { shape }], i) => {
    const data = Float32Array.from(
      { length: shape.reduce((a, b) => a * b, 1) },
      (_number, k) => Math.sin(i + 3 * k) / 8,
    );
    return [name, { dtype: 'F32' as const, shape, data }];
  });
  await writeSafetensors(file, Object.fromEntries(tensors));
});
describe('the configuration of a released state dict', () => {
  test('is that of the text model, at full size, with nothing allocated', () => {
    expectNoTensorsLeft();
    const state = releasedShapes(textToImage);
    const read = publishedConfig(
      starflow,
      { ...state, ...emptyText(textToImage) },
      'release.pth',
      {},
    );
    expect(read).toEqual(textToImage);
    const sizes = Object.values(shapesOf(starflowSpecs(read, randomKey(0)).parameters));
    const parameters = sizes.map((shape) => shape.reduce((a, b) => a * b, 1));
    // As the authors' classes count them.
    expect(parameters.reduce((a, b) => a + b, 0)).toBe(3_858_281_544);
  });

  test('is that of a model of classes, whose condition is one entry', () => {
    expect(publishedConfig(starflow, releasedShapes(byClass), 'release.pth', {})).toEqual(byClass);
  });

  test('is that of other sizes, norms and patches', () => {
    const other: StarFlowConfig = {
      ...withoutText,
      image: { channels: 3, height: 16, width: 16 },
      patchSize: 2,
      channels: 96,
      layersPerBlock: [1, 3],
      headWidth: 32,
      norm: 'rms',
      finalNorm: false,
      gridSide: 8,
    };
    const state = { ...releasedShapes(other), var: { shape: [64, 12] } };
    const known = { imageChannels: 3, headWidth: 32 };
    expect(publishedConfig(starflow, state, 'release.pth', known)).toEqual(other);
  });
});

describe('what does not fit is an error that names it', () => {
  const complete = { ...releasedShapes(textToImage), ...emptyText(textToImage) };
  const [missing, odd] = ['blocks.3.attn_blocks.1.mlp.main.2.bias', 'blocks.5.proj_txt.bias'];
  test.each<[string, Shapes, RegExp]>([
    [
      'missing, unexpected and misshapen tensors',
      {
        ...Object.fromEntries(Object.entries(complete).filter(([name]) => name !== missing)),
        'blocks.0.attn_blocks.0.attention.q_norm.weight': { shape: [64] },
        [odd]: { shape: [4096] },
      },
      /lacks blocks\.3\.attn_blocks\.1\.mlp\.main\.2\.bias; it has blocks\.5\.proj_txt\.bias \(4096\) for \(3072\); it has besides .*q_norm/,
    ],
    [
      'a whole block less',
      Object.fromEntries(Object.entries(complete).filter(([name]) => !/^blocks\.2\./.test(name))),
      /lacks blocks\.2\.sos_embed, .*blocks\.2\.proj_out\.bias\. The published file is at/,
    ],
    ['no variance', { ...complete, var: { shape: [1000, 4] } }, /1000 tokens of 4 numbers/],
    [
      'no states of the empty caption',
      releasedShapes(textToImage),
      /reads captions of 128 entries.*--empty-text/s,
    ],
    [
      'an empty caption of another length',
      { ...complete, empty_text: { shape: [20, 2048] } },
      /have 20 entries, and the model reads 128/,
    ],
    [
      'neither a mask nor an empty caption',
      Object.fromEntries(
        Object.entries(releasedShapes(byClass)).filter(([name]) => !/attn_mask/.test(name)),
      ),
      /does not say whether its STARFlow reads classes or captions/,
    ],
  ])('%s', (_name, state, message) => {
    expect(() => publishedConfig(starflow, state, 'release.pth', {})).toThrow(message);
  });
});

test('a file gets the states of the empty caption by convert, is read by name, and samples', async () => {
  await writeSmallBert(path.join(folder, 'bert'));
  const bert = `bert:${path.join(folder, 'bert')}`;
  const to = path.join(folder, 'converted.safetensors');
  await expect(loadCheckpoint(file)).rejects.toThrow(/--empty-text/);
  const converted = ['convert', file, to, '--empty-text', bert, '--entries', '6'];
  await succeeds(tarflow(...converted));

  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  expectNoTensorsLeft();
  const model = await loadCheckpoint(to);
  expect(warned.mock.calls.map(([text]) => text)).toEqual([starflow.published?.licence]);
  disposeModel(await loadCheckpoint(to));
  expect(warned).toHaveBeenCalledTimes(1);
  warned.mockRestore();

  expect(model.config).toEqual(small);
  const { tensors } = await readSafetensors(file);
  const name = 'blocks.2.proj_txt.weight';
  const { parameters } = model as unknown as {
    parameters: { blocks: { proj_txt?: { weight: tf.Tensor2D } }[] };
  };
  const weight = parameters.blocks[2]?.proj_txt?.weight.dataSync();
  expect(weight).toEqual(tensors[name]?.data);
  const text = tf.tensor3d(normal(randomKey(2), 2 * 6 * 24), [2, 6, 24]);
  const samples = await sample(model, { count: 2, text, guidance: { weight: 1 }, seed: 1 });
  expect(samples.shape).toEqual([2, 4, 4, 4]);
  expect(samples.dataSync().every(Number.isFinite)).toBe(true);
  tf.dispose([samples, text]);
  disposeModel(model);
});
