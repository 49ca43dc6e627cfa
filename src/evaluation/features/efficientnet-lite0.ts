import { tf, tidy } from '../../core/tf.js';
import { disposeTree } from '../../core/tree.js';
import {
  lite0Activations,
  lite0Input,
  lite0Width,
  publishedLite0,
  readLite0,
} from '../../pretrained/lite0-network.js';
import { colourImages } from '../../pretrained/seen-images.js';
import type { FeatureNetwork } from './network.js';

/** Images are brought to this height and width. */
const side = 224;

/**
 * EfficientNet-Lite0, without the last layer: 1280 features of ImageNet's classes, the means of its
 * last convolution. Images of another size are interpolated to 224×224 bilinearly, with pixels at
 * their centres; grey ones are seen in three equal channels. Unlike EfficientNet-B0 it has ReLU6 and
 * no squeeze-and-excitation.
 *
 * @param path the weights as PyTorch has them: `efficientnet-lite0-57934424.pth`, or the same names in
 *   safetensors
 * @returns a network that the caller frees
 * @throws UserError where the file is not there, and for other tensors, by name
 */
export async function loadEfficientNetLite0(path: string): Promise<FeatureNetwork> {
  const { weights, sha256 } = await readLite0(path);
  return {
    name: publishedLite0.network,
    width: lite0Width,
    weights: sha256,
    features: (images) =>
      tidy(() => {
        const { last } = lite0Activations(weights, prepared(images));
        return tf.mean(last, [1, 2]) as tf.Tensor2D;
      }),
    dispose: () => disposeTree(weights),
  };
}

/** Images as the network was trained to see them: (batch, 224, 224, 3). */
function prepared(images: tf.Tensor4D): tf.Tensor4D {
  const colour = colourImages(images, publishedLite0.network);
  const resized =
    images.shape[2] === side && images.shape[3] === side
      ? colour
      : tf.image.resizeBilinear(colour, [side, side], false, true);
  return lite0Input(resized);
}
