/**
 * Bits per dimension of images compressed by a flow, beside its density and other lossless coders:
 *
 *     npx tsx test/benchmarks/compression.bench.ts MODEL [images] [batch] [split]
 *
 * The first images of the split (200, validation) of the data set that the model was trained on. The other
 * coders take each image by itself, and all images as one picture; Zstandard is `zstd` of the path where
 * Node.js has none. Every coder's result is decoded and compared.
 */

import { execFileSync } from 'node:child_process';
import * as zlib from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { compressImages, decompressImages } from '../../src/compression/compressed-images.js';
import { openDataset, pixelBatch } from '../../src/data/index.js';
import type { ImageSize, Split } from '../../src/data/source.js';
import { datasetBitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import { dimensions } from '../../src/flow/model.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';

const [checkpoint = '', images = '200', batch, split = 'validation'] = process.argv.slice(2);

/** Coders of pictures (height, width, channels). */
const pictureCoders: Record<string, (picture: Sharp) => Sharp> = {
  PNG: (picture) => picture.png({ compressionLevel: 9 }),
  'PNG, filtered': (picture) => picture.png({ compressionLevel: 9, adaptiveFiltering: true }),
  WebP: (picture) => picture.webp({ lossless: true, effort: 6 }),
  AVIF: (picture) => picture.avif({ lossless: true, effort: 9, chromaSubsampling: '4:4:4' }),
};

/** Coders of bytes. */
const byteCoders: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  Zstandard: (bytes) => {
    const { zstdCompressSync } = zlib as unknown as {
      zstdCompressSync?: (bytes: Uint8Array, options: object) => Uint8Array;
    };
    const level = { params: { 100: 22 } };
    return (
      zstdCompressSync?.(bytes, level) ??
      execFileSync('zstd', ['-22', '--ultra', '-c'], { input: bytes })
    );
  },
  Brotli: (bytes) => zlib.brotliCompressSync(bytes),
};

interface Picture {
  pixels: Buffer;
  width: number;
  height: number;
}

/** Pictures (height, width, channels) of grey levels (count, channels, height, width). */
function picturesOf(levels: Uint8Array, { channels, height, width }: ImageSize): Picture[] {
  const area = height * width;
  return Array.from({ length: levels.length / (area * channels) }, (_, image) => ({
    ...{ width, height },
    pixels: Buffer.from(
      Array.from(
        { length: area * channels },
        (__, i) =>
          levels[(image * channels + (i % channels)) * area + Math.floor(i / channels)] as number,
      ),
    ),
  }));
}

/** All pictures as one, in rows of about as many as there are rows. */
function asOne(pictures: readonly Picture[], channels: number): Picture {
  const columns = Math.ceil(Math.sqrt(pictures.length));
  const [{ width, height }] = pictures as [Picture];
  const rows = Math.ceil(pictures.length / columns);
  const whole = Buffer.alloc(rows * height * columns * width * channels);
  pictures.forEach(({ pixels }, i) => {
    for (let y = 0; y < height; y++) {
      const to = ((Math.floor(i / columns) * height + y) * columns + (i % columns)) * width;
      pixels.copy(whole, to * channels, y * width * channels, (y + 1) * width * channels);
    }
  });
  return { pixels: whole, width: columns * width, height: rows * height };
}

async function bytesOf(
  coder: string,
  pictures: readonly Picture[],
  channels: number,
): Promise<number> {
  let sum = 0;
  for (const { pixels, width, height } of pictures) {
    const byBytes = byteCoders[coder];
    if (byBytes) {
      sum += byBytes(pixels).length;
      continue;
    }
    const grey = channels === 1;
    const raw = { width, height, channels: grey ? 1 : 3 } as const;
    const picture = sharp(pixels, { raw }).toColourspace(grey ? 'b-w' : 'srgb');
    const coded = await pictureCoders[coder]!(picture).toBuffer();
    const back = await sharp(coded)
      .toColourspace(grey ? 'b-w' : 'srgb')
      .raw()
      .toBuffer();
    if (!back.equals(pixels)) return Number.NaN;
    sum += coded.length;
  }
  return sum;
}

async function main(): Promise<void> {
  const model = await loadCheckpoint(checkpoint);
  const { dataset = '' } = model.details;
  const data = await openDataset(dataset, split as Split, { image: model.config.image });
  const count = Math.min(Number(images), data.length);
  const levels = await pixelBatch(
    data,
    Array.from({ length: count }, (_, i) => i),
  );
  const perDimension = (bytes: number) => (8 * bytes) / (count * dimensions(model.config));
  const { mean } = await datasetBitsPerDimension(model, data, { count });
  const begun = performance.now();
  const made = await compressImages(model, levels, { batch: batch ? Number(batch) : undefined });
  const compressed = performance.now();
  await decompressImages(model, made, count);
  const decompressed = performance.now();
  const { code, lent, borrowedBits } = made;
  const byFlow = (count - lent.images) * dimensions(model.config);
  const back = (decompressed - compressed) / 1000;
  const flow = {
    ...{ bitsPerDimension: perDimension(code.length), density: mean, batch: made.batch },
    ofImagesByFlow: (8 * (code.length - lent.bytes) - borrowedBits) / byFlow,
    ...{ lent, borrowedBits },
    // Compressing decodes once, too.
    imagesPerSecond: {
      compress: (1000 * count) / (compressed - begun),
      withoutDecoding: count / ((compressed - begun) / 1000 - back),
      decompress: count / back,
    },
  };
  console.log(JSON.stringify({ checkpoint, data: data.name, split, count, flow }, null, 2));
  const rows: Record<string, unknown> = {};
  const pictures = picturesOf(levels, data.image);
  for (const coder of [...Object.keys(pictureCoders), ...Object.keys(byteCoders)]) {
    const { channels } = data.image;
    rows[coder] = {
      each: perDimension(await bytesOf(coder, pictures, channels)),
      together: perDimension(await bytesOf(coder, [asOne(pictures, channels)], channels)),
    };
  }
  console.log(JSON.stringify(rows, null, 2));
}

main();
