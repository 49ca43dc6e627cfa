import { unknownName } from '../core/errors.js';
import { tidy } from '../core/tf.js';
import { fileDigest } from '../formats/tensor-file.js';
import {
  type Classifier,
  classifierFeatures,
  disposeClassifier,
} from '../models/classifier/family.js';
import { loadClassifier } from '../models/load-checkpoint.js';
import { lite0File, loadEfficientNetLite0 } from '../pretrained/efficientnet-lite0.js';
import type { FeatureNetwork } from '../pretrained/feature-network.js';
import { loadInceptionV3 } from '../pretrained/inception-v3.js';
import { titleOfCheckpoint } from '../training/checkpoint.js';

/** The networks that {@link openFeatureNetwork} knows by name. */
export const featureNetworkNames = [
  'efficientnet-lite0',
  'inception-v3:FILE',
  'classifier:FILE',
] as const;

/** What opens a network from the file behind its name. */
const loaders: Readonly<Record<string, (file: string) => Promise<FeatureNetwork>>> = {
  'inception-v3': loadInceptionV3,
  classifier: loadClassifierNetwork,
};

/**
 * Opens a network that compares images: `efficientnet-lite0`, or one whose weights the user has in a
 * file: `inception-v3:FILE` (that of FID), or `classifier:FILE` for a classifier of ours in a checkpoint.
 *
 * @returns a network that the caller frees
 * @throws UserError for an unknown name, and where the weights are not there (with the command that
 *   fetches them, or their official address)
 */
export async function openFeatureNetwork(name: string): Promise<FeatureNetwork> {
  if (name === 'efficientnet-lite0') return loadEfficientNetLite0(lite0File());
  const [, kind = '', file = ''] = /^([^:]+):(.+)$/.exec(name) ?? [];
  const load = Object.hasOwn(loaders, kind) ? loaders[kind] : undefined;
  if (load) return load(file);
  throw unknownName('feature network', name, featureNetworkNames);
}

async function loadClassifierNetwork(file: string): Promise<FeatureNetwork> {
  const classifier = await loadClassifier(file);
  return {
    ...classifierNetwork(classifier, titleOfCheckpoint(file)),
    weights: await fileDigest(file),
  };
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
