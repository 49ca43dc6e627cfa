import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.js';
import { sharedFolder } from '../temporary-folder.js';
import { mutated } from './mutations.js';

const minute = 60_000;
/** Of each format by day, and by night. */
const inputs = process.env.TARFLOW_NIGHTLY ? 100_000 : 2000;
/** A file below a megabyte is read in less time, however busy the machine, and in less memory. */
const [longest, mostMemory] = [minute, 2 ** 30];

export interface Format {
  /** The bytes of a file that is right, made at a place where there is none yet. */
  sample(file: string): Promise<Uint8Array> | Uint8Array;
  /** Sums, or a whole file, around damaged bytes, so that the damage gets past what would refuse it first. */
  pack?(damaged: Uint8Array): Uint8Array;
  /** What a file holds, as text. It fails for a value that these bytes do not say. */
  read(file: string, bytes: Uint8Array): Promise<string>;
  /** Whether any change of what a damaged file holds has to be found, because it has its sums. */
  summed?(damaged: Uint8Array): boolean;
  /** Whether a file that was cut short holds what comes before, as a log does. */
  growing?: boolean;
}

/** Damages files of each format, and looks at what their readers make of them. */
export function fuzz(formats: Readonly<Record<string, Format>>): void {
  const folder = sharedFolder();
  const before = peakMemory();
  describe.each(Object.entries(formats))('damaged %s', (name, format) => {
    const title = 'are read rightly or refused by name, soon and in little memory';
    test(title, { timeout: 60 * minute }, async () => {
      const file = path.join(folder, name.replaceAll(' ', '-'));
      const outcomes = await outcomesOf(format, file);
      expect(peakMemory() - before, 'bytes at the peak').toBeLessThan(mostMemory);
      // Mutations that change nothing, or that nothing finds, test nothing.
      expect(outcomes.refused).toBeGreaterThan(inputs / 10);
    });
  });
}

/** The most memory that this process has had at once, in bytes. */
function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024;
}

async function outcomesOf(format: Format, file: string) {
  const { sample, pack = (damaged) => damaged, read, summed, growing = false } = format;
  const bytes = await sample(file);
  const whole = pack(bytes);
  fs.writeFileSync(file, whole);
  const right = await read(file, whole);
  const outcomes = { right: 0, refused: 0, other: 0 };
  for (let i = 0; i < inputs; i++) {
    const damaged = pack(mutated(bytes, i));
    replace(file, damaged, i);
    const begun = performance.now();
    // Where a reader crashes or hangs, the file that did it lies there.
    const found = await read(file, damaged).catch((error: unknown) => {
      if (error instanceof UserError) return error;
      throw new Error(`input ${i}: ${error instanceof Error ? error.stack : error}`);
    });
    expect(performance.now() - begun, `input ${i}`).toBeLessThan(longest);
    const outcome = found instanceof UserError ? 'refused' : found === right ? 'right' : 'other';
    outcomes[outcome]++;
    if (found instanceof UserError) expect(found.message.length, `input ${i}`).toBeLessThan(2000);
    if (outcome === 'other' && (summed?.(damaged) || (!growing && beginsAs(whole, damaged)))) {
      expect(found, `input ${i}`).toBe(right);
    }
  }
  return outcomes;
}

/** Whether a file is another one that was cut short. */
function beginsAs(whole: Uint8Array, damaged: Uint8Array): boolean {
  return (
    damaged.length < whole.length &&
    Buffer.compare(whole.subarray(0, damaged.length), damaged) === 0
  );
}

/**
 * Gives a file other bytes. It is not emptied before, after which the system would wait for the disk; and no
 * two have the same date, by which readers know what they have checked.
 */
function replace(file: string, bytes: Uint8Array, number: number): void {
  fs.writeFileSync(file, bytes, { flag: 'r+' });
  fs.truncateSync(file, bytes.length);
  fs.utimesSync(file, number, number);
}

/** What a function writes to a file. */
export const written =
  (write: (file: string) => unknown) =>
  async (file: string): Promise<Uint8Array> => {
    await write(file);
    return fs.readFileSync(file);
  };

/** Whether all that was read stands so in a JSON text; what does not stand there is the reader's default. */
export function agrees(found: unknown, text: unknown): boolean {
  if (text === undefined) return true;
  if (typeof found !== 'object' || found === null) return Object.is(found, text);
  if (typeof text !== 'object' || text === null) return false;
  if (Array.isArray(found) && !(Array.isArray(text) && text.length === found.length)) return false;
  return Object.entries(found).every(
    ([key, value]) => value === undefined || agrees(value, (text as Record<string, unknown>)[key]),
  );
}
