import { tf } from '../backend/tf.js';
import { permute } from '../flow/block.js';
import { tokenCount } from '../flow/config.js';
import { classMixture, type Label } from '../flow/labels.js';
import { flowBlocks, imagesOf, type TarFlow } from '../flow/tarflow.js';
import { type ExecutionOptions, executionOf } from './execution.js';
import { checkGuidance, type Guidance, guidanceIsIdle, guidedBlock } from './guidance.js';
import { checkLatents } from './latents.js';
import { solveUnchecked } from './solve-block.js';
import { type Solver, solversOfBlocks } from './solver.js';
import type { BlockTrace } from './trace.js';

/** How far an inversion is. */
export interface InverseProgress {
  /** Tokens solved and tokens to solve, over all blocks; a solver may solve many in a step. */
  done: number;
  total: number;
  /** The block being inverted, by index from the data. */
  block: number;
}

export interface InverseOptions extends ExecutionOptions {
  guidance?: Guidance;
  /**
   * How blocks are solved: one for all, or one per block by index from the data. Default
   * sequential.
   */
  solver?: Solver | readonly Solver[];
  /** Called with a record of how each block was solved: iterations, residuals, time, memory. */
  onTrace?: (trace: BlockTrace) => void;
  /** Called as the inversion proceeds; it runs between steps. */
  onProgress?: (progress: InverseProgress) => void;
  /** Stops the inversion between two steps; the promise then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called with the output of each inverted block (batch, T, D), which it does not own. */
  onBlock?: (tokens: tf.Tensor3D, block: number) => void;
}

/**
 * Noise to data, the generative direction: blocks from the last to the first, each token by token
 * with a key/value cache (TarFlow, section 3.1), or by the solver given. The exact inverse of
 * `forward` where no guidance is given and the solver is sequential or has tolerance 0.
 *
 * ```ts
 * const images = await inverse(flow, z, labels, {
 *   guidance: { weight: 1 },
 *   solver: selectiveJacobi(flow.config, { tolerance: 1e-3 }),
 *   onTrace: ({ block, iterations }) => console.log(block, iterations.length),
 * });
 * ```
 *
 * @param z latents (batch, T, D), as `forward` returns them
 * @param label class per sample; absent reads as the mean of all classes
 * @returns images (batch, channels, height, width); the caller frees them
 * @throws UserError where latents, labels, guidance or solvers do not fit the model, and where a
 *   latent is not finite
 */
export async function inverse(
  flow: TarFlow,
  z: tf.Tensor3D,
  label?: Label,
  options: InverseOptions = {},
): Promise<tf.Tensor4D> {
  const { guidance, solver = { kind: 'sequential' }, onTrace, onBlock } = options;
  const { config } = flow;
  checkLatents(config, z);
  const solvers = solversOfBlocks(config, solver);
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
  const execution = executionOf(config, options);
  const reporter = stepReporter(tokenCount(config) - 1, config.blocks, options);
  const classes = classMixture(config, label, batch);
  let x = z.clone();
  try {
    for (const block of flowBlocks(flow).reverse()) {
      const guided = guidedBlock(block, batch, classes, guidance, execution);
      const permuted = tf.tidy(() => permute(block, x.clone()));
      try {
        const { tokens, trace } = await solveUnchecked(
          guided,
          permuted,
          solvers[block.index] as Solver,
          { onStep: (solved) => reporter(block.index, solved - 1) },
        );
        x.dispose();
        x = tf.tidy(() => permute(block, tokens.clone()));
        tokens.dispose();
        onTrace?.(trace);
        onBlock?.(x, block.index);
      } finally {
        guided.dispose();
        permuted.dispose();
      }
    }
    return imagesOf(config, x);
  } finally {
    x.dispose();
    classes?.dispose();
  }
}

/**
 * What is awaited after each step of a solver: it stops by the signal, reports progress and lets
 * timers run, a few times a second.
 */
function stepReporter(
  steps: number,
  blocks: number,
  { onProgress, signal }: InverseOptions,
): (block: number, solved: number) => Promise<void> | void {
  let lastYield = Date.now();
  return (block, solved) => {
    signal?.throwIfAborted();
    if (!onProgress && !signal) return;
    const done = steps * (blocks - 1 - block) + solved;
    const total = steps * blocks;
    if (done < total && Date.now() - lastYield <= 100) return;
    onProgress?.({ done, total, block });
    return new Promise<void>((resolve, reject) => {
      setImmediate(() => {
        lastYield = Date.now();
        if (signal?.aborted) reject(signal.reason as Error);
        else resolve();
      });
    });
  };
}
