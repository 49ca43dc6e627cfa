import { statisticsInSeeds } from '../acceleration-table.js';
import { type Figures, figuresOf } from '../figures.js';
import { strategyRow } from './acceleration.js';
import type { LoopTimes, PaperSize, RecordedTable } from './recorded.js';
import { planIterates } from './recorded.js';

/** The models of the claim 08-acceleration, by their tokens. */
const tokensOf: Readonly<Record<string, string>> = {
  'emoji-256-tokens': '256 tokens',
  'emoji-1024-tokens': '1,024 tokens',
};

/** The figures of the claim 08-acceleration that stand in acceleration tables of its two models. */
export function accelerationFigures(tables: readonly RecordedTable[]): Figures {
  const own = tables.filter(({ model }) => model in tokensOf);
  return figuresOf(own, figuresOfTable);
}

function figuresOfTable({ model, mode, table }: RecordedTable): Figures {
  const where = `${tokensOf[model]}, batch ${table.batch}, ${mode}`;
  const planned = strategyRow(table, 'planned');
  const iterating = table.plan.solvers.filter(({ kind }) => kind !== 'sequential');
  const figures: Figures = {
    [`planned, times as fast as sequential, ${where}`]: planned.speedup,
    [`planned, blocks that iterate, ${where}`]: iterating.length,
    [`planned, largest difference of the data range, ${where}`]: planIterates(table.plan)
      ? planned.error
      : undefined,
  };
  for (const strategy of ['SeJD, published rule', 'GS-Jacobi, published form']) {
    const row = strategyRow(table, strategy);
    figures[`${strategy}, times as fast as sequential, ${where}`] = row.speedup;
    // With too few images there are none.
    figures[`${strategy}, distance of pixel statistics in units of another seed’s, ${where}`] =
      statisticsInSeeds(table, row);
  }
  return figures;
}

/** The figures of the claim 08-acceleration that say what the sequential loops are worth. */
export function loopFigures(times: LoopTimes | undefined): Figures {
  return Object.fromEntries(
    (times?.loops ?? []).map(({ tokens, batch, mode, seconds, peer }) => [
      `sequential sampling in units of PyTorch’s time, guided, ${tokens}, batch ${batch}, ${mode}`,
      seconds / peer,
    ]),
  );
}

/** The figures of the claim 08-acceleration at the size of a paper's model, of random weights. */
export function paperSizeFigures(paperSize: PaperSize | undefined): Figures {
  return Object.fromEntries(
    (paperSize?.rows ?? [])
      .filter(({ strategy }) => strategy !== 'sequential')
      .map(({ strategy, speedup }) => [
        `${strategy}, times as fast as sequential, 2-768-8-8 of random weights, one image`,
        speedup,
      ]),
  );
}
