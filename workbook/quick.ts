/**
 * True under TARFLOW_QUICK=1. The tests run every notebook in this mode, with the same cells and
 * smaller counts, and nothing is written to results/.
 */
export function inQuickMode(): boolean {
  return process.env.TARFLOW_QUICK === '1';
}

/** `full`, or `reduced` under TARFLOW_QUICK=1, for a count of steps, samples or images in a notebook. */
export function quick<T>(full: T, reduced: T): T {
  return inQuickMode() ? reduced : full;
}

/** True under TARFLOW_TRAIN=1: the notebooks train the models that they otherwise load. */
export function training(): boolean {
  return process.env.TARFLOW_TRAIN === '1';
}
