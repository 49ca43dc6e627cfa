import { tf, tidy } from '../core/tf.js';
import { disposeTree } from '../core/tree.js';
import { colourImages, type FeatureNetwork, greyLevels } from './feature-network.js';
import {
  convolutionIn,
  convolved,
  type FoldedConvolution,
  readConvolutions,
} from './folded-convolution.js';
import {
  type InceptionLayer,
  inceptionConvolutions,
  inceptionStages,
} from './inception-v3-layers.js';

/** What the weights are, for errors. */
const published = {
  network: 'Inception-v3',
  address:
    'https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth',
} as const;

const width = 2048;
/** Images are brought to this height and width. */
const side = 299;
/** Before the names in the state of torchmetrics' FID, which the published statistics are. */
const prefixOfStatistics = 'inception.';

/** A convolution by its name. */
type Convolutions = (name: string) => FoldedConvolution;

/**
 * The Inception-v3 of FID (Heusel et al. 2017): 2048 features, the means of its last block. Images are
 * cut to whole grey levels, as the published evaluation does, and interpolated to 299×299 bilinearly as
 * TensorFlow 1 does, with pixels at their corners; grey ones are seen in three equal channels. It is
 * what torch-fidelity computes, and torchmetrics before 1.8 (since then with `antialias=False`).
 *
 * @param path `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid and torch-fidelity, the same names
 *   in safetensors, or statistics of the published code (`*_fid_stats.pth`), which hold the network too
 * @returns a network that the caller frees
 * @throws UserError where the file is not there (with the official address), and for other tensors, by
 *   name
 */
export async function loadInceptionV3(path: string): Promise<FeatureNetwork> {
  let before = '';
  const { weights, sha256 } = await readConvolutions(
    path,
    published,
    (names) => {
      if (names.some((name) => name.startsWith(prefixOfStatistics))) before = prefixOfStatistics;
      return inceptionConvolutions().map(({ layer, inputs }) => ({
        name: `${before}${layer.name}.conv`,
        norm: `${before}${layer.name}.bn`,
        shape: [layer.outputs, inputs, ...layer.kernel],
      }));
    },
    // The last layer, of 1008 classes, is in the file and not read.
    (name) => !name.startsWith(before) || name.startsWith(`${before}fc.`),
  );
  return {
    name: published.network,
    width,
    weights: sha256,
    distances: { frechet: 'FID', kernel: 'KID' },
    features: (images) =>
      tidy(() =>
        pooled(prepared(images), (name) => convolutionIn(weights, `${before}${name}.conv`)),
      ),
    dispose: () => disposeTree(weights),
  };
}

/** Images as the network was trained to see them: (batch, 299, 299, 3), (grey level − 128)/128. */
function prepared(images: tf.Tensor4D): tf.Tensor4D {
  const levels = greyLevels(colourImages(images, published.network));
  const [, height, breadth] = levels.shape;
  const resized =
    height === side && breadth === side
      ? levels
      : tf.image.resizeBilinear(levels, [side, side], false, false);
  return tf.div(tf.sub(resized, 128), 128);
}

function pooled(x: tf.Tensor4D, convolutions: Convolutions): tf.Tensor2D {
  let h = x;
  for (const stage of inceptionStages) {
    const branches = stage.map((branch) =>
      branch.reduce((input, layer) => applied(input, layer, convolutions), h),
    );
    h = tf.concat(branches, 3);
  }
  return tf.mean(h, [1, 2]);
}

function applied(x: tf.Tensor4D, layer: InceptionLayer, convolutions: Convolutions): tf.Tensor4D {
  if ('kind' in layer) {
    const pool = layer.kind === 'mean' ? tf.avgPool : tf.maxPool;
    return pool(x, 3, layer.stride, layer.padding);
  }
  const activated = layer.map(({ name, stride, padding }) =>
    tf.relu(convolved(x, convolutions(name), stride, padding)),
  );
  return tf.concat(activated, 3);
}
