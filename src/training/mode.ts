import { type Mode, type Precision, xlaIsAtHand } from '@tarflow/graph';
import { currentEngine } from '../core/engine.js';
import type { TrainingSettings } from './settings.js';
import type { Template } from './template.js';

/** XLA compiles for up to half a minute, and so it is worth it for as many steps only. */
export const longRun = 2000;

/**
 * Up to how many multiplications of a square weight matrix with a batch's rows a step gains by XLA
 * on a processor; above, it takes as long as the graph, and up to 1.7 times its memory. XLA's
 * products of bfloat16 matrices are slower than the graph's.
 */
const largestProduct: Record<Precision, number> = { float32: 2 ** 26, bfloat16: 2 ** 24 };

/** How a training step is fastest on a processor, what compiles it left aside. */
export function fastestMode(
  { family: { flow }, config }: Pick<Template, 'family' | 'config'>,
  { batchSize, precision }: Pick<TrainingSettings, 'batchSize' | 'precision'>,
): 'xla' | 'graph' {
  if (!flow) return 'graph';
  const product = batchSize * flow.rows(config) * flow.width(config) ** 2;
  return product <= largestProduct[precision] ? 'xla' : 'graph';
}

/** How a run's steps run where nothing else is asked for. */
export function usualMode(template: Template, settings: TrainingSettings): Mode {
  if (currentEngine().engine !== 'tensorflow') return 'eager';
  return settings.steps >= longRun && xlaIsAtHand() ? fastestMode(template, settings) : 'graph';
}
