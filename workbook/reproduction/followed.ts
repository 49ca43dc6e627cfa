import * as fs from 'node:fs';
import { z } from 'zod';
import { UserError } from '../../src/core/errors.js';
import { readBytes, writeAtomically } from '../../src/core/files.js';
import { correlation, rankCorrelation } from '../../src/evaluation/statistics.js';
import type { Figure } from './taken-figures.js';

const point = z.strictObject({
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
export type FollowedPoint = z.infer<typeof point>;

/** Points of a training, kept in a file as they are measured. */
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
    if (!fs.existsSync(file)) return new FollowedTraining(file, []);
    const lines = new TextDecoder()
      .decode(await readBytes(file))
      .trimEnd()
      .split('\n');
    const points = lines.map((line) => {
      try {
        return point.parse(JSON.parse(line));
      } catch {
        throw new UserError(
          `${file} is damaged`,
          'Delete it, and the run of the same name among the runs',
        );
      }
    });
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
