import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.js';
import { decodedImage } from '../../src/data/encoded/image-file.js';
import { openLatents, writeLatents } from '../../src/data/latents/latent-file.js';
import { decodeIdx } from '../../src/formats/idx.js';
import { npyIntegers, npzArray } from '../../src/formats/npz.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { tarEntries, tarInMemory } from '../../src/formats/tar.js';
import { withTensorFile } from '../../src/formats/tensor-file.js';
import { parseDescription } from '../../src/training/run-description.js';
import { sharedFolder } from '../temporary-folder.js';
import { mutated } from './mutations.js';
import { int64, npyOf, npzOf } from './npz-writer.js';
import { tarOf } from './tar-writer.js';
import { writeTorchFile } from './torch-writer.js';

/** Of each format by day, and by night. */
const inputs = process.env.TARFLOW_NIGHTLY ? 100_000 : 600;
/** A file below a megabyte is read in less time, however busy the machine, and in less memory. */
const [longest, mostMemory] = [60_000, 2 ** 30];

interface Format {
  /** A file that is right. */
  sample(file: string): Promise<void> | void;
  /** What it holds, as text. */
  read(file: string): Promise<string>;
  /** Whether a change of what a damaged file holds is found, if it still has its sums. */
  summed?(damaged: Uint8Array): boolean;
}

const folder = sharedFolder();
const tensors = async (file: string) =>
  withTensorFile(file, async (open) => {
    const all: string[] = [];
    for (const name of Object.keys(open.tensors)) {
      const { shape, data } = await open.read(name);
      all.push(`${name} ${shape} ${data.join()}`);
    }
    return all.join('\n');
  });
const ramp = (length: number) => Float32Array.from({ length }, (_, i) => i / 7 - 3);

const formats: Record<string, Format> = {
  safetensors: {
    sample: (file) =>
      writeSafetensors(
        file,
        {
          weight: { dtype: 'F32', shape: [3, 5], data: ramp(15) },
          half: { dtype: 'BF16', shape: [4], data: ramp(4) },
          count: { dtype: 'I64', shape: [], data: Float64Array.of(7) },
        },
        { note: 'a "note"' },
      ),
    read: tensors,
    // Two damages in one file may hit the sums' name, and a number.
    summed: (damaged) => Buffer.from(damaged).includes('"tarflow.crc32":"'),
  },
  'state dicts in zip archives': {
    sample: (file) =>
      writeTorchFile(file, {
        'a.weight': { shape: [3, 5], dtype: 'F32', data: () => ramp(15) },
        'a.bias': { shape: [5], dtype: 'F32', data: () => ramp(5) },
      }),
    read: tensors,
    summed: () => true,
  },
  'state dicts of old': {
    sample: (file) => fs.copyFileSync(path.join(__dirname, 'pth', 'many-before-1.6.pth'), file),
    read: tensors,
  },
  'arrays of NumPy, stored': {
    sample: (file) =>
      fs.writeFileSync(file, npzOf({ labels: npyOf('<i8', [4], int64([5, -1, 1000, 2 ** 40])) })),
    read: async (file) => (await npyIntegers(await npzArray(file, 'labels', `${file}.npy`))).join(),
    summed: () => true,
  },
  'arrays of NumPy, compressed': {
    sample: (file) => {
      const labels = npyOf('<i8', [400], int64(Array.from({ length: 400 }, (_, i) => i % 10)));
      fs.writeFileSync(file, npzOf({ labels }, { compressed: true }));
    },
    read: async (file) => {
      const unpacked = `${file}.npy`;
      fs.rmSync(unpacked, { force: true });
      return (await npyIntegers(await npzArray(file, 'labels', unpacked))).join();
    },
    summed: () => true,
  },
  IDX: {
    sample: (file) => {
      const head = Uint8Array.of(0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 4);
      fs.writeFileSync(file, Buffer.concat([head, Uint8Array.from({ length: 12 }, (_, i) => i)]));
    },
    read: async (file) => JSON.stringify(decodeIdx(fs.readFileSync(file), file)),
  },
  'IDX by gzip': {
    sample: (file) => {
      const head = Uint8Array.of(0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 4);
      fs.writeFileSync(file, gzipSync(Buffer.concat([head, Buffer.from('twelve bytes')])));
    },
    read: async (file) => Buffer.from(decodeIdx(fs.readFileSync(file), file).data).toString(),
  },
  tar: {
    sample: (file) => {
      const long = { name: 'long', type: 'x', content: '18 path=long/name\n11 size=5\n' };
      const files = [{ name: 'a', content: 'first' }, long, { name: 'b', content: 'later' }];
      fs.writeFileSync(file, tarOf(files));
    },
    read: async (file) => {
      const found: string[] = [];
      const bytes = await tarInMemory(file);
      for await (const { name, position, length } of tarEntries(bytes)) {
        found.push(`${name}: ${Buffer.from(await bytes.read(position, length)).toString('hex')}`);
      }
      return found.join('\n');
    },
  },
  latents: {
    sample: (file) =>
      writeLatents(file, {
        ...{ latents: ramp(24), image: { channels: 2, height: 2, width: 2 } },
        ...{ labels: Int32Array.of(0, 1, -1), classes: ['a', 'b'], captions: ['x', 'y', 'z'] },
        ...{ name: 'few', licence: 'none', scale: 0.5 },
      }),
    read: async (file) => {
      const data = await openLatents(file, 'train');
      return JSON.stringify([data.labels, data.classes, await data.read([0, data.length - 1])]);
    },
  },
  pictures: {
    sample: async (file) => {
      const raw = { width: 6, height: 5, channels: 3 } as const;
      const pixels = Uint8Array.from({ length: 90 }, (_, i) => (i * 37) % 256);
      fs.writeFileSync(file, await sharp(pixels, { raw }).png().toBuffer());
    },
    read: async (name) => {
      const size = { channels: 3, height: 5, width: 6 };
      const encoded = { name, bytes: fs.readFileSync(name) };
      return Buffer.from(await decodedImage(encoded, size, 'exact')).toString('hex');
    },
  },
  'descriptions of runs': {
    sample: (file) => fs.copyFileSync(path.join(__dirname, 'run.json'), file),
    read: async (file) => JSON.stringify(parseDescription(fs.readFileSync(file, 'utf8'), file)),
  },
};

describe.each(Object.entries(formats))('damaged %s', (name, { sample, read, summed }) => {
  test('are read rightly or refused by name, soon and in little memory', async () => {
    const file = path.join(folder, name.replaceAll(' ', '-'));
    await sample(file);
    const [bytes, right] = [fs.readFileSync(file), await read(file)];
    const outcomes = { right: 0, refused: 0, other: 0 };
    for (let i = 0; i < inputs; i++) {
      // Where a reader crashes or hangs, the file that did it lies there.
      const damaged = mutated(bytes, i);
      fs.writeFileSync(file, damaged);
      const begun = performance.now();
      const found = await read(file).catch((error: unknown) => {
        if (error instanceof UserError) return error;
        throw new Error(`input ${i} of ${name}: ${error instanceof Error ? error.stack : error}`);
      });
      expect(performance.now() - begun, `input ${i} of ${name}`).toBeLessThan(longest);
      if (found instanceof UserError) outcomes.refused++;
      else if (found === right) outcomes.right++;
      else outcomes.other++;
      if (summed?.(damaged) && typeof found === 'string') expect(found, `input ${i}`).toBe(right);
      if (found instanceof UserError) expect(found.message.length, `input ${i}`).toBeLessThan(2000);
    }
    expect(process.memoryUsage().rss, name).toBeLessThan(mostMemory + startingMemory);
    // Mutations that change nothing, or that nothing finds, test nothing.
    expect(outcomes.refused).toBeGreaterThan(inputs / 10);
  });
});

const startingMemory = process.memoryUsage().rss;
