import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { describe, expect, onTestFinished, test } from 'vitest';
import { distanceText } from '../../src/cli/distance-outcome.js';
import { tf } from '../../src/core/tf.js';
import { imagesTensor, loadDataset, pixelBatch } from '../../src/data/index.js';
import { type FeatureRows, featureStatistics } from '../../src/evaluation/feature-statistics.js';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import { resamplingError } from '../../src/evaluation/resampling-error.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { classifierFeatures, loadClassifier } from '../../src/models/index.js';
import { expectRefused, refused, succeeds, tarflow, temporaryFolder } from './command-line.js';

const judge = path.join('results', 'checkpoints', 'fashion-mnist-classifier.safetensors');
const network = ['--network', `classifier:${judge}`];

/** The first images of Fashion-MNIST in a file, as samples are. */
async function fewSamples(count: number): Promise<string> {
  const images = imagesTensor(
    await loadDataset('fashion-mnist', 'train'),
    Array.from({ length: count }, (_, i) => i),
  );
  const file = path.join(temporaryFolder(), 'samples.safetensors');
  await writeSafetensors(file, {
    images: { dtype: 'F32', shape: images.shape, data: images.dataSync() as Float32Array },
  });
  images.dispose();
  return file;
}

describe('tarflow distance', () => {
  test('is what the library computes, with the floor beside it', async () => {
    const before = tf.memory().numTensors;
    const { stdout } = await succeeds(
      tarflow(
        ...['distance', 'fashion-mnist/validation', 'fashion-mnist/train', ...network],
        ...['--floor', 'fashion-mnist/train', '--count', '100', '--errors', '5', '--json'],
      ),
    );
    expect(tf.memory().numTensors).toBe(before);
    const outcome = JSON.parse(stdout);
    expect(outcome).toMatchObject({
      network: 'fashion-mnist-classifier',
      images: 100,
      realImages: 100,
      // The floor is the real set itself here.
      floor: { images: 100, precision: 1, recall: 1, coverage: 1 },
    });
    expect(outcome.floor.frechet).toBeLessThan(1e-6);
    const classifier = await loadClassifier(judge);
    const [a, b] = await Promise.all(
      (['validation', 'train'] as const).map(async (split) => {
        const data = await loadDataset('fashion-mnist', split);
        const images = imagesTensor(
          data,
          Array.from({ length: 100 }, (_, i) => i),
        );
        const { features, logits } = classifierFeatures(classifier, images);
        tf.dispose([images, logits]);
        return features;
      }),
    );
    expect(outcome.frechet).toBeCloseTo(frechetDistance(a!, b!), 4);
    const moments = featureStatistics(b!);
    const distance = (rows: FeatureRows) => frechetDistance(rows, moments);
    expect(outcome.frechetError).toBeCloseTo(resamplingError([a!], distance, { draws: 5 }), 4);
    expect(outcome.floor.frechetError).toBeGreaterThan(0);
    // All subsets are the same hundred images.
    expect(outcome.kernel).toEqual({ mean: expect.any(Number) });
    expect(outcome.precision).toBeGreaterThan(0.3);
  });

  test('takes samples and folders of pictures, and prints a table', async () => {
    const folder = temporaryFolder();
    const data = await loadDataset('fashion-mnist', 'train');
    const samples = await fewSamples(40);
    const { stdout } = await succeeds(
      tarflow('distance', samples, 'fashion-mnist/train', ...network, '--count', '40'),
    );
    expect(stdout).toMatch(/40 images against 40 real ones/);
    const about = '\\(fashion-mnist-classifier, n = 40 and 40\\)';
    expect(stdout).toMatch(new RegExp(`Fréchet distance ${about} +0\\.000\n`));
    expect(stdout).toMatch(new RegExp(`coverage ${about} +1\\.000`));
    const lines = stdout.trim().split('\n').slice(3);
    expect(lines).toHaveLength(6);
    for (const line of lines) expect(line).toMatch(new RegExp(about));
    const pictures = path.join(folder, 'pictures');
    fs.mkdirSync(pictures);
    const raw = { width: 28, height: 28, channels: 1 } as const;
    for (let i = 0; i < 40; i++) {
      const picture = sharp(pixelBatch(data, [i]), { raw }).toColourspace('b-w');
      await picture.toFile(path.join(pictures, `${String(i).padStart(2, '0')}.png`));
    }
    const again = await tarflow(
      ...['distance', pictures, samples, ...network, '--floor', 'fashion-mnist/train'],
      ...['--count', '40'],
    );
    expect(again.stderr).not.toMatch(/tarflow:/);
    expect(again.stdout).toMatch(/Fréchet distance .* +0\.000 +0\.000\n/);
    expect(again.stdout).not.toMatch(/FID|KID/);
  });

  test('by statistics alone is the same distance, and they are kept', async () => {
    const cacheBefore = process.env.TARFLOW_CACHE;
    const cache = temporaryFolder();
    onTestFinished(() => {
      if (cacheBefore === undefined) delete process.env.TARFLOW_CACHE;
      else process.env.TARFLOW_CACHE = cacheBefore;
    });
    const sets = ['distance', await fewSamples(30), await fewSamples(40), ...network];
    const whole = JSON.parse((await tarflow(...sets, '--json')).stdout);
    process.env.TARFLOW_CACHE = cache;
    const before = tf.memory().numTensors;
    const floor = ['--floor', sets[2] as string];
    const { stdout } = await succeeds(tarflow(...sets, ...floor, '--frechet-only', '--json'));
    expect(tf.memory().numTensors).toBe(before);
    const alone = JSON.parse(stdout);
    expect(Object.keys(alone)).toEqual([
      ...['real', 'network', 'realImages', 'images', 'frechet', 'floor'],
    ]);
    expect(alone).toMatchObject({ images: 30, realImages: 40, floor: { images: 30 } });
    expect(Math.abs(alone.frechet / whole.frechet - 1)).toBeLessThan(1e-6);
    // Those of the real images and of the floor, not those of the samples.
    const folder = path.join(cache, 'features', 'statistics');
    expect(fs.readdirSync(folder)).toHaveLength(2);

    const kept = fs
      .readdirSync(folder)
      .map((name) => path.join(folder, name))
      .find((file) => fs.readFileSync(file).includes('"count":"40"')) as string;
    const byFile = ['distance', sets[1] as string, kept, ...network];
    const again = JSON.parse((await tarflow(...byFile, '--json')).stdout);
    expect(again).toMatchObject({ images: 30, realImages: 40, frechet: alone.frechet });
    const drawn = JSON.parse((await tarflow(...byFile, '--errors', '3', '--json')).stdout);
    expect(drawn.frechet).toBeCloseTo(alone.frechet, 6);
    expect(drawn.frechetError).toBeGreaterThan(0);
    expect(again.unavailable).toEqual([
      ...['kernel distance', 'precision', 'recall', 'density', 'coverage'],
    ]);
    const text = (await tarflow(...byFile)).stdout.trim().split('\n');
    expect(text).toHaveLength(5);
    expect(text[3]).toMatch(/^Fréchet distance \(fashion-mnist-classifier, n = 30 and 40\) +\d/);
    expect(text[4]).toMatch(
      /holds no images: kernel distance, precision, recall, density, coverage are unavailable$/,
    );
  });

  test('names the distances of Inception-v3 FID and KID', () => {
    const outcome = {
      ...{ real: 'fid_stats.pth', network: 'Inception-v3', realImages: undefined },
      ...{ images: 100, frechet: 1.5, kernel: { mean: 0.25, deviation: 0.125 } },
    };
    const [caption, heads, , ...rows] = distanceText(outcome, {
      frechet: 'FID',
      kernel: 'KID',
    }).split('\n');
    expect(caption).toBe('Inception-v3, 100 images against an unknown number of real ones');
    expect(heads).toMatch(/^figure +images$/);
    expect(rows).toEqual([
      'FID (Inception-v3, n = 100 and unknown)  1.500',
      'KID (Inception-v3, n = 100 and unknown)  2.50e-1 ± 1.3e-1',
    ]);
    const withError = distanceText({ ...outcome, frechetError: 0.0625 });
    expect(withError).toMatch(/^Fréchet distance .* 1\.500 ± 0\.063$/m);
    const whole = distanceText({ ...outcome, kernel: { mean: 0.25 } });
    expect(whole).toMatch(/^kernel distance .* 2\.50e-1$/m);
  });

  test('mistakes are told in one message', async () => {
    const folder = temporaryFolder();
    const empty = path.join(folder, 'empty');
    fs.mkdirSync(empty);
    await expectRefused(
      'distance',
      folder,
      [
        ['no-such', ['fashion-mnist/train'], /no images 'no-such'.*\n?.*fashion-mnist/],
        [empty, ['fashion-mnist/train'], /holds no images/],
        [
          empty,
          ['fashion-mnist/train', '--part', '1/2', '--floor', 'x'],
          /--(count|floor) came with --part\. Leave/,
        ],
        ['fashion-mnist/validation', ['fashion-mnist/other'], /other/],
        [
          'fashion-mnist/validation',
          ['fashion-mnist'],
          /fashion-mnist came without a split\. Expected fashion-mnist\/train, .*mnist\/test/,
        ],
        ['fashion-mnist/train', ['fashion-mnist/train', '--floor', 'fashion-mnist'], /a split/],
        ['fashion-mnist/train', ['fashion-mnist/train', '--errors', '1'], /--errors is 1.*2 draws/],
        [
          await fewSamples(3),
          ['fashion-mnist/train', ...network],
          /3 images of .* are compared\. Expected at least 4, or at least 2 with --frechet-only/,
        ],
        ['fashion-mnist/train', [await fewSamples(5), ...network], /5 images of .* least 6/],
        [
          await fewSamples(1),
          ['fashion-mnist/train', '--frechet-only', ...network],
          /1 image of .* is compared\. Expected at least 2/,
        ],
        ['fashion-mnist/train', ['fashion-mnist/train', '--network', 'inception'], /'inception'/],
        [
          'fashion-mnist/train',
          ['fashion-mnist/train', '--network', 'inception-v3:none.pth'],
          /no file none\.pth .*Inception-v3.*github/,
        ],
        [
          'fashion-mnist/train',
          ['fashion-mnist/train', '--network', 'dinov2:none.pth'],
          /Unknown feature network 'dinov2:none\.pth'.* Expected one of efficientnet-lite0, /,
        ],
        [
          'fashion-mnist/train',
          [path.join('test', 'evaluation', 'fid_stats.pth'), ...network],
          /statistics of 6 features, fashion-mnist-classifier has 64.*inception-v3:FILE/,
        ],
      ],
      ['--count', '8'],
    );
    const floor = ['distance', 'fashion-mnist/train', 'fashion-mnist/train', '--floor'];
    const few = tarflow(...floor, 'fashion-mnist/validation', '--count', '9000');
    expect(await refused(few)).toMatch(
      /validation has 5000 images for a floor of 9000.*\n?.*--count 5000/,
    );
  });
});
