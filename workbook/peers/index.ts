/** Models of other kinds than flows, which are trained at the same cost and compared: four families. */
import { UserError } from '../../src/core/errors.js';
import type { tf } from '../../src/core/tf.js';
import type { Tree } from '../../src/core/tree.js';
import type { Family, Model, ModelConfig } from '../../src/flow/model.js';
import { registerFamilies } from '../../src/models/registry.js';
import { diffusion } from './diffusion.js';
import { sampleDiffusion } from './diffusion-sampling.js';
import { gan, sampleGan } from './gan.js';
import type { PeerSampling } from './peer.js';
import { pixelVae, samplePixelVae } from './pixel-vae.js';
import { pixelCnn } from './pixelcnn.js';
import { samplePixelCnn } from './pixelcnn-sampling.js';

export { diffusionRoundTrip, odeBits, sampleDiffusion } from './diffusion-sampling.js';
export type { PeerSampling } from './peer.js';
export { importanceBits, logWeights } from './pixel-vae.js';
export { pixelBits } from './pixelcnn.js';

/** Each is known by its kind where this module is imported. */
export const peerFamilies: readonly Family[] = [diffusion, pixelCnn, pixelVae, gan];

registerFamilies(peerFamilies);

/**
 * Samples of a peer (count, channels, height, width), in [−1, 1], which the caller frees.
 *
 * @throws UserError for a flow, and for what the model does not take
 */
export function samplePeer(model: Model, options: PeerSampling): tf.Tensor4D {
  if (isPeer(model, diffusion)) return sampleDiffusion(model, options);
  if (isPeer(model, pixelCnn)) return samplePixelCnn(model, options);
  if (isPeer(model, pixelVae)) return samplePixelVae(model, options);
  if (isPeer(model, gan)) return sampleGan(model, options);
  throw new UserError(
    `A model of kind '${model.config.kind}' came`,
    `Expected one of ${peerFamilies.map(({ kind }) => kind).join(', ')}; flows are sampled by sample`,
  );
}

/** Whether a model is of a peer's family. */
export function isPeer<C extends ModelConfig, P extends Tree>(
  model: Model,
  { kind }: Family<C, P>,
): model is Model<C, P> {
  return model.config.kind === kind;
}
