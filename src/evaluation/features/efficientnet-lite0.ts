import { UserError } from '../../backend/errors.js';
import { tf, tidy } from '../../backend/tf.js';
import { openTensorFile, type TensorFile } from '../../formats/tensor-file.js';
import type { FeatureNetwork } from './network.js';

/** A convolution with its batch norm folded in. */
interface Convolution {
  /** (height, width, inputs, outputs), or (height, width, channels, 1) of a depthwise one. */
  weight: tf.Tensor4D;
  bias: tf.Tensor1D;
}

/** An inverted residual block: widened, convolved by channel, narrowed. */
interface Block {
  expand?: Convolution;
  depthwise: Convolution;
  project: Convolution;
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

/**
 * EfficientNet-Lite0, without the last layer: 1280 features of ImageNet's classes, the means of its
 * last convolution. Images of another size are interpolated to 224×224 bilinearly, with pixels at
 * their centres; grey ones are seen in three equal channels. Unlike EfficientNet-B0 it has ReLU6 and
 * no squeeze-and-excitation.
 *
 * @param path the weights as PyTorch has them: `efficientnet-lite0-57934424.pth`, or the same names in
 *   safetensors
 * @returns a network that the caller frees
 * @throws UserError for a file with other tensors
 */
export async function loadEfficientNetLite0(path: string): Promise<FeatureNetwork> {
  const file = await openTensorFile(path);
  const made: tf.Tensor[] = [];
  try {
    const convolution = async (name: string, norm: string, expected: number[]) => {
      const found = await foldedConvolution(file, name, norm, expected);
      made.push(found.weight, found.bias);
      return found;
    };
    const stem = await convolution('_conv_stem', '_bn0', [32, 3, 3, 3]);
    const blocks: Block[] = [];
    for (const { repeats, kernel, expansion, ...one } of stages) {
      for (let repeat = 0; repeat < repeats; repeat++) {
        const name = `_blocks.${blocks.length}`;
        const inputs = repeat === 0 ? one.inputs : one.outputs;
        const stride = repeat === 0 ? one.stride : 1;
        const wide = expansion * inputs;
        blocks.push({
          ...(expansion > 1 && {
            expand: await convolution(`${name}._expand_conv`, `${name}._bn0`, [wide, inputs, 1, 1]),
          }),
          depthwise: await convolution(`${name}._depthwise_conv`, `${name}._bn1`, [
            ...[wide, 1, kernel, kernel],
          ]),
          project: await convolution(`${name}._project_conv`, `${name}._bn2`, [
            ...[one.outputs, wide, 1, 1],
          ]),
          ...{ stride, residual: stride === 1 && inputs === one.outputs },
        });
      }
    }
    const head = await convolution('_conv_head', '_bn1', [width, 320, 1, 1]);
    return {
      name: 'EfficientNet-Lite0',
      width,
      features: (images) => tidy(() => pooled(prepared(images), { stem, blocks, head })),
      dispose: () => tf.dispose(made),
    };
  } catch (error) {
    tf.dispose(made);
    throw error;
  } finally {
    await file.close();
  }
}

/** The weights (outputs, inputs, height, width) of the file, scaled by the batch norm behind them. */
async function foldedConvolution(
  file: TensorFile,
  name: string,
  norm: string,
  expected: number[],
): Promise<Convolution> {
  const read = async (tensor: string, shape: number[]) => {
    const there = file.tensors[tensor];
    if (there?.shape.join() !== shape.join()) {
      throw new UserError(
        `${file.path} ${there ? `has ${tensor} of shape (${there.shape})` : `lacks ${tensor}`}`,
        `Expected the weights of EfficientNet-Lite0, with ${tensor} of shape (${shape})`,
      );
    }
    return (await file.read(tensor)).data;
  };
  const [outputs = 0, inputs = 0, ...kernel] = expected;
  const weight = await read(`${name}.weight`, expected);
  const [scale, offset, mean, variance] = [
    await read(`${norm}.weight`, [outputs]),
    await read(`${norm}.bias`, [outputs]),
    await read(`${norm}.running_mean`, [outputs]),
    await read(`${norm}.running_var`, [outputs]),
  ];
  const factors = Float32Array.from(
    scale,
    (value, i) => value / Math.sqrt((variance[i] as number) + epsilon),
  );
  const biases = factors.map((factor, i) => (offset[i] as number) - factor * (mean[i] as number));
  return tidy(() => {
    const scaled = tf.mul(
      tf.tensor4d(Float32Array.from(weight), expected as [number, number, number, number]),
      tf.reshape(tf.tensor1d(factors), [outputs, 1, 1, 1]),
    ) as tf.Tensor4D;
    // A depthwise convolution has one input for each output: its outputs are the channels.
    const order = inputs === 1 && (kernel[0] as number) > 1 ? [2, 3, 0, 1] : [2, 3, 1, 0];
    return { weight: tf.transpose(scaled, order) as tf.Tensor4D, bias: tf.tensor1d(biases) };
  });
}

/** Images as the network was trained to see them: (batch, 224, 224, 3), (grey level − 127)/128. */
function prepared(images: tf.Tensor4D): tf.Tensor4D {
  const [, channels] = images.shape;
  if (channels !== 1 && channels !== 3) {
    throw new UserError(
      `Images of ${channels} channels came`,
      'EfficientNet-Lite0 takes those of 1 or 3',
    );
  }
  const last = tf.transpose(images, [0, 2, 3, 1]) as tf.Tensor4D;
  const colour = channels === 3 ? last : (tf.tile(last, [1, 1, 1, 3]) as tf.Tensor4D);
  const resized =
    images.shape[2] === side && images.shape[3] === side
      ? colour
      : tf.image.resizeBilinear(colour, [side, side], false, true);
  return tf.div(tf.add(tf.mul(resized, 127.5), 0.5), 128) as tf.Tensor4D;
}

function pooled(
  x: tf.Tensor4D,
  { stem, blocks, head }: { stem: Convolution; blocks: readonly Block[]; head: Convolution },
): tf.Tensor2D {
  let h = tf.relu6(convolved(x, stem, 2)) as tf.Tensor4D;
  for (const { expand, depthwise, project, stride, residual } of blocks) {
    const wide = expand ? (tf.relu6(convolved(h, expand, 1)) as tf.Tensor4D) : h;
    const byChannel = tf.depthwiseConv2d(wide, depthwise.weight, stride, 'same');
    const mixed = tf.relu6(tf.add(byChannel, depthwise.bias)) as tf.Tensor4D;
    const narrow = convolved(mixed, project, 1);
    h = residual ? (tf.add(narrow, h) as tf.Tensor4D) : narrow;
  }
  return tf.mean(tf.relu6(convolved(h, head, 1)), [1, 2]) as tf.Tensor2D;
}

function convolved(x: tf.Tensor4D, { weight, bias }: Convolution, stride: number): tf.Tensor4D {
  return tf.add(tf.conv2d(x, weight, stride, 'same'), bias) as tf.Tensor4D;
}
