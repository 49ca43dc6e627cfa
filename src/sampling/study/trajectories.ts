import { contextTensors, type NamedContext, numbered } from '../../conditions/context.js';
import type { ExecutionOptions } from '../../core/engine.js';
import { tf, tidy } from '../../core/tf.js';
import type { Model } from '../../flow/model.js';
import { blocksOf } from '../../flow/model.js';
import { type ConditionedBlock, type Guidance, withGuidance } from '../guidance.js';
import { inverse } from '../inverse.js';

/**
 * A sampling run's way through a block: the block, guided where the run is, with its conditions, and its
 * output and its input, both in the block's order of tokens.
 */
export interface BlockTrajectory extends ConditionedBlock {
  /** The block's output (batch, T, D): what a solver is given. */
  z: tf.Tensor3D;
  /** The block's input (batch, T, D), solved token by token: what a solver is to find. */
  x: tf.Tensor3D;
}

/** A sampling run's way through all blocks, by index from the data. */
export interface Trajectory {
  blocks: BlockTrajectory[];
  dispose(): void;
}

/**
 * Samples sequentially and keeps what each block was given and what it gave, to try other solvers
 * on single blocks.
 *
 * @param z noise (batch, T, D)
 * @returns what the caller disposes of
 * @throws UserError as `inverse` does
 */
export async function samplingTrajectory(
  flow: Model,
  z: tf.Tensor3D,
  options: ExecutionOptions & NamedContext & { guidance?: Guidance | undefined } = {},
): Promise<Trajectory> {
  const { label, text, guidance, mode, precision } = numbered(flow, options);
  const [batch] = z.shape;
  const solved: tf.Tensor3D[] = [];
  try {
    const images = await inverse(flow, z, {
      label,
      text,
      guidance,
      mode,
      precision,
      onBlock: (tokens) => solved.push(tokens.clone()),
    });
    images.dispose();
    const blocks = tidy(() => {
      const conditions = contextTensors(flow.config, { label, text }, batch);
      return blocksOf(flow).map((block): BlockTrajectory => {
        const after = block.cost.stack - 1 - block.index;
        return {
          ...withGuidance(block, batch, conditions, guidance),
          z: block.order((solved[after - 1] ?? z).clone()),
          x: block.order((solved[after] as tf.Tensor3D).clone()),
        };
      });
    });
    return {
      blocks,
      dispose: () => {
        for (const { conditions, z: output, x } of blocks) tf.dispose([conditions, output, x]);
      },
    };
  } finally {
    tf.dispose(solved);
  }
}
