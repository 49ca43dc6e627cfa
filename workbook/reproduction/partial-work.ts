/** What is kept of the work on a row in files below `--out`, so that what is stopped goes on. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { UserError } from '../../src/core/errors.js';
import { FileUnwritable, readBytes, writeAtomically } from '../../src/core/files.js';
import { checkedJson } from '../../src/core/schema.js';
import {
  type FeatureRows,
  type FeatureSums,
  RunningStatistics,
} from '../../src/evaluation/feature-statistics.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { openTensorFile } from '../../src/formats/tensor-file.js';
import { correlation, rankCorrelation } from '../measures/correlation.js';
import { type Figure, measuredFigure, readChecked } from '../records/record.js';

/** What a figure depends on: the same again is not measured again. */
export type Basis = Readonly<Record<string, unknown>>;

const keptFigures = z.record(
  z.string(),
  z.strictObject({ basis: z.record(z.string(), z.unknown()), figure: measuredFigure.strict() }),
);

/** Figures in a file, by name, each with what it depends on. */
export class KeptFigures {
  private constructor(
    private readonly file: string,
    private readonly figures: z.infer<typeof keptFigures>,
  ) {}

  /**
   * Opens the figures of a file; it need not be there.
   * @throws UserError for a file that is damaged
   */
  static async open(file: string): Promise<KeptFigures> {
    const remedy = 'Delete it, and its figures are measured again';
    return new KeptFigures(file, (await readChecked(keptFigures, file, remedy)) ?? {});
  }

  /**
   * The figure of a name where it is kept, or else what `take` measures, which is kept then. What says
   * why there is none is not kept.
   */
  async once(
    name: string,
    basis: Basis,
    take: () => Promise<Figure | string>,
  ): Promise<Figure | string> {
    const known = this.figures[name];
    // As it would be read from the file.
    const now: Basis = JSON.parse(JSON.stringify(basis));
    if (known && isDeepStrictEqual(known.basis, now)) return known.figure;
    const figure = await take();
    if (typeof figure === 'string') return figure;
    this.figures[name] = { basis: now, figure };
    await writeAtomically(this.file, `${JSON.stringify(this.figures, null, 2)}\n`);
    return figure;
  }
}

/**
 * The time that is worked on something over several calls, in a file: what is stopped and goes on
 * takes the sum. A call that is killed outright is not counted.
 */
export class WorkingTime {
  private constructor(
    private readonly file: string,
    private total: number,
  ) {}

  /**
   * Goes on with what the file holds; it need not be there.
   * @throws UserError for a file that is damaged
   */
  static async open(file: string): Promise<WorkingTime> {
    return new WorkingTime(file, await secondsIn(file));
  }

  /** Seconds of all that was done by {@link during}, in this call and before. */
  get seconds(): number {
    return this.total;
  }

  /** Does some work, and adds the time that it takes, also where it is stopped by an error. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    const add = async (): Promise<void> => {
      // Another process may have worked beside this one.
      this.total = (await secondsIn(this.file)) + (performance.now() - begun) / 1000;
      await writeAtomically(this.file, `${JSON.stringify({ seconds: this.total })}\n`);
    };
    let result: T;
    try {
      result = await work();
    } catch (error) {
      // What stopped the work is told, and not that its time could not be written.
      await add().catch(() => undefined);
      throw error;
    }
    await add();
    return result;
  }
}

async function secondsIn(file: string): Promise<number> {
  const remedy = 'Delete it, and time is counted from now on';
  const held = await readChecked(z.strictObject({ seconds: z.number() }), file, remedy);
  return held?.seconds ?? 0;
}

/** The time between two writes of samples, in milliseconds. */
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
    /** Samples that were made, those with numbers that are not finite among them. */
    public made: number,
    /** Samples with a number that is not finite. */
    public broken: number,
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
    return new PartialSamples(file, new RunningStatistics(sums), made, broken);
  }

  /**
   * Takes the next samples in, and writes what there is if the last time is long ago.
   * @param features of those that are finite; undefined where none is
   * @param count all of them
   */
  async add(features: FeatureRows | undefined, count: number): Promise<void> {
    if (features) this.running.add(features);
    this.made += count;
    this.broken += count - (features?.shape[0] ?? 0);
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

const followedPoint = z.strictObject({
  step: z.number(),
  /** Held-out, in nats per dimension. */
  loss: z.number(),
  /** Fréchet distance of samples at that step. */
  distance: z.number(),
  /** Samples behind it, and the network by whose features they are compared. */
  n: z.number(),
  network: z.string(),
});

/** What a training had come to at a step. */
export type FollowedPoint = z.infer<typeof followedPoint>;

/** Points of a training that is followed, kept in a file as they are measured, a line for each. */
export class FollowedTraining {
  private constructor(
    private readonly file: string,
    readonly points: FollowedPoint[],
  ) {}

  /**
   * Opens the points of a file; it need not be there.
   * @throws UserError for a file that is damaged
   */
  static async open(file: string): Promise<FollowedTraining> {
    if (!existsSync(file)) return new FollowedTraining(file, []);
    const lines = new TextDecoder()
      .decode(await readBytes(file))
      .trimEnd()
      .split('\n');
    const remedy = 'Delete it, and the run of the same name among the runs';
    const points = lines.map((line) => checkedJson(followedPoint, line, file, remedy));
    return new FollowedTraining(file, points);
  }

  has(step: number): boolean {
    return this.points.some((each) => each.step === step);
  }

  async add(added: FollowedPoint): Promise<void> {
    this.points.push(added);
    const lines = this.points.map((each) => `${JSON.stringify(each)}\n`);
    await writeAtomically(this.file, lines.join(''));
  }

  /** Pearson's correlation of loss and distance, with the points, and Spearman's in the note. */
  figure(): Figure | string {
    const { points } = this;
    const [first] = points;
    if (!first || points.length < 3) {
      return `a correlation needs three points at least, and its training gave ${points.length}`;
    }
    const losses = points.map(({ loss }) => loss);
    const distances = points.map(({ distance }) => distance);
    return {
      value: correlation(losses, distances),
      n: first.n,
      network: first.network,
      points: [points.map(({ step, loss, distance }) => ({ step, loss, distance }))],
      note: `by ranks ${rankCorrelation(losses, distances).toFixed(3)}, ${points.length} points`,
    };
  }
}
