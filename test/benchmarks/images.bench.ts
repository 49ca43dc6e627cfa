/**
 * How many images a second a set of JPEGs gives, by each decode, from folders and from an archive:
 *
 *     npx tsx test/benchmarks/images.bench.ts [images] [size]
 *
 * Pictures of 500×375, some 80 kB each, are made in a temporary folder. Prints the time
 * that passes and the processor time of all threads for an image, the least of some rounds: other
 * processes disturb both.
 */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import sharp from 'sharp';
import { foldIn, normal, randomKey } from '../../src/core/random.js';
import { type DataSource, openDataset } from '../../src/data/index.js';

const [images = 600, size = 64] = process.argv.slice(2).map(Number);
const batch = 64;
const rounds = 6;
const [height, width] = [375, 500];

/** A picture as rough as a photograph: noise at every scale. */
async function picture(index: number): Promise<Buffer> {
  const sum = new Float32Array(height * width * 3);
  for (let scale = 1; scale <= 128; scale *= 2) {
    const [h, w] = [Math.ceil(height / scale), Math.ceil(width / scale)];
    const noise = normal(foldIn(randomKey(index), String(scale)), h * w * 3);
    const levels = Uint8Array.from(noise, (value) => Math.max(0, Math.min(255, 128 + 40 * value)));
    const grown = await sharp(levels, { raw: { width: w, height: h, channels: 3 } })
      .resize(width, height, { fit: 'fill', kernel: 'cubic' })
      .raw()
      .toBuffer();
    grown.forEach((level: number, i: number) => {
      sum[i] = (sum[i] as number) + (level - 128) * Math.min(1, 0.1 * scale);
    });
  }
  const pixels = Uint8Array.from(sum, (value) => Math.max(0, Math.min(255, 128 + 0.8 * value)));
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 92 })
    .toBuffer();
}

async function measure(what: string, data: DataSource): Promise<void> {
  const batches = Array.from({ length: Math.floor(data.length / batch) }, (_, at) =>
    Array.from({ length: batch }, (_, i) => at * batch + i),
  );
  let [wall, cpu] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let round = 0; round < rounds; round++) {
    const [begun, used] = [performance.now(), process.cpuUsage()];
    for (const [at, indices] of batches.entries()) {
      data.prefetch?.([...indices, ...(batches[at + 1] ?? [])]);
      await data.read(indices);
    }
    const count = batches.length * batch;
    const { user, system } = process.cpuUsage(used);
    wall = Math.min(wall, (performance.now() - begun) / count);
    cpu = Math.min(cpu, (user + system) / 1000 / count);
  }
  console.log(
    `${what.padEnd(24)} ${(1000 / wall).toFixed(0)} images/s; ${cpu.toFixed(2)} ms of processor time ` +
      `an image, ${(2000 / cpu).toFixed(0)} images/s of two cores`,
  );
}

async function main(): Promise<void> {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-images-'));
  process.env.TARFLOW_CACHE = path.join(root, 'cache');
  try {
    const [folders, archives] = ['folders', 'archives'].map((name) => path.join(root, name));
    const classFolder = path.join(folders as string, 'train', 'n00000001');
    fs.mkdirSync(classFolder, { recursive: true });
    fs.mkdirSync(archives as string);
    const different = await Promise.all(Array.from({ length: 24 }, (_, i) => picture(i)));
    for (let i = 0; i < images; i++) {
      const content = different[i % different.length] as Buffer;
      fs.writeFileSync(path.join(classFolder, `${String(i).padStart(6, '0')}.JPEG`), content);
    }
    const bytes = different.reduce((sum, { length }) => sum + length, 0) / different.length;
    console.log(`${images} JPEGs of ${(bytes / 1000).toFixed(0)} kB, to ${size}×${size}`);
    const inner = path.join(root, 'n00000001.tar');
    execFileSync('tar', ['-cf', inner, '-C', classFolder, '.']);
    const outer = path.join(archives as string, 'ILSVRC2012_img_train.tar');
    execFileSync('tar', ['-cf', outer, '-C', root, 'n00000001.tar']);
    const image = { channels: 3, height: size, width: size };
    for (const fastDecode of [false, true]) {
      for (const place of [folders, archives] as [string, string]) {
        const data = await openDataset(`imagenet:${place}`, 'train+validation', {
          image,
          fastDecode,
        });
        await measure(`${path.basename(place)}, ${fastDecode ? 'fast' : 'published'}`, data);
      }
    }
  } finally {
    fs.rmSync(root, { recursive: true });
  }
}

void main();
