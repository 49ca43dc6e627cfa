import { existsSync } from 'node:fs';
import { z } from 'zod';
import { readBytes, writeAtomically } from '../../src/core/files.js';
import { checkedJson } from '../../src/core/schema.js';

const content = z.strictObject({ seconds: z.number() });

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
  if (!existsSync(file)) return 0;
  const text = new TextDecoder().decode(await readBytes(file));
  const remedy = 'Delete it, and time is counted from now on';
  return checkedJson(content, text, file, remedy).seconds;
}
