import { nativeBackend } from '../native/binding.js';
import { mapValues } from '../records.js';
import { tf } from '../tf.js';
import type { Leaves, Mode, Precision, TensorSpec } from '../trace/body.js';
import { createProgram, type Program, tensorSpec } from './create-program.js';

/** A pure function of tensors, and what it is called with. */
export interface CompiledCall<Inputs extends Leaves, Outputs extends Leaves> {
  /** The name of the function in errors and in the graph: letters and digits. */
  name: string;
  /** Everything else on which `body` depends besides its source and arguments, such as a config. */
  description: unknown;
  /** Large tensors that stay the same from call to call, such as a model's weights. */
  parameters: Leaves;
  /** Tells several sets of parameters apart; each has its own copy where copies are kept. */
  instance?: number;
  inputs: Inputs;
  body(parameters: Leaves, inputs: Inputs): Outputs;
  /** How it runs, as in a program. */
  mode: Mode;
  /** As in a program. Default `float32`. */
  precision?: Precision;
  /**
   * True to keep a copy of the parameters on the device between calls, which is renewed when they
   * change. False to pass them with each call, which costs nothing where device and host share
   * memory. Default: true on a GPU.
   */
  keepParameters?: boolean;
}

interface Kept {
  program: Program<Record<string, Record<string, TensorSpec>>, Record<string, Leaves>>;
  /** What the copies were made from. */
  parameters: Map<string, object>;
}

/** This many functions stay compiled: those used last. */
const capacity = 128;
const kept = new Map<string, Kept>();

/**
 * Calls a function of tensors as one graph. The first call with inputs of these shapes records it.
 * Later calls with the same name, description, source of `body` and shapes run the recorded graph, in
 * this process and in later ones, so `body` has to depend on nothing else. The 128 functions used last
 * stay in memory.
 *
 * @returns what `body` returns; the caller frees it
 */
export function callCompiled<Inputs extends Leaves, Outputs extends Leaves>(
  call: CompiledCall<Inputs, Outputs>,
): Outputs {
  const { name, description, parameters, inputs, mode, precision = 'float32' } = call;
  const keepParameters = call.keepParameters ?? devicesAreApart();
  const passed = keepParameters ? inputs : { ...prefixed(parameters), ...inputs };
  const key = JSON.stringify([
    ...[tf.getBackend(), name, description, mode, precision, String(call.body)],
    keepParameters && (call.instance ?? 0),
    Object.entries({ ...prefixed(parameters), ...inputs }).map(([input, { dtype, shape }]) => [
      ...[input, dtype, shape],
    ]),
  ]);
  let found = kept.get(key);
  if (found) kept.delete(key);
  else found = compiled(call, passed, keepParameters, key);
  kept.set(key, found);
  if (kept.size > capacity) {
    const [oldest, { program }] = kept.entries().next().value as [string, Kept];
    kept.delete(oldest);
    program.dispose();
  }
  if (keepParameters) renew(found, parameters);
  return (found.program.run[name] as (feeds: Leaves) => Leaves)(passed) as Outputs;
}

/** Frees everything that {@link callCompiled} keeps. */
export function disposeCompiled(): void {
  for (const { program } of kept.values()) program.dispose();
  kept.clear();
}

function compiled<Inputs extends Leaves, Outputs extends Leaves>(
  { name, parameters, body, mode, precision = 'float32' }: CompiledCall<Inputs, Outputs>,
  passed: Leaves,
  keepParameters: boolean,
  key: string,
): Kept {
  const names = Object.keys(parameters);
  const program = createProgram({
    variables: keepParameters ? parameters : {},
    functions: {
      [name]: {
        inputs: mapValues(passed, ({ shape, dtype }) =>
          tensorSpec(shape, dtype as TensorSpec['dtype']),
        ),
        body: (variables: Leaves, given: Leaves) => {
          if (keepParameters) return { outputs: body(variables, given as Inputs) };
          const weights = names.map((one) => [one, given[parameterPrefix + one] as tf.Tensor]);
          const rest = Object.entries(given).filter(([one]) => !one.startsWith(parameterPrefix));
          const outputs = body(Object.fromEntries(weights), Object.fromEntries(rest) as Inputs);
          return { outputs };
        },
      },
    },
    mode,
    precision,
    description: key,
  });
  return { program, parameters: identities(keepParameters ? parameters : {}) };
}

function renew({ program, parameters: before }: Kept, parameters: Leaves): void {
  const now = identities(parameters);
  if ([...now].every(([name, identity]) => before.get(name) === identity)) return;
  program.assign(parameters);
  for (const [name, identity] of now) before.set(name, identity);
}

/** An object for each tensor that is another one whenever the numbers may have changed. */
function identities(tensors: Leaves): Map<string, object> {
  return new Map(Object.entries(tensors).map(([name, { dataId }]) => [name, dataId]));
}

const parameterPrefix = 'parameters.';

function prefixed(parameters: Leaves): Leaves {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, leaf]) => [parameterPrefix + name, leaf]),
  );
}

/** True where the feeds of a graph are copied to another device. */
function devicesAreApart(): boolean {
  return nativeBackend()?.isUsingGpuDevice === true;
}
