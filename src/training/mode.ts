import { currentEngine } from '../backend/engine.js';
import { type Mode, type Precision, xlaIsAtHand } from '../backend/program/index.js';
import type { TrainingSettings } from './settings.js';
import type { Template } from './template.js';

/** XLA compiles for up to half a minute, and so it is worth it for as many steps only. */
const longRun = 2000;

/**
 * Up to how many multiplications of a square weight matrix with a batch's rows a step gains by XLA
 * on a processor; above, it takes as long as the graph, and up to 1.7 times its memory. XLA's
 * products of bfloat16 matrices are slower than the graph's.
 */
const largestProduct: Record<Precision, number> = { float32: 2 ** 26, bfloat16: 2 ** 24 };

/** How a training step is fastest on a processor, what compiles it left aside. */
export function fastestMode(
  template: Template,
  { batchSize, precision }: Pick<TrainingSettings, 'batchSize' | 'precision'>,
): 'xla' | 'graph' {
  const rows = template.family.flow?.rows(template.config) ?? 1;
  const product = batchSize * rows * typicalMatrix(template);
  return product <= largestProduct[precision] ? 'xla' : 'graph';
}

/** The size of the largest square matrix among the parameters, or else of the largest matrix. */
function typicalMatrix({ shapes }: Template): number {
  const matrices = Object.values(shapes).filter(({ length }) => length === 2);
  const square = matrices.filter(([rows, columns]) => rows === columns);
  const sizes = (square.length > 0 ? square : matrices).map(([m = 1, n = 1]) => m * n);
  return Math.max(1, ...sizes);
}

/** How a run's steps run where nothing else is asked for. */
export function usualMode(template: Template, settings: TrainingSettings): Mode {
  if (currentEngine().engine !== 'tensorflow') return 'eager';
  return settings.steps >= longRun && xlaIsAtHand() ? fastestMode(template, settings) : 'graph';
}
