import {
  batchParts,
  createProgram,
  type Feed,
  type Mode,
  type Packing,
  type Precision,
  type ProgramFunctions,
  type TensorSpec,
  tensorSpec,
  xlaIsAtHand,
} from '@tarflow/graph';
import { currentEngine } from '../core/engine.js';
import { tf, tidy } from '../core/tf.js';
import { grouped, type Leaves, leaves } from '../core/tree.js';
import type { Feeds } from '../flow/model.js';
import type { ModelSpec } from './model-spec.js';
import type { TrainingSettings } from './settings.js';
import { stateOf } from './state.js';
import {
  applyStep,
  evaluationStep,
  gradientStep,
  packingOf,
  type Rates,
  type StepOptions,
  trainingStep,
} from './step.js';

/** XLA compiles for up to half a minute, and so it is worth it for as many steps only. */
export const longRun = 2000;

/**
 * Up to how many multiplications of a square weight matrix with a batch's rows a step gains by XLA
 * on a processor; above, it takes as long as the graph, and up to 1.7 times its memory. XLA's
 * products of bfloat16 matrices are slower than the graph's.
 */
const largestProduct: Record<Precision, number> = { float32: 2 ** 26, bfloat16: 2 ** 24 };

/** How a training step is fastest on a processor, what compiles it left aside. */
export function fastestMode(
  { family: { flow }, config }: Pick<ModelSpec, 'family' | 'config'>,
  { batchSize, precision }: Pick<TrainingSettings, 'batchSize' | 'precision'>,
): 'xla' | 'graph' {
  if (!flow) return 'graph';
  const product = batchSize * flow.rows(config) * flow.width(config) ** 2;
  return product <= largestProduct[precision] ? 'xla' : 'graph';
}

/** How a run's steps run where nothing else is asked for. */
export function usualMode(spec: ModelSpec, settings: TrainingSettings): Mode {
  if (currentEngine().engine !== 'tensorflow') return 'eager';
  return settings.steps >= longRun && xlaIsAtHand() ? fastestMode(spec, settings) : 'graph';
}

/** What a run computes, over one state: its steps, and losses on other samples. */
export interface TrainingProgram {
  /**
   * A step of an objective, by its name.
   * @returns its loss, its terms and `gradientNorm`, which the caller frees
   */
  train(objective: string, feeds: Feeds, rates: Rates): Promise<Leaves>;
  /**
   * An objective on other samples; nothing changes.
   * @returns its loss and those of its terms that are scalars, which the caller frees
   */
  evaluate(objective: string, feeds: Feeds): Leaves;
  /** The state, with a tensor for each leaf, which the caller frees. */
  read(): Leaves;
  dispose(): void;
}

/**
 * Means over all processes that train a model together, of named tensors. Each process calls it as
 * often, with the same names and shapes, and frees what it gave and what it got.
 */
export type MeanOverProcesses = (tensors: Leaves) => Leaves | Promise<Leaves>;

/** What a training program is made for. */
export interface TrainingProgramOptions {
  /** Samples of a step in this process. */
  batchSize: number;
  /** Samples that are evaluated together; absent where none are. */
  heldOut?: number | undefined;
  step: StepOptions;
  /** Default: what the engine does best. */
  mode?: Mode | undefined;
  precision: Precision;
  /** What losses read and nothing changes, by the names of their objectives. Default: nothing. */
  fixed?: Readonly<Record<string, Leaves>> | undefined;
  /** Present where several processes train together, each with its share of a batch. */
  mean?: MeanOverProcesses | undefined;
}

type Specs = Record<string, TensorSpec>;
type Functions = ProgramFunctions<Record<string, Specs>>;

/**
 * The functions of a run, ready to call. A process that trains alone has one function for a step: a
 * gradient and its application in one graph. With `mean` these are two functions, and the mean over
 * the processes is taken between them.
 *
 * @param state as `initialState` makes it; the program has a copy
 */
export function trainingProgram(
  spec: ModelSpec,
  state: Leaves,
  options: TrainingProgramOptions,
): TrainingProgram {
  const { mode, precision, mean, fixed = {} } = options;
  const packing = packingOf(spec, mode);
  const changing = ofEachKind(state, (tensors) => packing.pack(tensors));
  const variables = { ...changing, ...leaves({ fixed }) };
  try {
    const { functions, description } = functionsOf(spec, packing, variables, options);
    const program = createProgram<Record<string, Specs>, Functions>({
      variables,
      functions,
      ...(mode && { mode }),
      precision,
      description,
    });
    const call = (kind: Kind, objective: string, feeds: Record<string, Feed>): Leaves => {
      const run = program.run[functionName(spec, kind, objective)];
      return (run as (feeds: Record<string, Feed>) => Leaves)(feeds);
    };
    return {
      async train(objective, feeds, rates) {
        if (!mean) return call('train', objective, { ...feeds, ...rates });
        const own = call('gradient', objective, feeds);
        let found: Leaves = {};
        try {
          found = await mean(own);
          const { terms = {}, gradient, buffers } = grouped(found);
          const applied = call('apply', objective, { ...leaves({ gradient }), ...rates });
          program.assign(leaves({ buffers }));
          const kept = Object.entries(terms).map(([name, term]) => [name, term.clone()]);
          return { ...Object.fromEntries(kept), ...applied };
        } finally {
          tf.dispose([own, found]);
        }
      },
      evaluate: (objective, feeds) => call('evaluate', objective, feeds),
      read() {
        const held = program.read(Object.keys(changing));
        try {
          return ofEachKind(held, (tensors) => packing.unpack(tensors));
        } finally {
          tf.dispose(held);
        }
      },
      dispose: () => program.dispose(),
    };
  } finally {
    tf.dispose(changing);
  }
}

/** A state with `change` applied to each kind of its tensors. The tensors are new. */
function ofEachKind(state: Leaves, change: (tensors: Leaves) => Leaves): Leaves {
  return tidy(() => {
    const kinds = Object.entries(stateOf(state)).map(([kind, held]) => [kind, change(held)]);
    const all = Object.entries(leaves(Object.fromEntries(kinds)));
    return Object.fromEntries(all.map(([name, tensor]) => [name, tf.clone(tensor)]));
  });
}

type Kind = 'train' | 'gradient' | 'apply' | 'evaluate';

function functionName({ tasks }: ModelSpec, kind: Kind, objective: string): string {
  return tasks.length === 1 ? kind : `${kind}_${objective}`;
}

const scalar = tensorSpec([]);

function rateSpecsOf({ averages }: StepOptions): Specs {
  return {
    learningRate: scalar,
    firstCorrection: scalar,
    secondCorrection: scalar,
    ...(averages && { averageShare: scalar }),
  };
}

/** The functions by name, and in words all that they depend on beside their source and shapes. */
function functionsOf(
  spec: ModelSpec,
  packing: Packing,
  variables: Leaves,
  { batchSize, heldOut, step, mode, mean }: TrainingProgramOptions,
): { functions: Functions; description: string } {
  const { config, tasks, family } = spec;
  const rows = family.flow?.rows(config) ?? 1;
  const parts = batchParts(mode, batchSize, batchSize * rows, 'summed');
  const heldParts = heldOut === undefined ? 1 : batchParts(mode, heldOut, heldOut * rows);
  const rateSpecs = rateSpecsOf(step);
  const parameters = grouped(variables).parameters ?? {};
  const functions: Functions = {};
  for (const task of tasks) {
    const { objective } = task;
    const name = (kind: Kind): string => functionName(spec, kind, objective.name);
    const inputs = objective.inputs(config, batchSize);
    if (mean) {
      const gradient = gradientStep(spec, task, packing, parts);
      functions[name('gradient')] = {
        inputs,
        body: (state, batch) => ({ outputs: gradient(state, batch) }),
      };
      const trained = Object.entries(packing.held(objective.name, parameters));
      const gradientSpecs = trained.map(([leaf, { shape }]) => [
        `gradient.${leaf}`,
        tensorSpec(shape),
      ]);
      functions[name('apply')] = {
        inputs: { ...Object.fromEntries(gradientSpecs), ...rateSpecs },
        body: applyStep(task, packing, step),
      };
    } else {
      const body = trainingStep(spec, task, packing, { ...step, parts });
      functions[name('train')] = { inputs: { ...inputs, ...rateSpecs }, body };
    }
    if (heldOut !== undefined) {
      const body = evaluationStep(spec, task, packing, heldParts);
      functions[name('evaluate')] = { inputs: objective.inputs(config, heldOut), body };
    }
  }
  // The code of our families is part of every description; that of others is told as far as it goes.
  const code = tasks.map(({ objective }) => [objective.name, String(objective.loss)]);
  const forward = String(family.flow?.forward);
  const description = JSON.stringify({ config, code, forward, step, parts, heldParts });
  return { functions, description };
}
