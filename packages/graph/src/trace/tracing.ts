import { UserError } from '../errors.js';
import { type NativeBackend, withBinding } from '../native/binding.js';
import { mapValues } from '../records.js';
import { tf } from '../tf.js';
import { bfloat16Binding } from './bfloat16.js';
import { type Body, checkedOutcome, type Precision, type TensorSpec } from './body.js';
import type { Attribute, Trace } from './operations.js';
import { Recorder } from './recorder.js';

/** The recorder of the function that is being traced. */
let recorder: Recorder | undefined;

/**
 * Runs a function once, on tensors of the right shapes whose numbers mean nothing, and records the
 * TensorFlow ops that it executes. Everything that does not depend on variables or inputs becomes a
 * constant.
 *
 * @param rounds false where the engine cuts off products of bfloat16 factors
 * @throws UserError where a record would not stand for the function: it reads a computed value on
 *   the host, draws unseeded random numbers, or runs an op that cannot be captured
 */
export function trace(
  backend: NativeBackend,
  name: string,
  body: Body,
  variables: Record<string, tf.Tensor>,
  inputs: Record<string, TensorSpec>,
  precision: Precision,
  rounds = true,
): Trace {
  if (recorder) throw new UserError(`${name} is traced inside ${recorder.name}`, 'Trace it before');
  const active = new Recorder(backend, name);
  recorder = active;
  const restoreHost = guardHost(active);
  const narrow = precision === 'bfloat16' ? bfloat16Binding(active.binding, rounds) : undefined;
  const binding = narrow ? { ...active.binding, executeOp: narrow.executeOp } : active.binding;
  if (narrow) active.inLoop = narrow.apart;
  // Not `tidy`: it would search the trace, which holds no tensors but large constants.
  tf.engine().startScope();
  try {
    const variableTensors = mapValues(variables, (value, key) => active.variable(key, value));
    const inputTensors = mapValues(inputs, (spec, key) => active.input(key, spec));
    return withBinding(backend, binding, () => {
      const outcome = body(variableTensors, inputTensors);
      if (active.refused) throw active.refused;
      const { outputs, updates } = checkedOutcome(name, outcome, variables);
      return {
        operations: active.operations,
        outputs: mapValues(outputs, (tensor) => active.valueOfTensor(tensor)),
        updates: mapValues(updates, (tensor) => active.valueOfTensor(tensor)),
        parts: active.parts,
      };
    });
  } finally {
    tf.engine().endScope();
    narrow?.release();
    active.release();
    restoreHost();
    recorder = undefined;
  }
}

/**
 * Has random numbers of the host refused while a function is traced, and indices to gather from read
 * as zeros where a kernel checks them on the host. Returns what takes both back.
 */
function guardHost(active: Recorder): () => void {
  const random = Math.random;
  Math.random = () => {
    throw new UserError(
      `The traced function ${active.name} draws random numbers, which a graph would repeat on every call`,
      'Draw them outside and pass them as an input, or pass a seed to a fixed draw',
    );
  };
  const gather = tf.getKernel('GatherV2', 'tensorflow');
  const gatherKernel = gather.kernelFunc;
  gather.kernelFunc = (parameters) => active.withZeros(() => gatherKernel(parameters));
  return () => {
    gather.kernelFunc = gatherKernel;
    Math.random = random;
  };
}

/**
 * While a function is traced: records an op that writes into variables, and returns their new values
 * (tensors of the right shape whose numbers mean nothing). Undefined when nothing is traced.
 *
 * @param variables the newest values of the variables, as the function got them or as another such
 *   op returned them; the new ones have to be among the function's updates
 */
export function traceInPlace(
  op: string,
  attributes: Record<string, Attribute>,
  variables: tf.Tensor[],
  inputs: tf.Tensor[],
): tf.Tensor[] | undefined {
  return recorder?.inPlace(op, attributes, variables, inputs);
}

/** Whether a function is being traced: its tensors have no numbers. */
export function isTracing(): boolean {
  return recorder !== undefined;
}

/** What records the function that is being traced; undefined when nothing is traced. */
export function activeRecorder(): Recorder | undefined {
  return recorder;
}
