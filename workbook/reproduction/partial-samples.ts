import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { UserError } from '../../src/core/errors.js';
import { FileUnwritable } from '../../src/core/files.js';
import {
  type FeatureRows,
  type FeatureSums,
  RunningStatistics,
} from '../../src/evaluation/distances/features.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { openTensorFile } from '../../src/formats/tensor-file.js';

/** The time between two writes, in milliseconds. */
const pause = 60_000;

/**
 * Features of samples that are being made, in a file: sampling that is stopped goes on where it was
 * written last, at most a minute before.
 */
export class PartialSamples {
  private written = performance.now();

  private constructor(
    private readonly file: string | undefined,
    /** Mean and covariance of the features so far. */
    readonly running: RunningStatistics,
    private counts: { made: number; broken: number },
  ) {}

  /**
   * Goes on with what a file holds; it need not be there, and what is damaged is made anew. Without a
   * file nothing is written.
   */
  static async open(file: string | undefined): Promise<PartialSamples> {
    const held = await heldIn(file).catch((error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      return undefined;
    });
    const { sums, made = 0, broken = 0 } = held ?? {};
    return new PartialSamples(file, new RunningStatistics(sums), { made, broken });
  }

  /** Samples that were made, those with numbers that are not finite among them. */
  get made(): number {
    return this.counts.made;
  }

  /** Samples with a number that is not finite. */
  get broken(): number {
    return this.counts.broken;
  }

  /**
   * Takes the next samples in, and writes what there is if the last time is long ago.
   * @param features of those that are finite; undefined where none is
   * @param count all of them
   */
  async add(features: FeatureRows | undefined, count: number): Promise<void> {
    const { made, broken } = this.counts;
    if (features) this.running.add(features);
    this.counts = { made: made + count, broken: broken + count - (features?.shape[0] ?? 0) };
    if (performance.now() - this.written >= pause) await this.write();
  }

  /** Writes what there is; where it cannot be written, the samples go on. */
  async write(): Promise<void> {
    this.written = performance.now();
    if (this.file === undefined || this.made === 0) return;
    const { count, mean, scatter } = this.running.sums();
    const width = mean.length;
    await writeSafetensors(this.file, {
      counts: { dtype: 'F64', shape: [3], data: Float64Array.of(this.made, this.broken, count) },
      mean: { dtype: 'F64', shape: [width], data: mean },
      scatter: { dtype: 'F64', shape: [width, width], data: scatter },
    }).catch((error: unknown) => {
      if (!(error instanceof FileUnwritable)) throw error;
    });
  }

  /** Deletes files whose samples are no longer needed. */
  static async remove(files: readonly string[]): Promise<void> {
    await Promise.all(files.map((file) => rm(file, { force: true })));
  }
}

/** What a file holds of samples; undefined where there is none. */
async function heldIn(
  file: string | undefined,
): Promise<{ sums: FeatureSums; made: number; broken: number } | undefined> {
  if (file === undefined || !existsSync(file)) return undefined;
  const opened = await openTensorFile(file);
  try {
    const read = async (name: string) => Float64Array.from((await opened.read(name)).data);
    const [made = 0, broken = 0, count = 0] = await read('counts');
    const [mean, scatter] = [await read('mean'), await read('scatter')];
    if (scatter.length !== mean.length ** 2 || count + broken !== made) return undefined;
    return { sums: { count, mean, scatter }, made, broken };
  } finally {
    await opened.close();
  }
}
