import { inParts, type Mode, partsOf } from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import {
  type Leaves,
  leaves,
  packed,
  unpacked,
  valueAndGradient,
  withLeaves,
} from '../backend/tree.js';
import { ability, flowLoss } from '../flow/flow.js';
import type { ForwardResult } from '../flow/model.js';
import type { TarFlow } from '../models/tarflow/index.js';
import { type AdamWOptions, adamWUpdate } from './adamw.js';
import { updatedVariance } from './objectives/likelihood.js';

export interface StepOptions extends AdamWOptions {
  /** Largest L2 norm of the gradient over all parameters; a longer one is scaled down to it. */
  clipNorm?: number;
  /** Keeps a running mean of the parameters, `average.*`, with this decay per step. */
  averageDecay?: number;
  /** Equal parts of the batch that are computed side by side (`batchParts`). Default 1. */
  parts?: number;
}

/** What a training step reads: noisy images and the rates of this step. */
export type StepInputs = {
  /** (batch, channels, height, width), noise added. */
  images: tf.Tensor4D;
  /** Class mixtures (batch, classes); absent in an unconditional model. */
  classes?: tf.Tensor2D;
  learningRate: tf.Scalar;
  /** 1 − β₁ᵗ and 1 − β₂ᵗ. */
  firstCorrection: tf.Scalar;
  secondCorrection: tf.Scalar;
};

/** Names in the training state: parameters, moments, prior. */
const [parameterPrefix, averagePrefix] = ['parameters.', 'average.'];
const [firstPrefix, secondPrefix] = ['first.', 'second.'];
const gradientPrefix = 'gradient.';
const varianceName = 'var';
/** In a packed state, the one leaf of each kind. */
const packedName = 'packed';

/**
 * Everything that a training step changes, as named tensors: `parameters.*`, AdamW's moments
 * `first.*` and `second.*`, `var`, and with averaging `average.*`. The tensors are new.
 */
export function initialState(flow: TarFlow, options: StepOptions = {}): Leaves {
  return tf.tidy(() => {
    const state: Leaves = { [varianceName]: (flow.buffers.var as tf.Tensor).clone() };
    // One tensor of each shape, whose memory all of them share: large models have hundreds.
    const made = new Map<string, tf.Tensor>();
    const zeros = (shape: number[]): tf.Tensor => {
      const found = made.get(shape.join()) ?? tf.zeros(shape);
      made.set(shape.join(), found);
      return found.clone();
    };
    for (const [name, leaf] of Object.entries(leaves(flow.parameters))) {
      state[parameterPrefix + name] = leaf.clone();
      state[firstPrefix + name] = zeros(leaf.shape);
      state[secondPrefix + name] = zeros(leaf.shape);
      if (options.averageDecay !== undefined) state[averagePrefix + name] = leaf.clone();
    }
    return state;
  });
}

/**
 * The flow in a training state, with averaged parameters where the state has them; it shares the
 * state's tensors, or has slices of a packed state's.
 */
export function flowOfState(template: TarFlow, state: Leaves): TarFlow {
  const averages = part(state, averagePrefix);
  const averaged = Object.keys(averages).length > 0;
  const found = averaged ? averages : part(state, parameterPrefix);
  return {
    ...template,
    parameters: withLeaves(template.parameters, apart(found, template)),
    buffers: { [varianceName]: state[varianceName] as tf.Tensor2D },
  };
}

/**
 * A training state in the form that suits a program of this mode. For XLA, where half of the time
 * of a small model's step goes into the number of its tensors, it is packed: all parameters are one
 * vector, and so are moments and means. `trainingStep`, `evaluationStep` and `flowOfState` take both
 * forms. The tensors are new.
 */
export function programState(template: TarFlow, state: Leaves, mode: Mode | undefined): Leaves {
  const names = Object.keys(leaves(template.parameters));
  return mapState(state, (found) => {
    if (mode !== 'xla' || isPacked(found)) return found;
    // In the template's order: a state from a file has its own.
    const ordered = names.map((name) => [name, found[name] as tf.Tensor] as const);
    return { [packedName]: packed(Object.fromEntries(ordered)) };
  });
}

/** A training state with a tensor for each parameter, whichever form it has. The tensors are new. */
export function unpackedState(template: TarFlow, state: Leaves): Leaves {
  return mapState(state, (found) => apart(found, template));
}

/** A state with `change` applied to the parameters, to each kind of moment, and to the means. */
function mapState(state: Leaves, change: (found: Leaves) => Leaves): Leaves {
  return tf.tidy(() => {
    const changed = [parameterPrefix, firstPrefix, secondPrefix, averagePrefix].map((prefix) => {
      const found = part(state, prefix);
      return withPrefix(Object.keys(found).length > 0 ? change(found) : {}, prefix);
    });
    const all = Object.assign({ [varianceName]: state[varianceName] }, ...changed) as Leaves;
    return Object.fromEntries(Object.entries(all).map(([name, leaf]) => [name, tf.clone(leaf)]));
  });
}

/** What a step reports, as tensors. */
export type StepOutputs = {
  loss: tf.Scalar;
  prior: tf.Scalar;
  logDet: tf.Scalar;
  /** Mean square of each block's output. */
  meanSquares: tf.Tensor1D;
  /** L2 norm of the gradient over all parameters. */
  gradientNorm: tf.Scalar;
};

/**
 * One training step as a pure function: loss and gradient, AdamW, and in a volume-preserving model
 * the prior's running variance.
 */
export function trainingStep(
  template: TarFlow,
  options: StepOptions,
): (state: Leaves, inputs: StepInputs) => { outputs: StepOutputs; updates: Leaves } {
  return (state, inputs) => {
    const parameters = part(state, parameterPrefix);
    const variance = state[varianceName] as tf.Tensor2D;
    const { images, classes } = inputs;
    const results = inParts(
      partsOf({ images, classes }, options.parts ?? 1).map((batch) => () => {
        const { value, gradient, auxiliary } = valueAndGradient(
          (current) => {
            const flow = { ...template, parameters: withLeaves(template.parameters, current) };
            const result = forwardOf(flow, batch);
            const { loss, ...terms } = flowLoss(flow, result);
            return { value: loss, auxiliary: { ...terms, z: result.z } };
          },
          apart(parameters, template),
        );
        const found = isPacked(parameters) ? { [packedName]: packed(gradient) } : gradient;
        return { loss: value, ...auxiliary, ...withPrefix(found, gradientPrefix) };
      }),
    );
    const { loss, prior, logDet, meanSquares, ...gradients } = meanOf(
      results.map(({ z, ...terms }) => terms),
    );
    const gradient = part(gradients, gradientPrefix);

    const squares = Object.values(gradient).map((g) => tf.sum(tf.square(g)));
    const gradientNorm = tf.sqrt(tf.addN(squares)) as tf.Scalar;
    const updated = adamWUpdate(
      parameters,
      clipped(gradient, gradientNorm, options.clipNorm),
      { first: part(state, firstPrefix), second: part(state, secondPrefix) },
      inputs.learningRate,
      { first: inputs.firstCorrection, second: inputs.secondCorrection },
      options,
    );
    const updates: Leaves = {
      ...withPrefix(updated.parameters, parameterPrefix),
      ...withPrefix(updated.first, firstPrefix),
      ...withPrefix(updated.second, secondPrefix),
    };
    const { averageDecay } = options;
    if (averageDecay !== undefined) {
      // The parameters before this update: a mean that lags by one step, and no second read of
      // what the optimiser writes in place.
      for (const [name, leaf] of Object.entries(parameters)) {
        const average = state[averagePrefix + name] as tf.Tensor;
        updates[averagePrefix + name] = tf.add(
          average,
          tf.mul(tf.sub(leaf, average), 1 - averageDecay),
        );
      }
    }
    if (template.config.volumePreserving) {
      const z = tf.concat(results.map((result) => result.z)) as tf.Tensor3D;
      updates[varianceName] = updatedVariance(variance, z);
    }
    return { outputs: { loss, prior, logDet, meanSquares, gradientNorm }, updates };
  };
}

/**
 * The loss and its two terms on given images, as a pure function of the state.
 *
 * @param parts equal parts of the batch that are computed side by side
 */
export function evaluationStep(
  template: TarFlow,
  parts = 1,
): (
  state: Leaves,
  inputs: Pick<StepInputs, 'images' | 'classes'>,
) => { outputs: Pick<StepOutputs, 'loss' | 'prior' | 'logDet'> } {
  return (state, inputs) => {
    const flow = flowOfState(template, state);
    const { images, classes } = inputs;
    const results = inParts(
      partsOf({ images, classes }, parts).map((batch) => () => {
        const result = forwardOf(flow, batch);
        const { loss, prior, logDet } = flowLoss(flow, result);
        return { loss, prior, logDet };
      }),
    );
    return { outputs: meanOf(results) };
  };
}

function forwardOf(
  flow: TarFlow,
  { images, classes }: Pick<StepInputs, 'images' | 'classes'>,
): ForwardResult {
  return ability(flow.family, 'flow').forward(flow, images, { classes });
}

/** Means over parts of equal size, name by name. */
function meanOf<T extends Leaves>(parts: readonly T[]): T {
  const names = Object.keys(parts[0] as T) as (keyof T & string)[];
  return Object.fromEntries(
    names.map((name) => {
      const values = parts.map((found) => found[name] as tf.Tensor);
      const mean = () => tf.div(tf.addN(values), values.length);
      return [name, values.length === 1 ? values[0] : mean()];
    }),
  ) as T;
}

function clipped(gradient: Leaves, norm: tf.Scalar, clipNorm: number | undefined): Leaves {
  if (clipNorm === undefined) return gradient;
  const scale = tf.minimum(1, tf.div(clipNorm, norm));
  return Object.fromEntries(Object.entries(gradient).map(([name, g]) => [name, tf.mul(g, scale)]));
}

function isPacked(found: Leaves): boolean {
  return packedName in found;
}

/** Leaves by their names, also where they are packed. */
function apart(found: Leaves, { parameters }: TarFlow): Leaves {
  const vector = found[packedName];
  return vector ? unpacked(vector as tf.Tensor1D, leaves(parameters)) : found;
}

function part(state: Leaves, prefix: string): Leaves {
  return Object.fromEntries(
    Object.entries(state)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, leaf]) => [name.slice(prefix.length), leaf]),
  );
}

function withPrefix(tree: Leaves, prefix: string): Leaves {
  return Object.fromEntries(Object.entries(tree).map(([name, leaf]) => [prefix + name, leaf]));
}
