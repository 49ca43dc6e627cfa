import { tf, tidy } from '../../src/core/tf.js';
import { imagesTensor, labelBatch, loadDataset } from '../../src/data/index.js';
import { type FeatureRows, featureStatistics } from '../../src/evaluation/feature-statistics.js';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import { resamplingError } from '../../src/evaluation/resampling-error.js';
import { disposeClassifier } from '../../src/models/classifier/family.js';
import { judgeImages } from '../measures/class-judge.js';
import { quick } from '../records/results-folder.js';
import { fashionClassifier } from './models.js';

/** What the judge says of images. */
export interface Judgement {
  /** The Fréchet distance from the training images, by the features of our classifier. */
  FD: number;
  /** Its standard error, by drawing the images anew. */
  error: number;
  /** The share that the classifier puts into the class asked for, in per cent. */
  'in class': number;
  n: number;
}

/** Measures images of Fashion-MNIST, by one protocol in all reports. */
export interface FashionJudge {
  /** @param images (batch, 1, 28, 28); values beyond −1 and 1 count as these */
  measure(images: tf.Tensor4D, labels: readonly number[]): Judgement;
  dispose(): void;
}

/**
 * The judge of the reports: FD from all training images by the features of the small classifier in
 * `results/checkpoints/`.
 */
export async function fashionJudge(): Promise<FashionJudge> {
  const classifier = await fashionClassifier();
  const data = await loadDataset('fashion-mnist', 'train');
  const all = Array.from({ length: quick(data.length, 1000) }, (_, i) => i);
  const real = imagesTensor(data, all);
  const labels = Array.from(labelBatch(data, all));
  const training = featureStatistics(judgeImages(classifier, real, labels).features);
  real.dispose();
  return {
    measure(images, asked) {
      const clipped = tidy(() => tf.clipByValue(images, -1, 1));
      const { features, accuracy } = judgeImages(classifier, clipped, asked);
      clipped.dispose();
      const distance = (rows: FeatureRows) => frechetDistance(rows, training);
      return {
        FD: distance(features),
        error: resamplingError([features], distance, { draws: quick(40, 3) }),
        'in class': 100 * accuracy,
        n: images.shape[0],
      };
    },
    dispose: () => disposeClassifier(classifier),
  };
}
