import { saveCheckpoint } from '../../training/checkpoint.js';
import { loadCheckpoint } from '../load-checkpoint.js';
import { type Classifier, classifier as family } from './family.js';

/**
 * Writes a classifier as safetensors in half precision, whole or not at all.
 * @throws UserError where the file cannot be written
 */
export async function saveClassifier(classifier: Classifier, path: string): Promise<void> {
  await saveCheckpoint(classifier, path, {}, 'F16');
}

/**
 * Reads a classifier that {@link saveClassifier} wrote. Starts the engine if none runs.
 *
 * @returns a classifier that the caller frees with `disposeClassifier`
 * @throws UserError where the file cannot be read, or holds something else
 */
export async function loadClassifier(path: string): Promise<Classifier> {
  return loadCheckpoint(path, { family });
}
