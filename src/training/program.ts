import {
  batchParts,
  createProgram,
  type Feed,
  type Mode,
  type Precision,
  type ProgramFunctions,
  type TensorSpec,
  tensorSpec,
} from '@tarflow/graph';
import { tf } from '../core/tf.js';
import { type Leaves, under, withPrefix } from '../core/tree.js';
import type { Feeds } from '../flow/model.js';
import { bufferName, fixedPrefix, ofTask, prefixes, programState, unpackedState } from './state.js';
import {
  applyStep,
  evaluationStep,
  foundPrefixes,
  gradientStep,
  measured,
  type Rates,
  type RateValues,
  type StepOptions,
  trainingStep,
} from './step.js';
import type { Task, Template } from './template.js';

/** What a run computes, over one state: its steps, and losses on other samples. */
export interface TrainingProgram {
  /**
   * A step of an objective, by its name.
   * @returns its loss, its terms and `gradientNorm`, which the caller frees
   */
  train(objective: string, feeds: Feeds, rates: RateValues): Promise<Leaves>;
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
  template: Template,
  state: Leaves,
  options: TrainingProgramOptions,
): TrainingProgram {
  const { mode, precision, mean, fixed = {} } = options;
  const changing = programState(template, state, mode);
  const constant = template.tasks.map((task) =>
    withPrefix(fixed[task.objective.name] ?? {}, fixedPrefix(task)),
  );
  const variables: Leaves = Object.assign({}, changing, ...constant);
  try {
    const { functions, description } = functionsOf(template, variables, options);
    const program = createProgram<Record<string, Specs>, Functions>({
      variables,
      functions,
      ...(mode && { mode }),
      precision,
      description,
    });
    const call = (kind: Kind, objective: string, feeds: Record<string, Feed>): Leaves => {
      const run = program.run[functionName(template, kind, objective)];
      return (run as (feeds: Record<string, Feed>) => Leaves)(feeds);
    };
    return {
      async train(objective, feeds, rates) {
        if (!mean) return call('train', objective, { ...feeds, ...rates });
        const own = call('gradient', objective, feeds);
        let found: Leaves = {};
        try {
          found = await mean(own);
          const gradient = withPrefix(under(found, foundPrefixes.gradient), foundPrefixes.gradient);
          const applied = call('apply', objective, { ...gradient, ...rates });
          const buffers = Object.entries(under(found, foundPrefixes.buffer));
          program.assign(
            Object.fromEntries(buffers.map(([name, buffer]) => [bufferName(name), buffer])),
          );
          const kept = Object.entries(measured(found)).map(([name, t]) => [name, t.clone()]);
          return { ...Object.fromEntries(kept), ...applied };
        } finally {
          tf.dispose([own, found]);
        }
      },
      evaluate: (objective, feeds) => call('evaluate', objective, feeds),
      read() {
        const held = program.read(Object.keys(changing));
        try {
          return unpackedState(template, held);
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

type Kind = 'train' | 'gradient' | 'apply' | 'evaluate';

function functionName({ tasks }: Template, kind: Kind, objective: string): string {
  return tasks.length === 1 ? kind : `${kind}_${objective}`;
}

const scalar = tensorSpec([]);
function rateSpecsOf({ averages = false }: StepOptions): Specs {
  const always = { learningRate: scalar, firstCorrection: scalar, secondCorrection: scalar };
  const specs: { [Name in keyof Rates]: TensorSpec } = {
    ...always,
    ...(averages && { averageShare: scalar }),
  };
  return specs;
}

/** The functions by name, and in words all that they depend on beside their source and shapes. */
function functionsOf(
  template: Template,
  variables: Leaves,
  { batchSize, heldOut, step, mode, mean }: TrainingProgramOptions,
): { functions: Functions; description: string } {
  const { config, tasks } = template;
  const rows = template.family.flow?.rows(config) ?? 1;
  const parts = batchParts(mode, batchSize, batchSize * rows, 'summed');
  const heldParts = heldOut === undefined ? 1 : batchParts(mode, heldOut, heldOut * rows);
  const rateSpecs = rateSpecsOf(step);
  const functions: Functions = {};
  for (const task of tasks) {
    const { objective } = task;
    const name = (kind: Kind): string => functionName(template, kind, objective.name);
    const inputs = objective.inputs(config, batchSize);
    if (mean) {
      const gradient = gradientStep(template, task, parts);
      const body = (state: Leaves, given: Leaves) => ({ outputs: gradient(state, given) });
      functions[name('gradient')] = { inputs, body };
      functions[name('apply')] = {
        inputs: { ...gradientSpecs(task, variables), ...rateSpecs },
        body: applyStep(task, step),
      };
    } else {
      const body = trainingStep(template, task, { ...step, parts });
      functions[name('train')] = { inputs: { ...inputs, ...rateSpecs }, body };
    }
    if (heldOut !== undefined) {
      const body = evaluationStep(template, task, heldParts);
      functions[name('evaluate')] = { inputs: objective.inputs(config, heldOut), body };
    }
  }
  // The code of our families is part of every description; that of others is told as far as it goes.
  const code = tasks.map(({ objective }) => [objective.name, String(objective.loss)]);
  const forward = String(template.family.flow?.forward);
  const description = JSON.stringify({ config, code, forward, step, parts, heldParts });
  return { functions, description };
}

/** What a task's gradient looks like: its leaves, in the form that the program holds them in. */
function gradientSpecs(task: Task, variables: Leaves): Specs {
  const held = ofTask(task, under(variables, prefixes.parameter));
  return Object.fromEntries(
    Object.entries(held).map(([name, { shape }]) => [
      foundPrefixes.gradient + name,
      tensorSpec(shape),
    ]),
  );
}
