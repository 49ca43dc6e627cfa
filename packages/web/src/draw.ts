import { contextTensors, type NamedContext, numbered } from '../../../src/conditions/context.js';
import { tf, tidy } from '../../../src/core/tf.js';
import type { AutoregressiveBlock } from '../../../src/flow/autoregressive.js';
import { ability, blocksOf, type Model } from '../../../src/flow/model.js';
import { checkGuided } from '../../../src/sampling/check-guidance.js';
import { checkDenoising, denoised } from '../../../src/sampling/denoise.js';
import {
  type ConditionedBlock,
  type Guidance,
  withGuidance,
} from '../../../src/sampling/guidance.js';
import { sampleNoise } from '../../../src/sampling/sample.js';
import { plainExecution } from '../../../src/sampling/solvers/execution.js';
import { givenTokens, solveSequentially } from '../../../src/sampling/solvers/sequential/steps.js';
import { solveUnchecked } from '../../../src/sampling/solvers/solve-block.js';
import { type Solver, solversOfBlocks } from '../../../src/sampling/solvers/solvers.js';

/** What is seen after a step: a token more, or a sweep of Jacobi over all of them. */
export interface DrawingStep {
  /** The block that is being inverted, by index from the data: the last one is the first. */
  block: number;
  /** Steps of this block so far, this one included. */
  steps: number;
  /** Tokens of the block that are final, in the block's order, and how many it has. */
  solved: number;
  tokens: number;
  /** Which tokens are final: the rank of each in the block's order, row by row of the image. */
  order: readonly number[];
  /** The iterate as images (count, channels, height, width). */
  pixels: Float32Array;
}

export interface DrawOptions extends NamedContext {
  /** How many images. Default 1. */
  count?: number;
  guidance?: Guidance | undefined;
  /** Same seed, same images, as `sample` draws them. Default 0. */
  seed?: number;
  /** How blocks are solved: token by token (the default), or by an iteration, such as Jacobi's. */
  solver?: Solver;
  /** One denoising step at the end for the noise of training. Default none. */
  denoise?: { sigma: number; multiplier?: number };
  /** Awaited after each step: time for the page to paint. What it throws stops the drawing. */
  onStep?: (step: DrawingStep) => Promise<void> | void;
}

/**
 * Draws images as `sample` does, and shows every step on the way.
 *
 * @returns images (count, channels, height, width), not clipped; the caller frees them
 * @throws UserError where labels, guidance or solver do not fit the model
 *
 * @example
 * ```ts
 * import { draw, loadCheckpoint, startEngine } from 'tarflow/web';
 *
 * await startEngine();
 * const flow = await loadCheckpoint('fashion-mnist-conditional-8x2.safetensors');
 * const images = await draw(flow, {
 *   label: 'Dress',
 *   guidance: { weight: 1.5 },
 *   seed: 7,
 *   onStep: ({ block, solved, tokens }) => console.log(block, `${solved} of ${tokens}`),
 * });
 * ```
 */
export async function draw(flow: Model, asked: DrawOptions = {}): Promise<tf.Tensor4D> {
  const options = numbered(flow, asked);
  const { count = 1, guidance, seed = 0, solver = { kind: 'sequential' }, onStep } = options;
  const blocks = blocksOf(flow);
  const solvers = solversOfBlocks(blocks, solver);
  checkGuided(flow, options);
  if (options.denoise) checkDenoising(flow, options.denoise);
  const tokens = ability(flow.family, 'tokens');
  const conditions = contextTensors(flow.config, options, count);
  let x = sampleNoise(flow, seed, 0, count);
  try {
    for (const block of [...blocks].reverse()) {
      const guided = withGuidance(block, count, conditions, guidance);
      const z = tidy(() => block.order(x.clone()));
      const report = async (iterate: tf.Tensor3D, solved: number, steps: number) => {
        const images = tidy(() => tokens.images(flow.config, block.order(iterate.clone(), true)));
        const pixels = (await images.data()) as Float32Array;
        images.dispose();
        const order = rasterRanks(block);
        await onStep?.({ block: block.index, steps, solved, tokens: block.tokens, order, pixels });
      };
      try {
        const own = solvers[block.index] as Solver;
        const solve = own.kind === 'sequential' ? tokenByToken : byIteration;
        const solved = await solve(guided, z, own, onStep && report);
        x.dispose();
        x = tidy(() => block.order(solved.clone(), true));
        solved.dispose();
      } finally {
        tf.dispose([z, guided.conditions]);
      }
    }
    const images = tokens.images(flow.config, x);
    if (!options.denoise) return images;
    const clean = denoised(flow, images, { ...options, ...options.denoise });
    images.dispose();
    return clean;
  } finally {
    x.dispose();
    tf.dispose(Object.values(conditions));
  }
}

type Report = (iterate: tf.Tensor3D, solved: number, steps: number) => Promise<void>;

/** The rank of each token in a block's order, row by row of the image. */
function rasterRanks({ tokens, direction }: AutoregressiveBlock): number[] {
  return Array.from({ length: tokens }, (_, t) => (direction === 'forward' ? t : tokens - 1 - t));
}

/** The sequential solver, one token a call, so that what is known can be seen after each. */
async function tokenByToken(
  { block, conditions }: ConditionedBlock,
  z: tf.Tensor3D,
  _solver: Solver,
  report?: Report,
): Promise<tf.Tensor3D> {
  const context = { conditions, execution: plainExecution };
  let tokens = givenTokens(block, z);
  let known: { cache?: Awaited<ReturnType<typeof solveSequentially>>['cache']; cached: number } = {
    cached: 0,
  };
  try {
    for (let end = block.given + 1; end <= block.tokens; end++) {
      const result = await solveSequentially(block, z, { tokens, ...known }, end, context);
      tf.dispose([tokens, known.cache ?? []]);
      tokens = result.tokens;
      known = { cache: result.cache, cached: end - 1 };
      if (!report) continue;
      const whole = tidy(() => tf.concat([tokens, tf.slice(z, [0, end, 0])], 1));
      await report(whole, end, end - block.given).finally(() => whole.dispose());
    }
    return tokens.clone();
  } finally {
    tf.dispose([tokens, known.cache ?? []]);
  }
}

/** Any other solver, with its iterates. */
async function byIteration(
  { block, conditions }: ConditionedBlock,
  z: tf.Tensor3D,
  solver: Solver,
  report?: Report,
): Promise<tf.Tensor3D> {
  let iterate = z.clone();
  let steps = 0;
  try {
    const { tokens } = await solveUnchecked(block, z, solver, {
      ...{ conditions, execution: plainExecution },
      onIterate(seen) {
        iterate.dispose();
        iterate = seen.clone();
      },
      onStep: (solved) => report?.(iterate, solved, ++steps),
    });
    return tokens;
  } finally {
    iterate.dispose();
  }
}
