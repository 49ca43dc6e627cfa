import { tf, tidy } from '../src/core/tf.js';
import { disposeModel } from '../src/flow/flow.js';
import { type LoadedModel, loadCheckpoint } from '../src/models/load-checkpoint.js';
import { tokenCount } from '../src/models/tarflow/config.js';
import { imagesOf, type TarFlow, tarflow } from '../src/models/tarflow/index.js';
import { executionOf, executionText } from '../src/sampling/guidance/execution.js';
import { currentMachine } from '../src/sampling/planner/machine.js';
import { sampleNoise } from '../src/sampling/sample.js';
import {
  type BlockPassage,
  type BlockPassages,
  blockPassages,
} from '../src/sampling/study/convergence.js';
import { committedCheckpoint } from './committed-run.js';

/**
 * The subject of a study of solvers: a class-conditional flow from `results/`, some noise, and what
 * each block makes of it in sequential sampling without guidance.
 */
export interface Subject {
  /** Its length, for example '1,024 tokens'. */
  title: string;
  /** The name of its checkpoint. */
  checkpoint: string;
  flow: LoadedModel<TarFlow>;
  tokens: number;
  batch: number;
  /** A class for each sample: 0, 1, 2, … in turn. */
  label: number[];
  /** Noise (batch, T, D). */
  noise: tf.Tensor3D;
  passages: BlockPassages;
  /** The samples (batch, channels, height, width). */
  exact: tf.Tensor4D;
  /** The blocks in the order of sampling, from the noise to the data. */
  inOrder: number[];
  /** The block inverted first. */
  first: number;
  /** How and on what `inverse` runs it by default, without which times say little. */
  execution: string;
}

/**
 * Loads a flow from `results/` and samples from it.
 *
 * @param checkpoint its name
 * @param seed of the noise
 * @returns what the caller frees with {@link disposeSubject}
 * @throws UserError as `loadCheckpoint` does, and for a flow without classes
 */
export async function loadSubject(
  checkpoint: string,
  { batch, seed }: { batch: number; seed: number },
): Promise<Subject> {
  const flow = await loadCheckpoint(committedCheckpoint(checkpoint), { family: tarflow });
  const { config } = flow;
  const tokens = tokenCount(config);
  const label = Array.from({ length: batch }, (_, i) => i % Math.max(1, config.classes));
  const noise = sampleNoise(flow, seed, 0, batch);
  const passages = await blockPassages(flow, noise, { label }).catch((error: unknown) => {
    noise.dispose();
    disposeModel(flow);
    throw error;
  });
  const { engine, threads } = currentMachine();
  const execution = executionText(
    engine,
    executionOf(passages.blocks.map(({ guided }) => guided.block)),
  );
  return {
    title: `${tokens.toLocaleString('en-US')} tokens`,
    checkpoint,
    flow,
    tokens,
    batch,
    label,
    noise,
    passages,
    // The block nearest the data reads its tokens in the order of the image.
    exact: tidy(() => imagesOf(config, (passages.blocks[0] as BlockPassage).x)),
    inOrder: passages.blocks.map((_, block) => block).reverse(),
    first: config.blocks - 1,
    execution: `${execution}, ${threads} thread${threads === 1 ? '' : 's'}`,
  };
}

/** Frees what {@link loadSubject} made. */
export function disposeSubject({ flow, noise, passages, exact }: Subject): void {
  passages.dispose();
  tf.dispose([noise, exact]);
  disposeModel(flow);
}

/** The name of a block in tables and charts: its index from the data, and whether it is first. */
export function blockName({ first }: Pick<Subject, 'first'>, block: number): string {
  return `block ${block}${block === first ? ' (first)' : ''}`;
}

/**
 * The passage of a block, by its index from the data.
 * @throws RangeError if there is no such block
 */
export function passageOf({ passages }: Pick<Subject, 'passages'>, block: number): BlockPassage {
  const passage = passages.blocks[block];
  if (!passage) {
    throw new RangeError(
      `There is no block ${block}. Expected 0, nearest the data, to ${passages.blocks.length - 1}.`,
    );
  }
  return passage;
}

/**
 * How many samples stand behind each figure of a study, for a claim's record: those of the subject whose
 * title the figure's name has, or else of all subjects, one after the other.
 *
 * @param figures by their names
 * @param describe what is said of a subject; default: its samples, as in '8 samples'
 */
export function samplesBehind<S extends Pick<Subject, 'title' | 'batch'>>(
  subjects: readonly S[],
  figures: Readonly<Record<string, unknown>>,
  describe: (subject: S) => string = ({ batch }) => `${batch} samples`,
): Record<string, string> {
  const all = subjects.map((subject) => `${subject.title}: ${describe(subject)}`).join('; ');
  // '256 tokens' is no part of '1,256 tokens'.
  const names = (title: string) => new RegExp(`(^|[^\\d,])${title.replaceAll(',', ',?')}`);
  const behind = (name: string) => {
    const own = subjects.find(({ title }) => names(title).test(name));
    return own ? describe(own) : all;
  };
  return Object.fromEntries(Object.keys(figures).map((name) => [name, behind(name)]));
}
