import { existsSync } from 'node:fs';
import { loadDataset } from '../../src/data/index.js';
import { type Classifier, disposeClassifier } from '../../src/models/classifier/family.js';
import { loadClassifier } from '../../src/models/load-checkpoint.js';
import { type Progress, startProgress } from '../../src/show/progress.js';
import { saveClassifier, trainClassifier } from '../measures/train-classifier.js';
import { inQuickMode, resultFile, resultToRead } from '../records/results-folder.js';

/**
 * The small classifier of Fashion-MNIST by whose features the notebooks measure samples: two
 * convolutions and 64 features, trained on the 55,000 images of the training split in about two
 * minutes; its 8 epochs were chosen on the validation split, among 3, 8 and 12. It is read from
 * `results/checkpoints/`. If the file is missing, it is trained again and kept there.
 *
 * @returns a classifier that the caller frees with `disposeClassifier`
 */
export async function fashionClassifier(): Promise<Classifier> {
  const name = 'checkpoints/fashion-mnist-classifier.safetensors';
  const kept = resultToRead(name);
  if (existsSync(kept)) return loadClassifier(kept);
  const data = await loadDataset('fashion-mnist', 'train');
  let progress: Progress | undefined;
  const classifier = await trainClassifier(data, {
    epochs: 8,
    onProgress: ({ step, steps, loss }) => {
      progress ??= startProgress({ title: 'Training the classifier', total: steps });
      progress.update(step, { loss });
    },
  });
  progress?.finish();
  if (inQuickMode()) return classifier;
  const file = resultFile(name);
  await saveClassifier(classifier, file);
  disposeClassifier(classifier);
  // Rounded to half precision, as everyone else will load it.
  return loadClassifier(file);
}
