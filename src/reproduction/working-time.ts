import { existsSync } from 'node:fs';
import { z } from 'zod';
import { readBytes, writeAtomically } from '../backend/files.js';
import { checkedJson } from '../backend/schema.js';

const content = z.strictObject({ seconds: z.number() });

/**
 * The time that is worked on something over several calls, in a file: what is stopped and goes on
 * takes the sum. A call that is killed outright is not counted.
 */
export class WorkingTime {
  private readonly begun = performance.now();

  private constructor(
    private readonly file: string,
    private readonly before: number,
  ) {}

  /**
   * Begins to count, from what the file holds; it need not be there.
   * @throws UserError for a file that is damaged
   */
  static async open(file: string): Promise<WorkingTime> {
    if (!existsSync(file)) return new WorkingTime(file, 0);
    const text = new TextDecoder().decode(await readBytes(file));
    const remedy = 'Delete it, and time is counted from now on';
    return new WorkingTime(file, checkedJson(content, text, file, remedy).seconds);
  }

  /** Seconds of all calls up to now. */
  get seconds(): number {
    return this.before + (performance.now() - this.begun) / 1000;
  }

  /** Writes the time up to now. */
  async save(): Promise<void> {
    await writeAtomically(this.file, `${JSON.stringify({ seconds: this.seconds })}\n`);
  }
}
