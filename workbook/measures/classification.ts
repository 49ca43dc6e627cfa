/**
 * What is measured of classifiers, from their scores: log-probabilities of the classes up to a
 * constant, a row for each image.
 */

/** log Σ exp(score / temperature), less the largest score / temperature. */
function logSum(scores: readonly number[], temperature: number): number {
  const top = Math.max(...scores);
  return Math.log(
    scores.reduce((total, score) => total + Math.exp((score - top) / temperature), 0),
  );
}

/** The classes' probabilities, softmax(scores / temperature). */
export function softmax(scores: readonly number[], temperature = 1): number[] {
  const top = Math.max(...scores);
  const weights = scores.map((score) => Math.exp((score - top) / temperature));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * The mean over images of −log p(label | image), in nats.
 *
 * @param scores (images, classes)
 * @param temperature divides the scores
 */
export function crossEntropy(
  scores: readonly (readonly number[])[],
  labels: ArrayLike<number>,
  temperature = 1,
): number {
  const losses = scores.map((row, i) => {
    const behind = row[labels[i]!]! - Math.max(...row);
    return logSum(row, temperature) - behind / temperature;
  });
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}

/** The images whose guess has a probability within a bin. */
export interface ReliabilityBin {
  /** Their number. */
  images: number;
  /** Mean probability of their guesses. */
  confidence: number;
  /** The share of them whose guess is right. */
  accuracy: number;
}

/** Whether probabilities can be believed. */
export interface Reliability {
  /** Expected calibration error: the mean distance of accuracy from confidence, weighted by images. */
  error: number;
  /** Bins of equal width that hold images, from the least confidence to the most. */
  bins: ReliabilityBin[];
}

/**
 * The reliability diagram and the expected calibration error of a classifier (Guo et al. 2017,
 * arXiv 1706.04599).
 *
 * @param scores (images, classes)
 * @param temperature divides the scores
 * @param count of bins over the confidences 0 to 1
 */
export function reliability(
  scores: readonly (readonly number[])[],
  labels: ArrayLike<number>,
  temperature = 1,
  count = 10,
): Reliability {
  const sums = Array.from({ length: count }, () => ({ images: 0, right: 0, confidence: 0 }));
  scores.forEach((row, i) => {
    const probabilities = softmax(row, temperature);
    const confidence = Math.max(...probabilities);
    const sum = sums[Math.min(count - 1, Math.floor(count * confidence))];
    if (!sum) return;
    sum.images++;
    sum.confidence += confidence;
    if (probabilities.indexOf(confidence) === labels[i]) sum.right++;
  });
  const bins = sums
    .filter(({ images }) => images > 0)
    .map(({ images, right, confidence }) => ({
      images,
      confidence: confidence / images,
      accuracy: right / images,
    }));
  const error = bins.reduce(
    (sum, bin) => sum + (bin.images / scores.length) * Math.abs(bin.accuracy - bin.confidence),
    0,
  );
  return { error, bins };
}
