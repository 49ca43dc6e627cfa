import { tf, tidy } from '../core/tf.js';
import { checkWeights, isBatchCounter, openWeights } from '../formats/network-weights.js';
import type { TensorFile } from '../formats/tensor-file.js';
import { colourImages, type FeatureNetwork, greyLevels } from './feature-network.js';
import {
  batchNormShapes,
  convolved,
  type FoldedConvolution,
  foldedConvolution,
} from './folded-convolution.js';
import {
  type ConvolutionLayer,
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
/** Added to a variance before its root. */
const epsilon = 1e-3;
/** Before the names in the state of torchmetrics' FID, which the published statistics are. */
const prefixOfStatistics = 'inception.';

type Convolutions = ReadonlyMap<string, FoldedConvolution>;

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
  const file = await openWeights(path, published);
  const convolutions = new Map<string, FoldedConvolution>();
  const dispose = () => {
    for (const one of convolutions.values()) tf.dispose([one.weight, one.bias]);
  };
  try {
    const isState = Object.keys(file.tensors).some((name) => name.startsWith(prefixOfStatistics));
    const before = isState ? prefixOfStatistics : '';
    checkNames(file, before);
    for (const { layer } of inceptionConvolutions()) {
      const name = `${before}${layer.name}`;
      convolutions.set(
        layer.name,
        await foldedConvolution(file, {
          weight: `${name}.conv.weight`,
          norm: `${name}.bn`,
          epsilon,
        }),
      );
    }
    return {
      name: published.network,
      width,
      weights: await file.sha256(),
      distances: { frechet: 'FID', kernel: 'KID' },
      features: (images) => tidy(() => pooled(prepared(images), convolutions)),
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  } finally {
    await file.close();
  }
}

function checkNames(file: TensorFile, before: string): void {
  const shapes: Record<string, readonly number[]> = {};
  for (const { layer, inputs } of inceptionConvolutions()) {
    const name = `${before}${layer.name}`;
    shapes[`${name}.conv.weight`] = [layer.outputs, inputs, ...layer.kernel];
    Object.assign(shapes, batchNormShapes(`${name}.bn`, layer.outputs));
  }
  // The last layer, of 1008 classes, is in the file and not read.
  const more = (name: string) =>
    isBatchCounter(name) || /^fc\./.test(name.slice(before.length)) || !name.startsWith(before);
  checkWeights(file, published, shapes, more);
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
    h = branches.length === 1 ? branches[0]! : tf.concat(branches, 3);
  }
  return tf.mean(h, [1, 2]);
}

function applied(x: tf.Tensor4D, layer: InceptionLayer, convolutions: Convolutions): tf.Tensor4D {
  const activated = (one: ConvolutionLayer) => {
    const weights = convolutions.get(one.name)!;
    return tf.relu(convolved(x, weights, one.stride, one.padding));
  };
  switch (layer.kind) {
    case 'convolution':
      return activated(layer);
    case 'split':
      return tf.concat(layer.layers.map(activated), 3);
    case 'mean':
      return tf.avgPool(x, 3, layer.stride, layer.padding);
    case 'maximum':
      return tf.maxPool(x, 3, layer.stride, layer.padding);
  }
}
