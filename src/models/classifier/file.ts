import { startEngine } from '../../backend/engine.js';
import { UserError } from '../../backend/errors.js';
import { tf } from '../../backend/tf.js';
import { leaves } from '../../backend/tree.js';
import { type HostTensor, readSafetensors, writeSafetensors } from '../../formats/safetensors.js';
import { templateOf } from '../../training/template.js';
import { type Classifier, type ClassifierConfig, classifierFamily } from './family.js';

/**
 * Writes a classifier as safetensors in half precision, whole or not at all.
 * @throws UserError where the file cannot be written
 */
export async function saveClassifier(classifier: Classifier, path: string): Promise<void> {
  const tensors: Record<string, HostTensor> = {};
  for (const [name, tensor] of Object.entries(leaves(classifier.parameters))) {
    const data = tensor.dataSync() as Float32Array;
    tensors[name] = { shape: tensor.shape.slice(), dtype: 'F16', data };
  }
  await writeSafetensors(path, tensors, {
    format: 'tarflow classifier',
    config: JSON.stringify(classifier.config),
  });
}

/**
 * Reads a classifier that {@link saveClassifier} wrote. Starts the engine if none runs.
 * @throws UserError where the file cannot be read, or holds something else
 */
export async function loadClassifier(path: string): Promise<Classifier> {
  await startEngine();
  const { tensors, metadata } = await readSafetensors(path);
  const remedy = 'Expected a file that saveClassifier wrote';
  let config: ClassifierConfig;
  try {
    // The first files do not say their kind.
    const described = { kind: 'classifier', ...JSON.parse(metadata.config ?? '') };
    config = classifierFamily.check(classifierFamily.schema.parse(described));
  } catch {
    throw new UserError(`${path} does not describe a classifier`, remedy);
  }
  const template = templateOf(classifierFamily, config);
  for (const [name, shape] of Object.entries(template.shapes)) {
    const stored = tensors[name]?.shape.join(', ');
    if (stored === shape.join(', ')) continue;
    throw new UserError(
      `${path}: the tensor ${name} has shape (${stored ?? 'none'}), not (${shape.join(', ')})`,
      remedy,
    );
  }
  const loaded = Object.entries(template.shapes).map(([name, shape]) => [
    name,
    tf.tensor(tensors[name]?.data as Float32Array, [...shape]),
  ]);
  return template.model(Object.fromEntries(loaded), {});
}
