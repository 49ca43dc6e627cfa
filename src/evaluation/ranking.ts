/** How well one quantity orders things by another. */
export interface ConcordantPairs {
  /** Pairs that both put in the same order. */
  right: number;
  /** Pairs that differ in what is to be ordered by. */
  all: number;
}

/**
 * Counts the pairs that a guess puts in their order; ties of the guess count as wrong, and ties of
 * the truth do not count.
 *
 * @param guess a number for each thing, and
 * @param truth likewise
 */
export function concordantPairs(
  guess: readonly number[],
  truth: readonly number[],
): ConcordantPairs {
  let [right, all] = [0, 0];
  for (let i = 0; i < truth.length; i++) {
    for (let j = i + 1; j < truth.length; j++) {
      const difference = (truth[i] as number) - (truth[j] as number);
      if (difference === 0) continue;
      all++;
      if (((guess[i] as number) - (guess[j] as number)) * difference > 0) right++;
    }
  }
  return { right, all };
}
