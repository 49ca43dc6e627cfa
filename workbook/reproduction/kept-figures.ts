import * as fs from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { UserError } from '../../src/core/errors.js';
import { readBytes, writeAtomically } from '../../src/core/files.js';
import type { Figure } from './taken-figures.js';

/** What a figure depends on: the same again is not measured again. */
export type Basis = Readonly<Record<string, unknown>>;

const convergence = z.strictObject({
  from: z.number(),
  to: z.number(),
  change: z.number(),
  share: z.number(),
  converged: z.boolean(),
});

const content = z.record(
  z.string(),
  z.strictObject({
    basis: z.record(z.string(), z.unknown()),
    figure: z.strictObject({
      value: z.number(),
      standardError: z.number().optional(),
      n: z.number(),
      network: z.string().optional(),
      called: z.string().optional(),
      floor: z.strictObject({ value: z.number(), n: z.number() }).optional(),
      values: z.array(z.number()).optional(),
      convergence: z.array(convergence.nullable()).optional(),
      note: z.string().optional(),
    }),
  }),
);

/** Figures in a file, by name, each with what it depends on. */
export class KeptFigures {
  private constructor(
    private readonly file: string,
    private readonly figures: z.infer<typeof content>,
  ) {}

  /**
   * Opens the figures of a file; it need not be there.
   * @throws UserError for a file that is damaged
   */
  static async open(file: string): Promise<KeptFigures> {
    if (!fs.existsSync(file)) return new KeptFigures(file, {});
    const { data } = content.safeParse(json(new TextDecoder().decode(await readBytes(file))));
    if (data) return new KeptFigures(file, data);
    throw new UserError(`${file} is damaged`, 'Delete it, and its figures are measured again');
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
    const now = JSON.parse(JSON.stringify(basis)) as Basis;
    if (known && isDeepStrictEqual(known.basis, now)) return known.figure as Figure;
    const figure = await take();
    if (typeof figure === 'string') return figure;
    this.figures[name] = { basis: now, figure };
    await writeAtomically(this.file, `${JSON.stringify(this.figures, null, 2)}\n`);
    return figure;
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
