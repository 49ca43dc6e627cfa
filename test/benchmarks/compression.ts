/**
 * Fashion-MNIST in files of a thousand images, by the density of a flow and by other lossless coders:
 *
 *     TARFLOW_RESULTS=results npx tsx test/benchmarks/compression.ts [--images 10000] [--timings]
 *
 * It goes on with the first file that results/claims/lossless-compression.json does not have. Every image is
 * decoded and compared. `--timings` adds how long both ways take beside an evaluation of the density, in
 * turns: on an idle machine. `zstd` has to be on the path; oxipng, which optimises PNG, comes by npx.
 */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import sharp, { type Sharp } from 'sharp';
import { z } from 'zod';
import { compressImages, decompressImages } from '../../src/compression/compressed-images.js';
import { pictureFileBytes } from '../../src/compression/picture-file.js';
import { startEngine } from '../../src/core/engine.js';
import { tf } from '../../src/core/tf.js';
import { type ImageDataset, imageDataset, pixelBatch } from '../../src/data/index.js';
import { datasetBitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import { weightsDigest } from '../../src/evaluation/test-readings.js';
import type { Model } from '../../src/flow/model.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { median, takeTurns } from '../../src/sampling/planner/timing.js';
import { testImages } from '../../workbook/notebook/dataset-images.js';
import { costSince } from '../../workbook/notebook/timing.js';
import { readClaim, recordClaim } from '../../workbook/records/claim.js';
import { committedCheckpoint } from '../../workbook/records/training-run.js';

const { values: options } = parseArgs({
  options: {
    images: { type: 'string', default: '10000' },
    timings: { type: 'boolean', default: false },
  },
});
const imagesOfFile = 1000;
const batch = 32;
const name = 'fashion-mnist-density';
const oxipng = ['--yes', 'oxipng@1.0.1', '--quiet', '--opt', 'max', '--strip', 'all'];

/** A file of images: sizes in bytes, the density's bits per dimension, and the bits that a file begins with. */
const filePart = z.object({
  first: z.number(),
  images: z.number(),
  density: z.number(),
  bytes: z.number(),
  initialBits: z.number(),
  coders: z.record(z.string(), z.number()),
});
type FilePart = z.infer<typeof filePart>;

interface Picture {
  pixels: Uint8Array;
  width: number;
  height: number;
}

/** Grey images of one size as a picture, in rows of about as many as there are rows. */
function inOne(images: readonly Picture[]): Picture {
  const columns = Math.ceil(Math.sqrt(images.length));
  const [{ width, height }] = images as [Picture];
  const rows = Math.ceil(images.length / columns);
  const pixels = new Uint8Array(rows * height * columns * width);
  images.forEach((image, i) => {
    for (let y = 0; y < height; y++) {
      const line = image.pixels.subarray(y * width, (y + 1) * width);
      const to = (Math.floor(i / columns) * height + y) * columns + (i % columns);
      pixels.set(line, to * width);
    }
  });
  return { pixels, width: columns * width, height: rows * height };
}

/**
 * Coders of one picture, by sharp. AVIF's own lossless mode codes grey as three equal colours, in twice the
 * bytes; at quality 100 its steps are 0, so that it loses nothing either.
 */
const bySharp: Record<string, (picture: Sharp) => Sharp> = {
  PNG: (picture) => picture.png({ compressionLevel: 9 }),
  WebP: (picture) => picture.webp({ lossless: true, effort: 6 }),
  AVIF: (picture) => picture.avif({ quality: 100, effort: 9, chromaSubsampling: '4:2:0' }),
};

/** What each coder makes of grey pictures, in bytes; every picture is decoded and compared. */
async function codedBytes(pictures: readonly Picture[]): Promise<Record<string, number>> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'coders-'));
  const filesOf = (ending: string) => pictures.map((_, i) => path.join(folder, `${i}.${ending}`));
  const found: Record<string, number> = {};
  try {
    for (const [coder, code] of Object.entries(bySharp)) {
      const files = filesOf(coder);
      for (const [i, { pixels, width, height }] of pictures.entries()) {
        const picture = sharp(pixels, { raw: { width, height, channels: 1 } });
        fs.writeFileSync(files[i]!, await code(picture.toColourspace('b-w')).toBuffer());
      }
      if (coder === 'PNG') execFileSync('npx', [...oxipng, ...files]);
      for (const [i, { pixels }] of pictures.entries()) {
        const back = await sharp(files[i]!).toColourspace('b-w').raw().toBuffer();
        if (!back.equals(pixels)) throw new Error(`${coder} lost something of image ${i}`);
      }
      found[coder] = bytesOf(files);
    }
    const raw = filesOf('raw');
    for (const [i, { pixels }] of pictures.entries()) fs.writeFileSync(raw[i]!, pixels);
    execFileSync('zstd', ['--quiet', '--ultra', '-22', '--no-check', ...raw]);
    found.Zstandard = bytesOf(raw.map((file) => `${file}.zst`));
    return found;
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

function bytesOf(files: readonly string[]): number {
  return files.reduce((sum, file) => sum + fs.statSync(file).size, 0);
}

/** Some images of a data set, from `first` on. */
function some(data: ImageDataset, first: number, count: number): ImageDataset {
  const indices = Array.from({ length: count }, (_, i) => first + i);
  return imageDataset({
    ...data,
    pixels: pixelBatch(data, indices),
    labels: Int32Array.from(indices, (i) => data.labels[i] ?? 0),
  });
}

/** Compresses some images by the flow, which decodes and compares, and by the others. */
async function measured(model: Model, data: ImageDataset, first: number): Promise<FilePart> {
  const count = data.length;
  const levels = pixelBatch(data, [...Array(count).keys()]);
  const { mean } = await datasetBitsPerDimension(model, data);
  const { borrowedBits, ...compressed } = await compressImages(model, levels, { batch });
  const engine = await startEngine();
  const file = pictureFileBytes({
    model: { file: `${name}.safetensors`, digest: weightsDigest(model) },
    engine: { name: engine.engine, version: engine.version },
    names: Array.from({ length: count }, (_, i) => `${first + i}`),
    ...compressed,
  });
  const { width, height } = data.image;
  const size = width * height;
  const images = Array.from({ length: count }, (_, i) => {
    return { pixels: levels.subarray(i * size, (i + 1) * size), width, height };
  });
  const of = async (what: string, pictures: readonly Picture[]) =>
    Object.entries(await codedBytes(pictures)).map(([coder, bytes]) => [
      `${coder}, ${what}`,
      bytes,
    ]);
  const coders = [
    ...(await of('each image', images)),
    ...(await of('all in one', [inOne(images)])),
  ];
  return {
    ...{ first, images: count, density: mean, bytes: file.length, initialBits: borrowedBits },
    coders: Object.fromEntries(coders),
  };
}

/** Both ways beside an evaluation of the density, of as many images at once, in turns. */
async function timings(model: Model, data: ImageDataset) {
  const count = 64;
  const few = some(data, 0, count);
  const levels = pixelBatch(few, [...Array(count).keys()]);
  const made = await compressImages(model, levels, { batch });
  const done = () => tf.scalar(0);
  const runs = [
    () => datasetBitsPerDimension(model, few, { batchSize: batch }).then(done),
    () => compressImages(model, levels, { batch }).then(done),
    () => decompressImages(model, made, count).then(done),
  ];
  await takeTurns(runs, 1);
  const times = await takeTurns(runs, 5);
  const [evaluating, compressing, decompressing] = times.map(median) as [number, number, number];
  return {
    'compressing, times an evaluation': compressing / evaluating,
    'decompressing, times an evaluation': decompressing / evaluating,
    'compressed in a second': (1000 * count) / compressing,
    'decompressed in a second': (1000 * count) / decompressing,
  };
}

/** Records what is measured of all files so far. */
async function record(parts: readonly FilePart[], begun: number, times: object): Promise<void> {
  const total = (of: (part: FilePart) => number) => parts.reduce((sum, part) => sum + of(part), 0);
  const images = total((part) => part.images);
  const perDimension = (bytes: number) => (8 * bytes) / (images * 28 * 28);
  const coders = Object.keys(parts[0]?.coders ?? {}).map((coder) => {
    return [coder, perDimension(total((part) => part.coders[coder] ?? Number.NaN))];
  });
  const before = await readClaim('lossless-compression');
  const { seconds, cores } = costSince(begun);
  await recordClaim(
    'lossless-compression',
    {
      files: perDimension(total((part) => part.bytes)),
      density: total((part) => part.density * part.images) / images,
      'bits to begin with, of a file': Math.max(...parts.map(({ initialBits }) => initialBits)),
      ...Object.fromEntries(coders),
      ...{ images, 'images that came back': images },
      ...times,
    },
    {
      configuration: {
        ...{ checkpoint: `${name}.safetensors`, data: 'fashion-mnist, test', batch, imagesOfFile },
        coders:
          'oxipng 4 at its most, WebP at effort 6, AVIF at effort 9 and quality 100, zstd at 22',
      },
      found: { files: parts },
      n: `${images.toLocaleString('en-US')} test images, 1 training`,
      ...{ seed: 0, cost: { seconds: Number(before?.cost.seconds ?? 0) + seconds, cores } },
    },
  );
}

async function main(): Promise<void> {
  await startEngine();
  const model = await loadCheckpoint(committedCheckpoint(name));
  const request = { measure: 'lossless compression', reason: 'the figures of claim P3' };
  const data = await testImages('fashion-mnist', { models: { [name]: model }, ...request });
  const claim = await readClaim('lossless-compression');
  const parts = z.array(filePart).parse(claim?.found.files ?? []);
  const wanted = Math.min(Number(options.images), data.length);
  for (let first = parts.length * imagesOfFile; first < wanted; first += imagesOfFile) {
    const begun = performance.now();
    parts.push(await measured(model, some(data, first, imagesOfFile), first));
    await record(parts, begun, {});
    console.log(JSON.stringify(parts.at(-1)));
  }
  if (!options.timings) return;
  const begun = performance.now();
  await record(parts, begun, await timings(model, data));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
