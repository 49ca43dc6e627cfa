/** What is kept of the work on a row in files below `--out`, so that what is stopped goes on. */
import { existsSync } from 'node:fs';
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

/**
 * The figure of a name as a file keeps it, or else what `take` measures, which is kept there then, with
 * what it depends on. What says why there is none is not kept.
 *
 * @throws UserError for a file that is damaged
 */
export async function keptFigure(
  file: string,
  name: string,
  basis: Basis,
  take: () => Promise<Figure | string>,
): Promise<Figure | string> {
  const remedy = 'Delete it, and its figures are measured again';
  const read = async () => (await readChecked(keptFigures, file, remedy)) ?? {};
  const known = (await read())[name];
  // As it would be read from the file.
  const now: Basis = JSON.parse(JSON.stringify(basis));
  if (known && isDeepStrictEqual(known.basis, now)) return known.figure;
  const figure = await take();
  if (typeof figure === 'string') return figure;
  const figures = { ...(await read()), [name]: { basis: now, figure } };
  await writeAtomically(file, `${JSON.stringify(figures, null, 2)}\n`);
  return figure;
}

/**
 * Does some work, and counts in a file the time that it takes over several calls: what is stopped and
 * goes on takes the sum. A call that is killed outright is not counted.
 *
 * @returns what the work returned, and the seconds of this call and those before
 * @throws UserError for a file that is damaged
 */
export async function timedOverCalls<T>(
  file: string,
  work: () => Promise<T>,
): Promise<{ result: T; seconds: number }> {
  await secondsIn(file);
  const begun = performance.now();
  const add = async (): Promise<number> => {
    // Another process may have worked beside this one.
    const seconds = (await secondsIn(file)) + (performance.now() - begun) / 1000;
    await writeAtomically(file, `${JSON.stringify({ seconds })}\n`);
    return seconds;
  };
  const result = await work().catch(async (error) => {
    // What stopped the work is told, and not that its time could not be written.
    await add().catch(() => undefined);
    throw error;
  });
  return { result, seconds: await add() };
}

async function secondsIn(file: string): Promise<number> {
  const remedy = 'Delete it, and time is counted from now on';
  const held = await readChecked(z.strictObject({ seconds: z.number() }), file, remedy);
  return held?.seconds ?? 0;
}

/** How the names of files begin in which samples are kept. */
export const samplesPrefix = 'samples-';

/** The time between two writes of samples, in milliseconds. */
const pause = 60_000;

/**
 * Features of samples that are being made, in a file: sampling that is stopped goes on where it was
 * written last, at most a minute before.
 */
export class PartialSamples {
  private written = performance.now();

  private constructor(
    private readonly file: string,
    /** Mean and covariance of the features so far. */
    readonly running: RunningStatistics,
    /** Samples that were made, those with numbers that are not finite among them. */
    public made: number,
    /** Samples with a number that is not finite. */
    public broken: number,
  ) {}

  /**
   * Goes on with what a file holds; it need not be there, and what is damaged is made anew.
   */
  static async open(file: string): Promise<PartialSamples> {
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
    if (this.made === 0) return;
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
}

/** What a file holds of samples; undefined where there is none. */
async function heldIn(
  file: string,
): Promise<{ sums: FeatureSums; made: number; broken: number } | undefined> {
  if (!existsSync(file)) return undefined;
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

/**
 * The points of a training that is followed, which are kept in a file, a line for each; none where there
 * is no file.
 * @throws UserError for a file that is damaged
 */
export async function followedPoints(file: string): Promise<FollowedPoint[]> {
  if (!existsSync(file)) return [];
  const lines = new TextDecoder()
    .decode(await readBytes(file))
    .trimEnd()
    .split('\n');
  const remedy = 'Delete it, and the run of the same name among the runs';
  return lines.map((line) => checkedJson(followedPoint, line, file, remedy));
}

/** Keeps one more point. */
export async function addPoint(file: string, added: FollowedPoint): Promise<void> {
  const points = [...(await followedPoints(file)), added];
  await writeAtomically(file, points.map((each) => `${JSON.stringify(each)}\n`).join(''));
}

/** Pearson's correlation of loss and distance over points, with these, and Spearman's in the note. */
export function correlationOf(points: readonly FollowedPoint[]): Figure | string {
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
