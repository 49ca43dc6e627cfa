import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { randomKey, tf, uniform } from '../../../src/core/index.js';
import { imagesTensor, openDataset } from '../../../src/data/index.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { createModel } from '../../../src/models/registry.js';
import { decode } from '../../../src/sampling/autoencode.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import { openOwnDecoder, openOwnLatents } from '../../../workbook/reproduction/data.js';
import { temporaryFolder } from '../../cli/command-line.js';

const config = {
  ...{ kind: 'vae', image: { channels: 3, height: 8, width: 8 }, classes: 0 },
  ...{ channels: [4, 4], resnetsPerLevel: 1, groups: 2, latentChannels: 2, midAttention: false },
  loss: { trained: 'all', kl: 0, squares: 0, features: 0 },
};

/** A folder of three training images and two others, of random grey levels. */
async function writeImages(folder: string, key = 0): Promise<void> {
  for (const [split, count] of Object.entries({ train: 3, validation: 2 })) {
    const place = path.join(folder, split, 'class');
    fs.mkdirSync(place, { recursive: true });
    for (let i = 0; i < count; i += 1) {
      const levels = uniform(randomKey(key + i), 8 * 8 * 3).map((value) => Math.floor(256 * value));
      const raw = { width: 8, height: 8, channels: 3 } as const;
      await sharp(Uint8Array.from(levels), { raw })
        .png()
        .toFile(path.join(place, `${i}.png`));
    }
  }
}

async function writeAutoencoder(checkpoints: string, seed: number): Promise<void> {
  const model = createModel(config as never, seed);
  await saveCheckpoint(model, path.join(checkpoints, 'small.safetensors'), {});
  disposeModel(model);
}

test('latents are made once, on the scale of training, and again for another autoencoder', async () => {
  const [out, checkpoints, folder] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
  await writeImages(folder);
  await writeAutoencoder(checkpoints, 1);
  const made: string[] = [];
  const where = {
    ...{ out, checkpoints, mode: 'eager' as const },
    onProgress: (share: number, what: string) => void (share === 1 && made.push(what)),
  };
  const of = { images: `folder:${folder}`, autoencoder: 'small' };
  const held = await openDataset(of.images, 'validation');
  const train = await openOwnLatents(of, await openDataset(of.images, 'train'), where);
  const validation = await openOwnLatents(of, held, where);
  expect(made).toEqual(['latents of train', 'latents of validation']);
  expect([train.length, validation.length]).toEqual([3, 2]);
  expect(train.image).toEqual({ channels: 2, height: 4, width: 4 });
  expect(validation.latents?.scale).toBe(train.latents?.scale);
  await openOwnLatents(of, await openDataset(of.images, 'train'), where);
  expect(made).toHaveLength(2);

  // What decodes them undoes their scale: it sees what the autoencoder made of the images.
  const decoder = await openOwnDecoder(of, where);
  expect(decoder.scale).toBe(train.latents?.scale);
  const latents = await imagesTensor(validation, [0, 1]);
  const unscaled = tf.div<tf.Tensor4D>(latents, decoder.scale);
  const decoded = await decode(decoder.autoencoder, unscaled, { mode: 'eager' });
  expect(decoded.shape).toEqual([2, 3, 8, 8]);

  await writeAutoencoder(checkpoints, 2);
  const again = await openOwnLatents(of, await openDataset(of.images, 'train'), where);
  expect(made).toHaveLength(3);
  expect(again.latents?.autoencoder).not.toBe(train.latents?.autoencoder);

  // Another picture under the same name makes other latents.
  await writeImages(folder, 7);
  const other = await openOwnLatents(of, await openDataset(of.images, 'train'), where);
  expect(made).toHaveLength(4);
  expect(other.length).toBe(3);
});
