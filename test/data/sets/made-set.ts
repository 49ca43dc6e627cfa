import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, vi } from 'vitest';
import type { DataSource, RawBatch } from '../../../src/data/index.js';
import { sharedFolder } from '../../temporary-folder.js';

/** A small set of files, made anew for every test, with a cache folder of its own. */
export function madeSet() {
  const base = sharedFolder();
  const root = path.join(base, 'set');
  beforeEach(() => {
    fs.mkdirSync(root);
    vi.stubEnv('TARFLOW_CACHE', path.join(base, 'cache'));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
    for (const name of fs.readdirSync(base)) fs.rmSync(path.join(base, name), { recursive: true });
  });
  return {
    root,
    cache: path.join(base, 'cache'),
    /** @returns the file's path */
    write(name: string, content: Uint8Array | string): string {
      const file = path.join(root, name);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, content);
      return file;
    },
  };
}

const painted = new Map<string, Buffer>();

/** A picture of one grey level: 8×6, or as high and wide as said. */
export async function picture(
  level: number,
  {
    width = 8,
    height = 6,
    format = 'png',
  }: { width?: number; height?: number; format?: 'png' | 'jpeg' } = {},
): Promise<Buffer> {
  const key = [level, width, height, format].join();
  const known = painted.get(key);
  if (known) return known;
  const background = { r: level, g: level, b: level };
  const made = await sharp({ create: { width, height, channels: 3, background } })
    .toFormat(format)
    .toBuffer();
  painted.set(key, made);
  return made;
}

/** The first number of each sample, and its label. */
export async function levelsOf(
  data: DataSource,
  indices: number[] = [...data.labels.keys()],
): Promise<[level: number, label: number][]> {
  const { values, labels, count }: RawBatch = await data.read(indices);
  const size = values.length / count;
  return Array.from(labels, (label, i) => [values[i * size] as number, label]);
}
