import * as fs from 'node:fs';
import { z } from 'zod';
import { UserError } from '../backend/errors.js';
import { readBytes, writeAtomically } from '../backend/files.js';
import type { Asked } from './recipe.js';
import type { Figure } from './taken-figures.js';

const content = z.strictObject({
  /** What the figures depend on. */
  basis: z.record(z.string(), z.unknown()),
  /** By name: a figure, or why there is none. */
  figures: z.record(
    z.string(),
    z.union([
      z.string(),
      z.strictObject({
        value: z.number(),
        standardError: z.number().optional(),
        n: z.number(),
        network: z.string().optional(),
        floor: z.strictObject({ value: z.number(), n: z.number() }).optional(),
        values: z.array(z.number()).optional(),
        note: z.string().optional(),
      }),
    ]),
  ),
});

/** Figures in a file: those of the same weights, measured in the same way, are not measured again. */
export class KeptFigures {
  private constructor(
    private readonly file: string,
    private readonly basis: Record<string, unknown>,
    private readonly figures: Record<string, Figure | string>,
  ) {}

  /**
   * Opens the figures of a file; it need not be there.
   * @param basis what they depend on; figures of another basis are forgotten
   * @throws UserError for a file that is damaged
   */
  static async open(file: string, basis: Record<string, unknown>): Promise<KeptFigures> {
    if (!fs.existsSync(file)) return new KeptFigures(file, basis, {});
    const text = new TextDecoder().decode(await readBytes(file));
    const { data } = content.safeParse(json(text));
    if (!data) {
      throw new UserError(`${file} is damaged`, 'Delete it, and its figures are measured again');
    }
    const same = JSON.stringify(data.basis) === JSON.stringify(basis);
    return new KeptFigures(file, basis, same ? (data.figures as Record<string, Figure>) : {});
  }

  read(asked: Asked): Figure | string | undefined {
    return this.figures[nameOf(asked)];
  }

  async write(asked: Asked, figure: Figure | string): Promise<void> {
    this.figures[nameOf(asked)] = figure;
    const kept = { basis: this.basis, figures: this.figures };
    await writeAtomically(this.file, `${JSON.stringify(kept, null, 2)}\n`);
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function nameOf({ measure, of }: Asked): string {
  return of === undefined ? measure : `${measure}, ${of}`;
}
