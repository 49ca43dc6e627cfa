import type { Acceleration } from '../evaluation/acceleration.js';
import type { Plan } from '../sampling/plan-file.js';
import type { Solver } from '../sampling/solver.js';
import { solverText } from '../sampling/solver.js';
import { showTable } from './table.js';

/**
 * Shows strategies side by side: times, iterations of each block, what they left undone, and how far
 * their samples are from the sequential ones, as shares of the data range.
 *
 * @param model its name
 * @param data the images that CRM and IGM were computed from; none for samples of the model
 */
export function showAcceleration(table: Acceleration, model: string, data?: string): void {
  const { batch, tokens, guidance, tolerance, seedNoise, rows, execution, repeats } = table;
  const short = (value: unknown): string =>
    typeof value === 'number' ? value.toExponential(1) : '–';
  showTable(
    [
      ...rows.map(({ iterations, statistics, fallbacks, unconverged, ...row }) => ({
        strategy: row.strategy,
        ms: row.milliseconds,
        'times as fast': row.speedup,
        'iterations, noise first': iterationsText(iterations),
        fallbacks: sum(fallbacks),
        unconverged: sum(unconverged),
        error: row.error,
        mean: statistics.mean,
        deviation: statistics.deviation,
      })),
      { strategy: 'another seed', mean: seedNoise.mean, deviation: seedNoise.deviation },
    ],
    {
      caption:
        `${model}, ${tokens} tokens, batch ${batch}, guidance ${guidance?.weight ?? 0}, ` +
        `tolerance ${tolerance}, median of ${repeats}; CRM and IGM from ` +
        `${data ?? 'its samples'}; ${execution}`,
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

/** Per block in the order of sampling, as the published tables have it. */
function iterationsText(iterations: readonly number[]): string {
  if (iterations.every((one) => one === 0)) return '–';
  return [...iterations]
    .reverse()
    .map((one) => (one === 0 ? '–' : `${Number(one.toFixed(1))}`))
    .join(' ');
}
