import { existsSync } from 'node:fs';
import { tf, tidy } from '../../src/core/tf.js';
import { tokenCount } from '../../src/flow/patches.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { type LoadedModel, loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { imagesOf, type TarFlow, tarflow } from '../../src/models/tarflow/index.js';
import { currentMachine } from '../../src/sampling/planner/machine.js';
import { sampleNoise } from '../../src/sampling/sample.js';
import {
  type Execution,
  executionOf,
  executionText,
  plainExecution,
} from '../../src/sampling/solvers/execution.js';
import { type BlockTrace, solveBlock } from '../../src/sampling/solvers/solve-block.js';
import type { Solver } from '../../src/sampling/solvers/solvers.js';
import {
  type BlockTrajectory,
  samplingTrajectory,
  type Trajectory,
} from '../../src/sampling/study/trajectories.js';
import { committedCheckpoint } from '../records/training-run.js';

/**
 * The subject of a study of solvers: a flow, some noise, and what
 * each block makes of it in sequential sampling without guidance.
 */
export interface Subject {
  /** Its length, for example '1,024 tokens'. */
  title: string;
  /** The name or file of its checkpoint. */
  checkpoint: string;
  flow: LoadedModel<TarFlow>;
  tokens: number;
  batch: number;
  /** A class for each sample, 0, 1, 2, … in turn; none where the flow has no classes. */
  label: number[];
  /** Noise (batch, T, D). */
  noise: tf.Tensor3D;
  trajectory: Trajectory;
  /** The samples (batch, channels, height, width). */
  exact: tf.Tensor4D;
  /** The blocks in the order of sampling, from the noise to the data. */
  inOrder: number[];
  /** The block inverted first. */
  first: number;
  /** How and on what `inverse` runs it by default, without which times say little. */
  execution: string;
}

function checkpointFile(checkpoint: string): string {
  return existsSync(checkpoint) ? checkpoint : committedCheckpoint(checkpoint);
}

/**
 * Loads a flow and samples from it.
 *
 * @param checkpoint its name in `results/`, or a file, also a published one
 * @param seed of the noise
 * @returns what the caller frees with {@link disposeSubject}
 * @throws UserError as `loadCheckpoint` does
 */
export async function loadSubject(
  checkpoint: string,
  { batch, seed }: { batch: number; seed: number },
): Promise<Subject> {
  const flow = await loadCheckpoint(checkpointFile(checkpoint), { family: tarflow });
  const { config } = flow;
  const tokens = tokenCount(config);
  const label = Array.from(
    { length: config.classes > 0 ? batch : 0 },
    (_, i) => i % config.classes,
  );
  const noise = sampleNoise(flow, seed, 0, batch);
  const trajectory = await samplingTrajectory(flow, noise, {
    label: label.length > 0 ? label : undefined,
  }).catch((error: unknown) => {
    noise.dispose();
    disposeModel(flow);
    throw error;
  });
  const { engine, threads } = currentMachine();
  const execution = executionText(engine, executionOf(trajectory.blocks.map(({ block }) => block)));
  return {
    title: `${tokens.toLocaleString('en-US')} tokens`,
    checkpoint,
    flow,
    tokens,
    batch,
    label,
    noise,
    trajectory,
    // The block nearest the data reads its tokens in the order of the image.
    exact: tidy(() => imagesOf(config, (trajectory.blocks[0] as BlockTrajectory).x)),
    inOrder: trajectory.blocks.map((_, block) => block).reverse(),
    first: config.blocks - 1,
    execution: `${execution}, ${threads} thread${threads === 1 ? '' : 's'}`,
  };
}

/** Frees what {@link loadSubject} made. */
export function disposeSubject({ flow, noise, trajectory, exact }: Subject): void {
  trajectory.dispose();
  tf.dispose([noise, exact]);
  disposeModel(flow);
}

/**
 * The trajectory of a run through a block, by its index from the data.
 * @throws RangeError if there is no such block
 */
export function trajectoryOf(
  { trajectory }: Pick<Subject, 'trajectory'>,
  block: number,
): BlockTrajectory {
  const found = trajectory.blocks[block];
  if (!found) {
    throw new RangeError(
      `There is no block ${block}. Expected 0, nearest the data, to ${trajectory.blocks.length - 1}.`,
    );
  }
  return found;
}

/**
 * Inverts the blocks from one of them to the data, all by one solver.
 *
 * @param from the block that is inverted first here
 * @param z what it is given (batch, T, D), in its order; not disposed
 * @param loops how sequential blocks are executed; operation by operation where absent, as
 *   iterations always are, so that what is evaluated is least
 * @returns the images, which the caller frees, and a trace of each block in the order of sampling
 */
export async function continueSampling(
  subject: Subject,
  from: number,
  z: tf.Tensor3D,
  solver: Solver,
  loops?: Execution,
): Promise<{ images: tf.Tensor4D; traces: BlockTrace[] }> {
  const traces: BlockTrace[] = [];
  let given = z.clone();
  for (let index = from; index >= 0; index--) {
    const { block, conditions } = trajectoryOf(subject, index);
    const execution = solver.kind === 'sequential' && loops ? loops : plainExecution;
    const { tokens, trace } = await solveBlock(block, given, solver, { conditions, execution });
    traces.push(trace);
    given.dispose();
    given = tidy(() => {
      const raster = block.order(tokens, true);
      // What leaves block 0 is in raster order; another block reads in its own.
      if (index === 0) return raster.clone();
      return trajectoryOf(subject, index - 1)
        .block.order(raster)
        .clone();
    });
    tokens.dispose();
  }
  const images = tidy(() => imagesOf(subject.flow.config, given));
  given.dispose();
  return { images, traces };
}
