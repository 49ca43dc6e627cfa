import { UserError } from '../backend/errors.js';
import { tf } from '../backend/tf.js';
import { permute } from '../flow/block.js';
import { tokenCount, tokenWidth } from '../flow/config.js';
import { classMixture, type Label } from '../flow/labels.js';
import { unpatchify } from '../flow/patches.js';
import { flowBlocks, type TarFlow } from '../flow/tarflow.js';
import { checkGuidance, type Guidance, guidanceIsIdle, guidedBlock } from './guidance.js';
import { invertSequential } from './sequential.js';

/** How far an inversion is. */
export interface InverseProgress {
  /** Steps done and steps in all, over all blocks. */
  done: number;
  total: number;
  /** The block being inverted, by index from the data. */
  block: number;
}

export interface InverseOptions {
  guidance?: Guidance;
  /** Called as the inversion proceeds; it runs between steps. */
  onProgress?: (progress: InverseProgress) => void;
  /** Stops the inversion between two steps; the promise then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called with the output of each inverted block (batch, T, D), which it does not own. */
  onBlock?: (tokens: tf.Tensor3D, block: number) => void;
}

/**
 * Noise to data, the generative direction: blocks from the last to the first, each token by token
 * with a key/value cache (TarFlow, section 3.1). The exact inverse of `forward` where no guidance
 * is given.
 *
 * @param z latents (batch, T, D), as `forward` returns them
 * @param label class per sample; absent reads as the mean of all classes
 * @returns images (batch, channels, height, width); the caller frees them
 * @throws UserError where latents, labels or guidance do not fit the model
 */
export async function inverse(
  flow: TarFlow,
  z: tf.Tensor3D,
  label?: Label,
  options: InverseOptions = {},
): Promise<tf.Tensor4D> {
  const { guidance, onProgress, signal, onBlock } = options;
  const { config } = flow;
  checkLatents(flow, z);
  if (guidance) {
    checkGuidance(config, guidance);
    if (guidanceIsIdle(config, guidance)) {
      process.emitWarning(
        'Guidance does nothing here: the model has no classes, and the attention temperature is 1. ' +
          'Set guidance.temperature to guide an unconditional model.',
        { type: 'TarflowWarning' },
      );
    }
  }
  const batch = z.shape[0];
  const total = (tokenCount(config) - 1) * config.blocks;
  let done = 0;
  let lastYield = Date.now();

  const classes = classMixture(config, label, batch);
  let x = z.clone();
  try {
    for (const block of flowBlocks(flow).reverse()) {
      const guided = guidedBlock(block, batch, classes, guidance);
      const permuted = tf.tidy(() => permute(block, x.clone()));
      try {
        const solved = await invertSequential(guided, permuted, async () => {
          done++;
          signal?.throwIfAborted();
          if (onProgress || signal) {
            const now = Date.now();
            // Let timers and signals run, a few times a second.
            if (now - lastYield > 100) {
              onProgress?.({ done, total, block: block.index });
              await new Promise(setImmediate);
              lastYield = Date.now();
              signal?.throwIfAborted();
            }
          }
        });
        x.dispose();
        x = tf.tidy(() => permute(block, solved.clone()));
        solved.dispose();
        onBlock?.(x, block.index);
      } finally {
        guided.dispose();
        permuted.dispose();
      }
    }
    onProgress?.({ done, total, block: 0 });
    return unpatchify(config, x);
  } finally {
    x.dispose();
    classes?.dispose();
  }
}

function checkLatents(flow: TarFlow, z: tf.Tensor): void {
  const expected = [tokenCount(flow.config), tokenWidth(flow.config)];
  if (z.rank !== 3 || z.shape[1] !== expected[0] || z.shape[2] !== expected[1]) {
    throw new UserError(
      `Latents of shape (${z.shape.join(', ')}) came`,
      `This model takes (batch, ${expected.join(', ')})`,
    );
  }
}
