import type { TarFlowRun } from '../training/small.js';
import { smallRun, smallSettings } from '../training/small.js';

/** The first of two halves of a run ends after so many steps. */
export const stopAfter = 3;

/** A run that several processes share: with clipping, a running mean and mirrored images. */
export function manyRun(folder: string): TarFlowRun {
  const more = { clipNorm: 0.5, averageDecay: 0.5, flip: true, steps: 6 };
  return smallRun(folder, { settings: { ...smallSettings, ...more } });
}
