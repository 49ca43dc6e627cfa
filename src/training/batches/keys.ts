import { foldIn, type RandomKey, randomKey } from '../../core/random.js';

/**
 * The randomness of training samples: a key for each, from seed, epoch and the sample's index in its
 * data set, so that it does not matter in which batch, or in which of several processes, a sample is.
 */
export function sampleKeys(seed: number, epoch: number, indices: ArrayLike<number>): RandomKey[] {
  const key = foldIn(foldIn(randomKey(seed), 'sample'), epoch);
  return Array.from(indices, (index) => foldIn(key, index));
}

/** The randomness of held-out samples, the same in every validation. */
export function validationKeys(seed: number, indices: ArrayLike<number>): RandomKey[] {
  const key = foldIn(randomKey(seed), 'validation');
  return Array.from(indices, (index) => foldIn(key, index));
}
