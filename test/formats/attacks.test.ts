import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { readPictureFile } from '../../src/compression/picture-file.js';
import { UserError } from '../../src/core/errors.js';
import { readBytes } from '../../src/core/files.js';
import { decodedImage } from '../../src/data/encoded/image-file.js';
import { openLatents, writeLatents } from '../../src/data/latents/latent-file.js';
import { decodeIdx } from '../../src/formats/idx.js';
import { npyIntegers, npzArray } from '../../src/formats/npz.js';
import { tarEntries, tarInMemory } from '../../src/formats/tar.js';
import { withTensorFile } from '../../src/formats/tensor-file.js';
import { checkConfig } from '../../src/models/tarflow/config.js';
import { parseDescription } from '../../src/training/run-description.js';
import { temporaryFolder } from '../temporary-folder.js';
import { int64, npyOf, npzOf } from './npz-writer.js';
import { tarOf } from './tar-writer.js';

function file(name: string, bytes: string | Uint8Array): string {
  const made = path.join(temporaryFolder(), name);
  fs.writeFileSync(made, bytes);
  return made;
}

const tensorNames = (place: string) =>
  withTensorFile(place, async ({ tensors }) => Object.keys(tensors));

/** A safetensors file with this header and so many bytes of numbers. */
function safetensors(header: string, bytes: number): string {
  const length = Buffer.alloc(8);
  length.writeUInt32LE(header.length);
  return file('a.safetensors', Buffer.concat([length, Buffer.from(header), Buffer.alloc(bytes)]));
}

const attacks: Record<string, [run: () => unknown, says: RegExp]> = {
  'a key twice in a header': [
    () =>
      tensorNames(
        safetensors(
          '{"a":{"dtype":"U8","shape":[1],"dtype":"BOOL","data_offsets":[0,1]}}'.padEnd(80),
          1,
        ),
      ),
    /it has "dtype" twice/,
  ],
  'a header of ten thousand brackets': [
    () => tensorNames(safetensors(`{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, 0)),
    /tensor 'a' is described by/,
  ],
  'a storage id of lists within lists, each twice': [
    () => {
      // Memoised lists that hold the one before twice: as a text they would be endless.
      const levels = Array.from({ length: 60 }, (_, i) => [
        0x5d,
        0x71,
        i + 1,
        0x28,
        0x68,
        i,
        0x68,
        i,
        0x65,
      ]);
      const lists = Buffer.from([0x80, 2, 0x5d, 0x71, 0, ...levels.flat(), 0x51, 0x2e]);
      const magic = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
      const [version, machine] = [
        Buffer.from('80024de9032e', 'hex'),
        Buffer.from('80027d2e', 'hex'),
      ];
      return tensorNames(file('a.pth', Buffer.concat([magic, version, machine, lists])));
    },
    /asks for an outside object/,
  ],
  'a sum of an archive that does not fit': [
    async () => {
      const bytes = Buffer.from(npzOf({ labels: npyOf('<i8', [4], int64([5, 6, 7, 8])) }));
      bytes[bytes.indexOf(Buffer.from(int64([7])))] = 9;
      const place = file('a.npz', bytes);
      return npyIntegers(await npzArray(place, 'labels', `${place}.npy`));
    },
    /other bytes of labels\.npy than were written/,
  ],
  'half a megabyte of gzip that becomes half a gigabyte': [
    () => decodeIdx(gzipSync(Buffer.alloc(2 ** 29))),
    /cannot be decompressed/,
  ],
  'compressed pictures of few bytes that become many': [
    () => readPictureFile(file('a.tflow', gzipSync(Buffer.alloc(2 ** 25)))),
    /holds no compressed pictures, or is damaged/,
  ],
  'a run whose settings lie in each other without an end': [
    () => parseDescription(`{"config":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, 'run.json'),
    /run\.json is nested too deeply/,
  ],
  ...Object.fromEntries(
    ['abc', '-1536', '1e99', '9'.repeat(20)].map((size): [string, [() => unknown, RegExp]] => [
      `a tar entry of size ${size}`,
      [
        async () => {
          const line = ` size=${size}\n`;
          const record = `${line.length + 2}${line}`;
          const files = [
            { name: 'x', type: 'x', content: record },
            { name: 'a', content: 'text' },
          ];
          for await (const _ of tarEntries(await tarInMemory(file('a.tar', tarOf(files)))));
        },
        /has an entry of size/,
      ],
    ]),
  ),
  'a label that a class table would be made for': [
    async () => {
      const place = path.join(temporaryFolder(), 'a.safetensors');
      await writeLatents(place, {
        ...{ latents: new Float32Array(4), image: { channels: 1, height: 2, width: 2 } },
        ...{ labels: Int32Array.of(2 ** 31 - 1), classes: [], captions: undefined },
        ...{ name: 'one', licence: 'none', scale: 1 },
      });
      await openLatents(place, 'train');
    },
    /has the label 2147483647 of latent 0/,
  ],
  'two milliards of blocks': [
    () =>
      checkConfig({
        ...{ kind: 'tarflow', image: { channels: 1, height: 8, width: 8 }, patchSize: 4 },
        ...{ channels: 32, blocks: 2_000_000_000, layersPerBlock: 1, headWidth: 32 },
        ...{ classes: 0, volumePreserving: false },
      }),
    /blocks is 2000000000 .*from 1 to 512/,
  ],
  'steps that are a word': [
    () => {
      const run = JSON.parse(fs.readFileSync(path.join(__dirname, 'run.json'), 'utf8'));
      const from = { checkpoint: 'a', sha256: 'b', steps: 'x' };
      parseDescription(JSON.stringify({ ...run, from }), 'run.json');
    },
    /from\.steps is "x"/,
  ],
  'a picture of 67 million pixels in few bytes': [
    async () => {
      const side = { width: 8200, height: 8200 };
      const create = { ...side, channels: 3, background: 'red' } as const;
      const bytes = await sharp({ create }).png().toBuffer();
      const image = { channels: 3, height: 28, width: 28 };
      await decodedImage({ name: 'a.png', bytes }, image, 'exact');
    },
    /The image a\.png cannot be decoded \(Input image exceeds pixel limit\)/,
  ],
  'a pipe that nobody writes into': [
    async () => {
      const place = path.join(temporaryFolder(), 'pipe');
      execFileSync('mkfifo', [place]);
      await readBytes(place);
    },
    /it is a pipe/,
  ],
};

test.each(Object.entries(attacks))('%s is refused by name', async (_, [run, says]) => {
  const error = await Promise.resolve()
    .then(run)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).message).toMatch(says);
});
