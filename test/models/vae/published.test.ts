import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { tf } from '../../../src/core/tf.js';
import type { Model } from '../../../src/flow/model.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { writeSafetensors } from '../../../src/formats/safetensors.js';
import { loadCheckpoint } from '../../../src/models/load-checkpoint.js';
import { vae } from '../../../src/models/vae/index.js';
import { decode, encode } from '../../../src/sampling/autoencode.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { counted, countedImages } from '../../pretrained/counted-weights.js';
import { sharedFolder } from '../../temporary-folder.js';
import { filledStateDict, storedConfigs, withOlderNames } from './state-dict.js';

type Name = keyof typeof storedConfigs;
type Results = Record<'mean' | 'logVariance' | 'images', number[]>;

const { results } = JSON.parse(fs.readFileSync(path.join(__dirname, 'reference.json'), 'utf8')) as {
  results: Record<Name, Results>;
};

/** As in reference.py. */
const shapes: Record<Name, readonly [number, number, number, number]> = {
  small: [2, 3, 16, 24],
  'stable-diffusion': [1, 3, 256, 256],
};

const folder = sharedFolder();
/** The largest difference from the stored numbers, which are a part of all, evenly spread. */
function largestDifference(tensor: tf.Tensor, expected: readonly number[]): number {
  const values = tensor.dataSync();
  const step = Math.max(1, Math.floor(values.length / 128));
  expect(expected).toHaveLength(Math.ceil(values.length / step));
  return Math.max(...expected.map((value, i) => Math.abs((values[i * step] as number) - value)));
}

/** Encodes and decodes what reference.py did. */
async function differences(model: Model, name: Name): Promise<Record<keyof Results, number>> {
  const [count, channels, height, width] = shapes[name];
  const side = 2 ** (storedConfigs[name].channels.length - 1);
  const grid: [number, number, number, number] = [count, 4, height / side, width / side];
  const images = tf.tensor4d(countedImages('images', shapes[name]), [
    count,
    channels,
    height,
    width,
  ]);
  const size = grid.reduce((product, one) => product * one, 1);
  const latents = tf.tensor4d(
    Float32Array.from(counted('latents', size), (value) => 4 * value - 2),
    grid,
  );
  const posterior = await encode(model, images);
  const made = await decode(model, latents);
  const expected = results[name];
  const found = {
    mean: largestDifference(posterior.mean, expected.mean),
    logVariance: largestDifference(posterior.logVariance, expected.logVariance),
    images: largestDifference(made, expected.images),
  };
  tf.dispose([images, latents, posterior.mean, posterior.logVariance, made]);
  return found;
}

function expectEqual(found: Record<string, number>): void {
  for (const [name, difference] of Object.entries(found)) {
    expect(difference, name).toBeLessThan(1e-4);
  }
}

describe('a published autoencoder', () => {
  test('computes what diffusers computes, by its names and by the older ones', async () => {
    expectNoTensorsLeft();
    const state = filledStateDict(storedConfigs.small);
    for (const [name, tensors] of Object.entries({ new: state, old: withOlderNames(state) })) {
      const file = path.join(folder, `${name}.safetensors`);
      await writeSafetensors(file, tensors);
      const model = await loadCheckpoint(file);
      expect(model.config).toEqual(storedConfigs.small);
      expectEqual(await differences(model, 'small'));
      disposeModel(model);
    }
  });

  test('is written as a checkpoint of ours under the names of diffusers', async () => {
    const state = filledStateDict(storedConfigs.small);
    const file = path.join(folder, 'theirs.safetensors');
    await writeSafetensors(file, state);
    const model = await loadCheckpoint(file, { family: vae, imageSide: 64 });
    expect(model.config.image).toEqual({ channels: 3, height: 64, width: 64 });
    const ours = path.join(folder, 'ours.safetensors');
    await saveCheckpoint(model, ours);
    const read = await loadCheckpoint(ours, { family: vae });
    expect(read.config).toEqual(model.config);
    expectEqual(await differences(read, 'small'));
  });

  test('is the same op by op, and on WebAssembly', async () => {
    const file = path.join(folder, 'engines.safetensors');
    await writeSafetensors(file, filledStateDict(storedConfigs.small));
    await startEngine({ engine: 'wasm' });
    const model = await loadCheckpoint(file);
    expectEqual(await differences(model, 'small'));
    await startEngine({ engine: 'tensorflow' });
  });

  test('is refused with the names of all tensors that do not fit', async () => {
    expectNoTensorsLeft();
    const state = filledStateDict(storedConfigs.small);
    delete state['decoder.conv_out.bias'];
    delete state['encoder.mid_block.attentions.0.to_k.weight'];
    state['encoder.conv_out.weight'] = { dtype: 'F32', shape: [2], data: new Float32Array(2) };
    state['quant.scale'] = { dtype: 'F32', shape: [1], data: new Float32Array(1) };
    const file = path.join(folder, 'wrong.safetensors');
    await writeSafetensors(file, state);
    await expect(loadCheckpoint(file)).rejects.toThrow(
      /lacks encoder\.mid_block\.attentions\.0\.to_k\.weight, decoder\.conv_out\.bias; it has encoder\.conv_out\.weight \(2\) for \(8, 64, 3, 3\); it has besides quant\.scale.*sd-vae-ft-ema/,
    );
  });
});

// Minutes and 5 GB: `npm run nightly` sets TARFLOW_NIGHTLY.
describe.runIf(process.env.TARFLOW_NIGHTLY)('the autoencoder of Stable Diffusion', () => {
  test('computes at 256² what diffusers computes, in under 6 GB', async () => {
    const file = path.join(folder, 'stable-diffusion.safetensors');
    await writeSafetensors(file, filledStateDict(storedConfigs['stable-diffusion']));
    // A process of its own, whose peak is that of the work alone.
    const script = path.join(__dirname, 'peak-memory.ts');
    const told = execFileSync(process.execPath, ['--import', 'tsx', script, file], {
      encoding: 'utf8',
    });
    const { peakBytes } = JSON.parse(told.trim().split('\n').at(-1) as string);
    expect(peakBytes).toBeLessThan(6e9);
    const model = await loadCheckpoint(file);
    expectEqual(await differences(model, 'stable-diffusion'));
    fs.rmSync(file);
  }, 1_200_000);
});
