import { readFile } from 'node:fs/promises';
import * as path from 'node:path';
import { UserError } from '../../src/core/errors.js';
import { writeAtomically } from '../../src/core/files.js';
import { packageRoot } from '../../src/core/package-root.js';
import { benchmarkSummary, benchmarkTables, speedTable } from './benchmark-tables.js';
import { gpuSentences, gpuTables } from './gpu-report.js';
import { accelerationTable, likelihoodTable, qualityTable } from './paper-tables.js';
import { measuresTable, publishedTables } from './published.js';
import {
  expectationTable,
  figureTables,
  notebookTable,
  startTable,
  summaryTable,
  verdictTable,
} from './results.js';

/** The pages that have generated parts: by file, below the project's folder, and name of the part. */
const pages: Record<string, Record<string, () => string | Promise<string>>> = {
  'README.md': {
    notebooks: notebookTable,
    results: summaryTable,
    speed: async () => `${await speedTable()}${await gpuSentences()}`,
  },
  'notebooks/START.md': { notebooks: startTable },
  'docs/benchmarks.md': { benchmarks: benchmarkSummary },
  'results/README.md': {
    verdicts: verdictTable,
    likelihood: likelihoodTable,
    quality: qualityTable,
    acceleration: accelerationTable,
    figures: figureTables,
    experiments: expectationTable,
    benchmarks: benchmarkTables,
    gpu: gpuTables,
    measures: measuresTable,
    published: publishedTables,
  },
};

/** A page as it lies there, and as it should. */
export interface Page {
  file: string;
  present: string;
  generated: string;
}

/**
 * All pages with generated parts: between `<!-- NAME:begin -->` and `<!-- NAME:end -->` stands what
 * `workbook/papers` and `results/` say.
 *
 * @throws UserError where a page has no such place for a part
 */
export async function generatedPages(): Promise<Page[]> {
  return Promise.all(
    Object.entries(pages).map(async ([name, parts]) => {
      const file = path.join(packageRoot(), ...name.split('/'));
      const present = await readFile(file, 'utf8');
      let generated = present;
      for (const [part, text] of Object.entries(parts)) {
        generated = withPart(generated, part, await text(), name);
      }
      return { file, present, generated };
    }),
  );
}

/**
 * Writes the pages that are out of date.
 *
 * @returns their files
 */
export async function writeGeneratedPages(): Promise<string[]> {
  const outdated = (await generatedPages()).filter((page) => page.present !== page.generated);
  for (const { file, generated } of outdated) await writeAtomically(file, generated);
  return outdated.map(({ file }) => file);
}

/**
 * A page with one of its parts replaced.
 *
 * @throws UserError where the page does not have the part's two marks, each once and in order
 */
export function withPart(page: string, part: string, text: string, name: string): string {
  const [begin, end] = [`<!-- ${part}:begin -->`, `<!-- ${part}:end -->`];
  const [before, inside, ...more] = page.split(begin);
  const [, after, ...rest] = (inside ?? '').split(end);
  if (before === undefined || after === undefined || more.length + rest.length > 0) {
    throw new UserError(
      `${name} has no place for '${part}'`,
      `Expected ${begin} and then ${end} in it, each once`,
    );
  }
  return `${before}${begin}\n${text}\n${end}${after}`;
}
