import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { type FeatureRows, RunningStatistics } from '../evaluation/distances/features.js';
import { writeSafetensors } from '../formats/safetensors.js';
import { openTensorFile } from '../formats/tensor-file.js';

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
   * Goes on with what a file holds; it need not be there. Without a file nothing is written.
   * @throws UserError for a file that is damaged
   */
  static async open(file: string | undefined): Promise<PartialSamples> {
    if (file === undefined || !existsSync(file)) {
      return new PartialSamples(file, new RunningStatistics(), { made: 0, broken: 0 });
    }
    const opened = await openTensorFile(file);
    try {
      const read = async (name: string) => Float64Array.from((await opened.read(name)).data);
      const [made = 0, broken = 0, count = 0] = await read('counts');
      const sums = { count, mean: await read('mean'), scatter: await read('scatter') };
      return new PartialSamples(file, new RunningStatistics(sums), { made, broken });
    } finally {
      await opened.close();
    }
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

  /** Writes what there is. */
  async write(): Promise<void> {
    this.written = performance.now();
    if (this.file === undefined || this.made === 0) return;
    const { count, mean, scatter } = this.running.sums();
    const width = mean.length;
    await writeSafetensors(this.file, {
      counts: { dtype: 'F64', shape: [3], data: Float64Array.of(this.made, this.broken, count) },
      mean: { dtype: 'F64', shape: [width], data: mean },
      scatter: { dtype: 'F64', shape: [width, width], data: scatter },
    });
  }

  /** Deletes a file whose samples are no longer needed. */
  static async remove(file: string): Promise<void> {
    await rm(file, { force: true });
  }
}
