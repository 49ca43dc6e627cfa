import * as fs from 'node:fs';
import * as path from 'node:path';
import { tf } from '../../src/core/tf.js';

/**
 * Operations a second of float32 products of large matrices, on the device that runs: what a training
 * reaches at most, about. It takes a fraction of a second.
 */
export function productRate(side = 1024): number {
  const a = tf.randomUniform([side, side]);
  try {
    return (2 * side ** 3) / leastOfFour(() => tf.matMul(a, a));
  } finally {
    a.dispose();
  }
}

/**
 * Bytes a second at which the device that runs reads memory, by all threads together: what a step that
 * does nothing but read weights reaches at most, about, where these fit into no cache. It takes a
 * second.
 *
 * @param bytes what is read; to be more than any cache holds
 */
export function readingRate(bytes = 2 ** 29): number {
  const numbers = tf.ones([Math.max(1, Math.floor(bytes / 4))]);
  try {
    return (4 * numbers.size) / leastOfFour(() => tf.sum(numbers));
  } finally {
    numbers.dispose();
  }
}

/** The least time of four in which a tensor is made and read, in seconds. */
function leastOfFour(make: () => tf.Tensor): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 4; i++) {
    const begun = performance.now();
    const made = make();
    made.dataSync();
    made.dispose();
    least = Math.min(least, (performance.now() - begun) / 1000);
  }
  return least;
}

/** A cache of a processor for data. */
export interface ProcessorCache {
  /** 1 is nearest to the core. */
  level: number;
  bytes: number;
}

/**
 * The data caches that the first core of this machine reads through, nearest first, as Linux tells
 * them; empty where it does not.
 *
 * @param folder where Linux tells them
 */
export function processorCaches(folder = '/sys/devices/system/cpu/cpu0/cache'): ProcessorCache[] {
  const told = (entry: string, what: string) =>
    fs.readFileSync(path.join(folder, entry, what), 'utf8').trim();
  try {
    return fs
      .readdirSync(folder)
      .filter((entry) => /^index\d+$/.test(entry) && told(entry, 'type') !== 'Instruction')
      .map((entry) => ({
        level: Number(told(entry, 'level')),
        bytes: bytesOf(told(entry, 'size')),
      }))
      .sort((one, other) => one.level - other.level);
  } catch {
    return [];
  }
}

/** Bytes of a size such as `32K`. */
function bytesOf(size: string): number {
  const unit = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[size.at(-1) as string] ?? 1;
  return Number.parseInt(size, 10) * unit;
}
