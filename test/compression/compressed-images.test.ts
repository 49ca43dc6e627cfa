import { describe, expect, test } from 'vitest';
import { compressImages, decompressImages } from '../../src/compression/compressed-images.js';
import { foldIn, integers, randomKey, tf, tidy } from '../../src/core/index.js';
import { mapTree } from '../../src/core/tree.js';
import { bitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import { dimensions, type Model } from '../../src/flow/model.js';
import { noisyImages } from '../../src/training/batches/index.js';
import { smallFlow } from '../flow/small-flow.js';
import { type FlowCases, movedModel } from '../models/cases.js';
import { mafCases } from '../models/maf/cases.js';
import { starflowCases } from '../models/starflow/cases.js';
import { tarflowCases } from '../models/tarflow/cases.js';

const key = randomKey(11);

/** Made-up images, a third of their pixels black and a third white. */
function madeUp({ config }: Model, count: number): Uint8Array {
  const levels = integers(key, count * dimensions(config), 0, 256);
  const kinds = integers(foldIn(key, 1), levels.length, 0, 3);
  return Uint8Array.from(levels, (level, i) => [0, 255, level][kinds[i]!]!);
}

function labelsFor({ config }: Model, count: number): number[] | undefined {
  if (config.classes === 0) return undefined;
  return Array.from({ length: count }, (_, i) => (i % (config.classes + 1)) - 1);
}

function families<C extends FlowCases>({ family, configurations }: C): [string, string][] {
  return Object.keys(configurations).map((name) => [family.kind, name]);
}

const cases = { tarflow: tarflowCases, maf: mafCases, starflow: starflowCases } as const;
function modelOf(kind: keyof typeof cases, name: string): Model {
  const { [kind]: all } = cases;
  return movedModel<never, never>(all as never, all.configurations[name] as never) as Model;
}

describe('images come back, pixel by pixel', () => {
  test.each(Object.values(cases).flatMap((all) => families(all as FlowCases)))(
    '%s, %s',
    async (kind, name) => {
      const model = modelOf(kind as keyof typeof cases, name);
      const levels = madeUp(model, 2);
      const label = labelsFor(model, 2);
      const before = tf.memory().numTensors;
      const compressed = await compressImages(model, levels, { batch: 2, label });
      expect(await decompressImages(model, compressed, 2)).toEqual(levels);
      expect(tf.memory().numTensors).toBe(before);
    },
  );
});

test.each([undefined, 0] as const)(
  'takes as many bits as the density says, with the background %s',
  async (background) => {
    const model = smallFlow({ background });
    const images = 200;
    const levels = madeUp(model, images);
    const { code, batch, borrowedBits } = await compressImages(model, levels);
    expect(batch).toBe(16);
    // No more than an image borrows: later batches take what earlier ones left.
    expect(borrowedBits / 16).toBeLessThan(14);
    const bits = 8 * code.length - borrowedBits - 48;
    const expected = tidy(() => {
      const noisy = noisyImages(levels, { kind: 'uniform' }, key);
      return tf.mean(bitsPerDimension(model, tf.tensor4d(noisy, [images, 1, 4, 4]))).dataSync()[0]!;
    });
    expect(bits / (images * 16) / expected).toBeGreaterThan(0.99);
    expect(bits / (images * 16) / expected).toBeLessThan(1.01);
  },
);

test('what is not decoded by the same arithmetic or is another message gives no images', async () => {
  const model = smallFlow();
  const levels = madeUp(model, 6);
  const compressed = await compressImages(model, levels);
  const refusal = /cannot be decoded: the arithmetic is another.*same engine/;
  const other = smallFlow({}, 2);
  await expect(decompressImages(other, compressed, 6)).rejects.toThrow(refusal);
  const fewer = { ...compressed, code: compressed.code.slice(0, -2) };
  await expect(decompressImages(model, fewer, 6)).rejects.toThrow(refusal);
  for (let at = 0; at < compressed.code.length; at += 5) {
    const code = compressed.code.slice();
    code[at]! ^= 1 << (at % 8);
    // Bits that were made up to be borrowed mean nothing.
    const images = await decompressImages(model, { ...compressed, code }, 6).catch(String);
    if (typeof images === 'string') expect(images).toMatch(refusal);
    else expect(images).toEqual(levels);
  }
  const short = { ...compressed, code: compressed.code.subarray(2) };
  await expect(decompressImages(model, short, 6)).rejects.toThrow(refusal);
});

test('images whose latents overflow are told', async () => {
  const model = smallFlow();
  const parameters = mapTree(model.parameters, (leaf, name) =>
    name.endsWith('proj_out.bias') ? tf.fill(leaf.shape, 1e20) : leaf,
  );
  await expect(
    compressImages({ ...model, parameters }, madeUp(model, 9), { batch: 2 }),
  ).rejects.toThrow(/Of images 0 to 0 one is too far from those of the model \(.*too large\)/);
});
