import * as fs from 'node:fs';
import * as path from 'node:path';
import { tf } from '../backend/tf.js';

/**
 * Operations a second of float32 products of large matrices, on the device that runs: what a training
 * reaches at most, about. It takes a fraction of a second.
 */
export function productRate(side = 1024): number {
  const a = tf.randomUniform([side, side]);
  try {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 4; i++) {
      const begun = performance.now();
      const product = tf.matMul(a, a);
      product.dataSync();
      product.dispose();
      best = Math.min(best, performance.now() - begun);
    }
    return (2 * side ** 3) / (best / 1000);
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
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 4; i++) {
      const begun = performance.now();
      const sum = tf.sum(numbers);
      sum.dataSync();
      sum.dispose();
      best = Math.min(best, performance.now() - begun);
    }
    return (4 * numbers.size) / (best / 1000);
  } finally {
    numbers.dispose();
  }
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
