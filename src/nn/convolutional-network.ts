import { relu } from '../core/ops.js';
import { foldIn, type RandomKey } from '../core/random.js';
import { tf } from '../core/tf.js';
import { type ConvolutionParameters, convolution, convolutionSpecs } from './convolution.js';
import { bounded, embedding } from './layers.js';
import { normals, type Specs, zeros } from './specs.js';

/** What predicts one half of the channels from the other. */
export type NetworkParameters = {
  /** 3×3, to the hidden channels. */
  input: ConvolutionParameters;
  /** (classes, hidden channels), added before the first nonlinearity; absent without classes. */
  classes?: tf.Tensor2D;
  /** 3×3, between the hidden channels. */
  hidden: ConvolutionParameters;
  /** 3×3; half of its outputs are means, the others log-scales. */
  output: ConvolutionParameters;
};

/**
 * A network that starts by predicting mean and log-scale 0, because its last weights are zero.
 *
 * @param sizes channels that it reads, of its hidden layers, and that it predicts; and classes
 */
export function networkSpecs(
  key: RandomKey,
  sizes: { inputs: number; hidden: number; outputs: number; classes: number },
): Specs<NetworkParameters> {
  const { inputs, hidden, outputs, classes } = sizes;
  return {
    input: convolutionSpecs(foldIn(key, 'input'), 3, inputs, hidden),
    ...(classes > 0 && { classes: normals(foldIn(key, 'classes'), [classes, hidden], 0.01) }),
    hidden: convolutionSpecs(foldIn(key, 'hidden'), 3, hidden, hidden),
    output: { weight: zeros([3, 3, hidden, 2 * outputs]), bias: zeros([2 * outputs]) },
  };
}

/** Log-scales lie within ±3. */
const bound = 3;

/**
 * Mean and log-scale of channels from others, by three convolutions of 3×3.
 *
 * @param x (batch, height, width, inputs)
 * @param classes mixture of classes (batch, classes); none takes the mean of the table
 */
export function predicted(
  parameters: NetworkParameters,
  x: tf.Tensor4D,
  classes: tf.Tensor2D | undefined,
): { mean: tf.Tensor4D; logScale: tf.Tensor4D } {
  let h = convolution(x, parameters.input);
  if (parameters.classes) {
    const rows = embedding(parameters.classes, classes);
    h = tf.add(h, tf.reshape(rows, [rows.shape[0], 1, 1, rows.shape[1]]));
  }
  h = relu(convolution(relu(h), parameters.hidden));
  const [mean, raw] = tf.split(convolution(h, parameters.output), 2, 3) as [
    tf.Tensor4D,
    tf.Tensor4D,
  ];
  return { mean, logScale: bounded(raw, bound) };
}
