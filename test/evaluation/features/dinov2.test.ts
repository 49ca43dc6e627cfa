import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { tf } from '../../../src/core/tf.js';
import { loadDinoV2 } from '../../../src/evaluation/features/dinov2.js';
import { type FeatureNetwork, featuresOf } from '../../../src/evaluation/features/network.js';
import { type TensorSource, writeSafetensors } from '../../../src/formats/safetensors.js';
import { countedImages, filled, relativeDifference } from './counted-weights.js';

const reference = JSON.parse(fs.readFileSync(path.join(__dirname, 'dinov2.json'), 'utf8')) as {
  features: Record<string, Record<string, number[][]>>;
};

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-dinov2-'));

beforeAll(async () => {
  await startEngine();
});

afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Names and shapes of the official state dicts. */
function shapesOf(width: number, depth: number): Record<string, number[]> {
  const shapes: Record<string, number[]> = {
    cls_token: [1, 1, width],
    pos_embed: [1, 1370, width],
    mask_token: [1, width],
    'patch_embed.proj.weight': [width, 3, 14, 14],
    'patch_embed.proj.bias': [width],
    'norm.weight': [width],
    'norm.bias': [width],
  };
  for (let block = 0; block < depth; block++) {
    const linears = {
      'attn.qkv': [3 * width, width],
      'attn.proj': [width, width],
      'mlp.fc1': [4 * width, width],
      'mlp.fc2': [width, 4 * width],
    };
    for (const [name, shape] of Object.entries(linears)) {
      shapes[`blocks.${block}.${name}.weight`] = shape;
      shapes[`blocks.${block}.${name}.bias`] = shape.slice(0, 1);
    }
    for (const part of ['norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias']) {
      shapes[`blocks.${block}.${part}`] = [width];
    }
    shapes[`blocks.${block}.ls1.gamma`] = [width];
    shapes[`blocks.${block}.ls2.gamma`] = [width];
  }
  return shapes;
}

function sources(width: number, depth: number): Record<string, TensorSource> {
  const entries = Object.entries(shapesOf(width, depth)).map(([name, shape]) => [
    name,
    { dtype: 'F32', shape, data: () => filled(name, shape).data },
  ]);
  return Object.fromEntries(entries);
}

async function written(name: string, tensors: Record<string, TensorSource>): Promise<string> {
  const file = path.join(folder, `${name}.safetensors`);
  await writeSafetensors(file, tensors);
  return file;
}

const images = {
  small: [2, 3, 30, 40],
  large: [1, 3, 300, 260],
  equal: [1, 3, 224, 224],
} as const;

/** Compares with the stored features, of which there are 64 an image. */
async function expectFeatures(network: FeatureNetwork, size: string): Promise<void> {
  const { width } = network;
  for (const [name, shape] of Object.entries(images)) {
    const batch = tf.tensor4d(countedImages(name, shape), [...shape]);
    const before = tf.memory().numTensors;
    const { data } = await featuresOf(network, batch, { batchSize: 2 });
    expect(tf.memory().numTensors).toBe(before);
    reference.features[size]?.[name]?.forEach((expected, image) => {
      const features = expected.map((_, i) => data[image * width + (i * width) / 64] as number);
      expect(relativeDifference(features, expected), name).toBeLessThan(5e-5);
    });
    batch.dispose();
  }
}

describe('DINOv2', () => {
  test('has the features of transformers, with the official position embeddings', async () => {
    const network = await loadDinoV2(await written('small', sources(128, 2)));
    expect(network).toMatchObject({
      name: 'DINOv2 of width 128 and depth 2',
      width: 128,
      weights: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(network.distances).toBeUndefined();
    await expectFeatures(network, 'small');
    network.dispose();
  });

  test('is read by the names of Dinov2Model, too', async () => {
    const before = tf.memory().numTensors;
    const network = await loadDinoV2(await written('hugging', huggingNames(sources(128, 2))));
    await expectFeatures(network, 'small');
    network.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('sees grey images as three equal channels', async () => {
    const network = await loadDinoV2(await written('grey', sources(64, 1)));
    tf.tidy(() => {
      const grey = tf.randomUniform<tf.Rank.R4>([2, 1, 16, 16], -1, 1, 'float32', 3);
      const colour = tf.tile(grey, [1, 3, 1, 1]);
      const [a, b] = [grey, colour].map((one) => network.features(one).dataSync());
      expect(a).toEqual(b);
      expect(() => network.features(tf.zeros([1, 4, 8, 8]))).toThrow(/4 channels.*\n?.*1 or 3/);
    });
    network.dispose();
  });

  test('refuses other weights by name, and frees what it had', async () => {
    const before = tf.memory().numTensors;
    const tensors = sources(64, 2);
    delete tensors['blocks.1.ls2.gamma'];
    tensors['blocks.0.attn.proj.weight'] = filled('a', [64, 32]);
    tensors.register_tokens = filled('a', [1, 4, 64]);
    await expect(loadDinoV2(await written('other', tensors))).rejects.toThrow(
      /lacks blocks\.1\.ls2\.gamma; it has blocks\.0\.attn\.proj\.weight \(64, 32\) for \(64, 64\); it has besides register_tokens\. .*fbaipublicfiles/,
    );
    await expect(loadDinoV2(await written('nothing', { other: filled('a', [2]) }))).rejects.toThrow(
      /lacks cls_token, pos_embed, .*, norm\.bias; it has besides other/,
    );
    await expect(loadDinoV2(await written('narrow', sources(32, 1)))).rejects.toThrow(
      /width 32.*multiple of 64/,
    );
    await expect(loadDinoV2(path.join(folder, 'none.pth'))).rejects.toThrow(
      /no file .*none\.pth with the weights of DINOv2.*dinov2_vitl14_pretrain\.pth/,
    );
    expect(tf.memory().numTensors).toBe(before);
  });

  // A minute and 1.2 GB: `npm run nightly` sets TARFLOW_NIGHTLY.
  describe.runIf(process.env.TARFLOW_NIGHTLY)('in the published sizes', () => {
    test.each([
      ['B/14', 768, 12],
      ['L/14', 1024, 24],
    ] as const)(
      'has the features of transformers: %s',
      async (name, width, depth) => {
        const file = await written('published', sources(width, depth));
        const network = await loadDinoV2(file);
        expect(network.name).toBe(`DINOv2 ViT-${name}`);
        await expectFeatures(network, name);
        network.dispose();
        fs.rmSync(file);
      },
      600_000,
    );
  });
});

/** The same tensors by the names of `Dinov2Model`. */
function huggingNames(tensors: Record<string, TensorSource>): Record<string, TensorSource> {
  const renamed: Record<string, TensorSource> = {};
  const renamings: [RegExp, string][] = [
    [/^(cls_token|mask_token)/, 'embeddings.$1'],
    [/^pos_embed/, 'embeddings.position_embeddings'],
    [/^patch_embed\.proj/, 'embeddings.patch_embeddings.projection'],
    [/^norm\./, 'layernorm.'],
    [/^blocks\./, 'encoder.layer.'],
    [/attn\.proj/, 'attention.output.dense'],
    [/ls(\d)\.gamma/, 'layer_scale$1.lambda1'],
  ];
  for (const [name, tensor] of Object.entries(tensors)) {
    const found = renamings.reduce((text, [from, to]) => text.replace(from, to), name);
    if (!found.includes('attn.qkv')) {
      renamed[found] = tensor;
      continue;
    }
    ['query', 'key', 'value'].forEach((part, i) => {
      const [rows = 0, ...rest] = tensor.shape;
      const data = (tensor.data as () => Float32Array)();
      const size = data.length / 3;
      renamed[found.replace('attn.qkv', `attention.attention.${part}`)] = {
        ...{ dtype: 'F32', shape: [rows / 3, ...rest] },
        data: data.slice(i * size, (i + 1) * size),
      };
    });
  }
  return renamed;
}
