import { batchParts, callCompiled, inParts, partsOf } from '@tarflow/graph';
import { contextTensors, type NamedContext, numbered } from '../conditions/context.js';
import { type ExecutionOptions, modeOf } from '../core/engine.js';
import { tf, tidy } from '../core/tf.js';
import type { Conditions } from './autoregressive.js';
import {
  ability,
  checkImages,
  checkPixels,
  dimensions,
  type ForwardResult,
  type Model,
} from './model.js';
import { stateDict, withStateDict } from './state-dict.js';

/** The training loss and its two terms, scalars in nats per dimension, and a measure of each block. */
export interface FlowLoss {
  /** ½·mean(z²) − mean log-determinant per dimension (TarFlow, eq. 6; no ½·log 2π). */
  loss: tf.Scalar;
  /** ½·mean(z²). */
  prior: tf.Scalar;
  /** Mean over the batch of the log-determinant per dimension. */
  logDet: tf.Scalar;
  /** Mean square of each block's output (blocks), or of each level's; tends to 1 in a trained model. */
  meanSquares: tf.Tensor1D;
}

/**
 * The training loss from a forward pass, in nats per dimension (see {@link FlowLoss}). Call it inside
 * `tidy`: it leaves intermediate tensors.
 */
export function flowLoss({ config }: Pick<Model, 'config'>, result: ForwardResult): FlowLoss {
  const size = dimensions(config);
  const meanSquares = tf.stack(result.outputs.map((output) => tf.mean(tf.square(output))));
  const prior = tf.mul(tf.mean(tf.square(result.z)), 0.5);
  const logDet = tf.div(tf.mean(result.logDet), size);
  return { loss: tf.sub(prior, logDet), prior, logDet, meanSquares };
}

/**
 * log p(x) per sample (batch), in nats, from a forward pass: under the prior from which `sample` draws, a
 * standard normal one, or in a volume-preserving flow that of its measured variance. The published code
 * takes a standard normal one there, too, for its loss and its denoising step. Call it inside `tidy`: it
 * leaves intermediate tensors.
 */
export function logProbOf(
  model: Model,
  { z, logDet }: Pick<ForwardResult, 'z' | 'logDet'>,
): tf.Tensor1D {
  const variance = model.family.prior?.variance?.(model);
  const squares = variance ? tf.div(tf.square(z), variance) : tf.square(z);
  const constant = halfLog2Pi * dimensions(model.config);
  const prior = tf.add(tf.mul(tf.sum(squares, [1, 2]), 0.5), constant);
  const normal = tf.sub(logDet, prior);
  return variance ? tf.sub(normal, tf.mul(tf.sum(tf.log(variance)), 0.5)) : normal;
}

/** ½·log 2π. */
export const halfLog2Pi = 0.5 * Math.log(2 * Math.PI);

/** How a likelihood is computed, and for which label or caption. */
export interface LogProbOptions extends Pick<ExecutionOptions, 'mode'>, NamedContext {}

/**
 * The density of images under a flow, exact, with the prior from which `sample` draws. On the native
 * engine it is one graph, which is recorded at the first call for a batch size; it has no gradient (for
 * that take `score`, or `forward` and `logProbOf`).
 *
 * @param x images (batch, channels, height, width)
 * @returns log p(x) per sample (batch), in nats; the caller frees it
 * @throws UserError where the images or labels do not fit the model, for pixels far from [−1, 1], and for a
 *   model without a density
 *
 * @example
 * ```ts
 * import { createModel, logProb, startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const nats = logProb(flow, tf.randomUniform([2, 1, 8, 8], -1, 1), { label: [0, 1] });
 * console.log(await nats.data());
 * ```
 */
export function logProb(flow: Model, x: tf.Tensor4D, options: LogProbOptions = {}): tf.Tensor1D {
  checkPixels(flow, x);
  return overParts('logProb', flow, x, options, (traced, images, conditions) =>
    logProbOf(traced, ability(flow.family, 'flow').forward(traced, images, conditions)),
  );
}

/** How a score is computed, and for which label or caption. */
export interface ScoreOptions extends ExecutionOptions, NamedContext {}

/**
 * The score of the flow's own density, ∇ log p(x | label), exact, by one backward pass: in nats per
 * unit of x.
 *
 * @param x images (batch, channels, height, width)
 * @param options how it is computed, see `inverse`
 * @returns the score, of the same shape; the caller frees it
 * @throws UserError where the images, labels or captions do not fit the model, for pixels far from [−1, 1],
 *   and for a model without a density
 *
 * @example
 * ```ts
 * import { createModel, score, startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const gradient = score(flow, tf.randomUniform([1, 1, 8, 8], -1, 1), { label: 1 });
 * console.log(gradient.shape); // [ 1, 1, 8, 8 ]
 * ```
 */
export function score(flow: Model, x: tf.Tensor4D, options: ScoreOptions = {}): tf.Tensor4D {
  checkPixels(flow, x);
  return scoreOf(flow, x, options);
}

/** {@link score} of whatever pixels: samples of a model that diverges go on as they are. */
export function scoreOf(flow: Model, x: tf.Tensor4D, options: ScoreOptions): tf.Tensor4D {
  return tidy(() => logProbAndScore(flow, x, options).score);
}

/**
 * log p(x) per sample (batch), in nats, and the score (batch, channels, height, width), of whatever pixels,
 * by one pass there and back. The caller frees both.
 *
 * @throws UserError where the images, labels or captions do not fit the model, and for a model without a
 *   density
 */
export function logProbAndScore(
  flow: Model,
  x: tf.Tensor4D,
  options: ScoreOptions = {},
): { logProb: tf.Tensor1D; score: tf.Tensor4D } {
  checkImages(flow, x);
  const { forward } = ability(flow.family, 'flow');
  const size = dimensions(flow.config);
  return tidy(() => {
    const both = overParts('logProbAndScore', flow, x, options, (traced, images, conditions) => {
      const density = tf.valueAndGrad((own: tf.Tensor4D) =>
        logProbOf(traced, forward(traced, own, conditions)),
      );
      // Samples do not depend on each other: the gradient of the sum has that of each.
      const { value, grad } = density(images, tf.ones([images.shape[0]]));
      const rows: tf.Tensor2D = tf.reshape(grad, [-1, size]);
      return tf.concat([rows, tf.expandDims(value, 1)], 1);
    });
    const [score, logProb] = tf.split(both, [size, 1], 1);
    return { logProb: tf.squeeze(logProb, [1]), score: tf.reshape(score, x.shape) };
  });
}

/**
 * A function of images under a flow, on the native engine as one graph in which each thread takes a part
 * of the samples.
 *
 * @param name under which it is compiled, with the model's configuration
 */
function overParts<R extends tf.Tensor>(
  name: string,
  flow: Model,
  x: tf.Tensor4D,
  { mode: asked, precision = 'float32', ...context }: ScoreOptions,
  of: (flow: Model, x: tf.Tensor4D, conditions: Conditions) => R,
): R {
  const { rows } = ability(flow.family, 'flow');
  const conditions: Record<string, tf.Tensor> = contextTensors(
    flow.config,
    numbered(flow, context),
    x.shape[0],
  );
  const mode = modeOf({ mode: asked });
  const [batch] = x.shape;
  const parts = batchParts(mode, batch, batch * rows(flow.config));
  try {
    return callCompiled({
      name,
      description: [name, flow.config, parts],
      parameters: stateDict(flow),
      inputs: { ...conditions, x },
      body: (parameters, inputs) => {
        const traced = withStateDict(flow, parameters);
        const made = inParts(
          partsOf(inputs, parts).map(({ x: own, ...ownContext }) => () => ({
            made: of(traced, own, ownContext),
          })),
        ).map((result) => result.made);
        return { made: tf.concat(made) };
      },
      mode,
      precision,
    }).made;
  } finally {
    tf.dispose(Object.values(conditions));
  }
}
