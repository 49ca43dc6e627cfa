import type { Context, NamedContext } from '../../src/conditions/context.js';
import { tf, tidy } from '../../src/core/tf.js';
import { type Leaves, leaves, valueAndGradient, withLeaves } from '../../src/core/tree.js';
import { type ForwardResult, flowLoss, forward, type Model } from '../../src/flow/index.js';
import { type InverseOptions, inverse } from '../../src/sampling/inverse.js';
import type { Results } from './golden-file.js';

/** Collects what is computed to compare with a golden file, and frees what it was computed from. */
export class Collected {
  readonly results: Results = {};
  private readonly owned: tf.Tensor[] = [];

  /** Takes charge of a tensor, and returns it. */
  own<T extends tf.Tensor>(tensor: T): T {
    this.owned.push(tensor);
    return tensor;
  }

  /** Keeps the numbers of tensors, which the caller frees, by the names of the outputs. */
  put(tensors: Record<string, tf.Tensor>): void {
    for (const [name, tensor] of Object.entries(tensors)) {
      this.results[name] = tensor.dataSync().slice();
    }
  }

  /** Keeps the numbers of a tensor, which it frees. */
  async take(name: string, tensor: tf.Tensor): Promise<void> {
    // Not dataSync: some engines free what was used in a turn of the event loop only.
    this.results[name] = (await tensor.data()).slice();
    tensor.dispose();
  }

  dispose(): void {
    tf.dispose(this.owned);
  }
}

/** The training loss of a pass to the noise, and its gradient with respect to every parameter. */
export function lossAndGradient<M extends Model>(
  flow: M,
  pass: (moved: M) => ForwardResult,
  parameters: Leaves = leaves(flow.parameters),
): { value: tf.Scalar; gradient: Leaves } {
  return valueAndGradient((current) => {
    const moved = { ...flow, parameters: withLeaves(flow.parameters, current) };
    return { value: flowLoss(moved, pass(moved)).loss, auxiliary: {} };
  }, parameters);
}

/** Its gradient with respect to the images, under a standard normal prior. */
export function lossGradient(flow: Model, x: tf.Tensor4D, context: NamedContext = {}): tf.Tensor4D {
  return tf.grad((own: tf.Tensor4D) => flowLoss(flow, forward(flow, own, context)).loss)(x);
}

/** Tensors under names with a prefix. */
export function named<T extends tf.Tensor>(
  prefix: string,
  tensors: Record<string, T> | readonly T[],
): Record<string, T> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [`${prefix}${name}`, tensor]),
  );
}

/**
 * Keeps the images of latents z, samples of given noise with the states between blocks, and further samples.
 *
 * @param image tokens as images
 * @param runs the options of further samples by the names of the outputs
 */
export async function putSamples(
  collected: Collected,
  flow: Model,
  given: Context & Pick<InverseOptions, 'mode'>,
  { z, noise }: { z: tf.Tensor3D; noise: tf.Tensor3D },
  image: (tokens: tf.Tensor3D) => tf.Tensor,
  runs: Record<string, InverseOptions>,
): Promise<void> {
  await collected.take('recon', await inverse(flow, z, given));
  let sequence = 0;
  const onBlock = (tokens: tf.Tensor3D): void => {
    tidy(() => collected.put({ [`seq.${sequence}`]: image(tokens) }));
    sequence++;
  };
  onBlock(noise);
  await collected.take('sample.g0', await inverse(flow, noise, { ...given, onBlock }));
  for (const [name, options] of Object.entries(runs)) {
    await collected.take(name, await inverse(flow, noise, { ...given, ...options }));
  }
}
