import {
  contextTensors,
  type NamedContext,
  type Numbered,
  numbered,
} from '../conditions/context.js';
import type { ExecutionOptions } from '../core/engine.js';
import { checkGiven, UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import type { AutoregressiveBlock } from '../flow/autoregressive.js';
import type { Model } from '../flow/model.js';
import { ability, blocksOf, lacking } from '../flow/model.js';
import { checkGuided } from './check-guidance.js';
import { type Guidance, withGuidance } from './guidance.js';
import { executionOf } from './solvers/execution.js';
import { type BlockTrace, brokenSample, solveUnchecked } from './solvers/solve-block.js';
import { type Solver, solversOfBlocks } from './solvers/solvers.js';

/** How far an inversion is. */
export interface InverseProgress {
  /** Tokens solved and tokens to solve, over all blocks; a solver may solve many in a step. */
  done: number;
  total: number;
  /** The block being inverted, by index from the data. */
  block: number;
}

export interface InverseOptions extends ExecutionOptions, NamedContext {
  guidance?: Guidance | undefined;
  /**
   * How blocks are solved: one for all, or one per block by index from the data. Default
   * sequential.
   */
  solver?: Solver | readonly Solver[];
  /** Called with a record of how each block was solved: iterations, residuals, time, memory. */
  onTrace?: (trace: BlockTrace) => void;
  /** Called between two steps of a solver, some ten times a second at most, with the tokens solved so far. */
  onProgress?: (progress: InverseProgress) => void;
  /** Stops the inversion between two steps; the promise then rejects with the signal's reason. */
  signal?: AbortSignal;
  /**
   * Called with the input of each block, once it is solved: (batch, T, D) in raster order. The callback
   * does not own the tensor.
   */
  onBlock?: (tokens: tf.Tensor3D, block: number) => void;
}

/**
 * Noise to data, the generative direction: blocks from the last to the first, each token by token
 * with a key/value cache (TarFlow, section 3.1), or by the solver given. The exact inverse of
 * `forward` where no guidance is given and the solver is sequential or has tolerance 0.
 *
 * @param z noise (batch, T, D), as `forward` returns it
 * @returns images (batch, channels, height, width); the caller frees them
 * @throws UserError where noise, labels, captions, guidance or solvers do not fit the model, where guidance
 *   would change nothing (see `Guidance`), and where a number of the noise is not finite
 *
 * @example
 * ```ts
 * import { createModel, forward, inverse, startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const { z } = forward(flow, tf.randomUniform([1, 1, 8, 8], -1, 1));
 * const images = await inverse(flow, z, {
 *   solver: { kind: 'jacobi', tolerance: 1e-3 },
 *   onTrace: ({ block, iterations }) => console.log(block, iterations.length),
 * });
 * console.log(images.shape); // [ 1, 1, 8, 8 ]: the image again, but for the tolerance
 * ```
 */
export async function inverse(
  flow: Model,
  z: tf.Tensor3D,
  asked: InverseOptions = {},
): Promise<tf.Tensor4D> {
  const options = numbered(flow, asked);
  checkGiven('What stands for noise', z, 'shape', 'dtype');
  checkLatents(flow, z);
  if (flow.family.blocks) return inverseThroughBlocks(flow, z, options);
  const { generate } = flow.family;
  // Both are about blocks, which such a family does not have.
  if (options.solver || options.guidance) blocksOf(flow);
  if (!generate) throw lacking(flow.family, 'prior');
  const { label, signal, onProgress } = options;
  const images = await generate(flow, z, { label, signal });
  onProgress?.({ done: 1, total: 1, block: 0 });
  return images;
}

/** Throws where the noise's shape is not the model's, or a number is not finite. */
function checkLatents({ family, config }: Model, z: tf.Tensor): void {
  const sample = brokenSample(ability(family, 'prior').shape(config), z, 'model');
  if (sample === undefined) return;
  throw new UserError(
    `The latent of sample ${sample} is not finite`,
    'Every number of the noise has to be finite',
  );
}

async function inverseThroughBlocks(
  flow: Model,
  z: tf.Tensor3D,
  options: Numbered<InverseOptions>,
): Promise<tf.Tensor4D> {
  const { guidance, solver: asked = { kind: 'sequential' }, onTrace, onBlock } = options;
  const { config, family } = flow;
  const blocks = blocksOf(flow);
  const solvers = solversOfBlocks(blocks, asked);
  checkGuided(flow, options);
  const batch = z.shape[0];
  const execution = executionOf(blocks, options);
  const reporter = stepReporter(blocks, options);
  const conditions = contextTensors(config, options, batch);
  let x = z.clone();
  try {
    for (const block of [...blocks].reverse()) {
      const guided = withGuidance(block, batch, conditions, guidance);
      const permuted = tidy(() => block.order(x.clone()));
      try {
        const solver = solvers[block.index] as Solver;
        const { tokens, trace } = await solveUnchecked(guided.block, permuted, solver, {
          conditions: guided.conditions,
          execution,
          onStep: (solved) => reporter(block.index, solved - block.given),
        });
        x.dispose();
        x = tidy(() => block.order(tokens.clone(), true));
        tokens.dispose();
        onTrace?.(trace);
        onBlock?.(x, block.index);
      } finally {
        tf.dispose([permuted, guided.conditions]);
      }
    }
    return ability(family, 'tokens').images(config, x);
  } finally {
    x.dispose();
    tf.dispose(Object.values(conditions));
  }
}

/**
 * What is awaited after each step of a solver: it stops by the signal, reports progress and lets
 * timers run, a few times a second.
 */
function stepReporter(
  blocks: readonly AutoregressiveBlock[],
  { onProgress, signal }: InverseOptions,
): (block: number, solved: number) => Promise<void> | void {
  const [{ tokens, given }] = blocks as [AutoregressiveBlock];
  const steps = tokens - given;
  let lastYield = performance.now();
  return (block, solved) => {
    signal?.throwIfAborted();
    if (!onProgress && !signal) return;
    const done = steps * (blocks.length - 1 - block) + solved;
    const total = steps * blocks.length;
    if (done < total && performance.now() - lastYield <= 100) return;
    onProgress?.({ done, total, block });
    return new Promise<void>((resolve, reject) => {
      setTimeout(() => {
        lastYield = performance.now();
        if (signal?.aborted) reject(signal.reason as Error);
        else resolve();
      });
    });
  };
}
