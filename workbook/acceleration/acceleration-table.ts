import type { Plan } from '../../src/sampling/planner/plan-file.js';
import { type Solver, solverText } from '../../src/sampling/solvers/solvers.js';
import { twoDigits } from '../notebook/numbers-in-text.js';
import { showTable } from '../notebook/tables.js';
import type { Acceleration } from '../records/record.js';

/** Statistics of fewer images differ so much from seed to seed that they say nothing. */
export const imagesForStatistics = 16;

/**
 * Shows strategies side by side: times, iterations of each block, segments of samples that were solved token
 * by token (`fallbacks`) or did not converge (`unconverged`), and how far their samples are from the
 * sequential ones, as shares of the data range. Distances of statistics are shown if there are enough images.
 *
 * @param model its name
 * @param data the images from which CRM and IGM were computed; absent for samples of the model
 */
export function showAcceleration(table: Acceleration, model: string, data?: string): void {
  const { batch, tokens, guidance, tolerance, seedNoise, rows, execution, repeats } = table;
  const telling = batch * repeats >= imagesForStatistics;
  const distance = ({ mean, deviation }: Acceleration['seedNoise']) => ({
    mean: telling ? mean : undefined,
    deviation: telling ? deviation : undefined,
  });
  const short = (value: unknown): string => (typeof value === 'number' ? twoDigits(value) : '–');
  showTable(
    [
      ...rows.map(({ iterations, statistics, fallbacks, unconverged, ...row }) => ({
        strategy: row.strategy,
        'ms, the whole batch': row.milliseconds,
        'times as fast': row.speedup,
        'iterations, noise first': iterationsText(iterations),
        fallbacks: sum(fallbacks),
        unconverged: sum(unconverged),
        error: row.error,
        ...distance(statistics),
      })),
      { strategy: 'another seed', ...distance(seedNoise) },
    ],
    {
      caption:
        `${model}, ${tokens} tokens, batch ${batch}, guidance ${guidance?.weight ?? 0}, ` +
        `tolerance ${tolerance}, median of ${repeats}; CRM and IGM from ` +
        `${data ?? 'its samples'}; ${execution}; errors and distances of statistics as shares of ` +
        `the data range${telling ? '' : `, statistics from ${imagesForStatistics} images on`}`,
      format: { error: short, mean: short, deviation: short },
    },
  );
}

/** The solvers of a plan in the order of sampling. */
export function planText({ solvers }: Pick<Plan, 'solvers'>): string {
  return [...solvers]
    .reverse()
    .map((solver) => solverText(solver as Solver))
    .join('; ');
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

/** For each block in the order of sampling, as in the published tables. */
function iterationsText(iterations: readonly number[]): string {
  if (iterations.every((one) => one === 0)) return '–';
  return [...iterations]
    .reverse()
    .map((one) => (one === 0 ? '–' : `${Number(one.toFixed(1))}`))
    .join(' ');
}
