/**
 * True under TARFLOW_QUICK=1: the tests run every notebook so, with the same cells and shrunk
 * counts, and nothing is written to results/.
 */
export function inQuickMode(): boolean {
  return process.env.TARFLOW_QUICK === '1';
}

/** `full`, or `reduced` in quick mode: a count of steps, samples or images in a notebook. */
export function quick<T>(full: T, reduced: T): T {
  return inQuickMode() ? reduced : full;
}

/** True under TARFLOW_TRAIN=1: the notebooks train what they otherwise load. */
export function training(): boolean {
  return process.env.TARFLOW_TRAIN === '1';
}
