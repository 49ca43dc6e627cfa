import { UserError } from '../../errors.js';
import { nativeBackend } from '../../native/binding.js';
import { tf } from '../../tf.js';
import {
  described,
  mapValues,
  type Outcome,
  type Precision,
  type TensorSpec,
} from '../trace/tracing.js';
import { CapturedExecutor } from './captured.js';
import { EagerExecutor } from './eager.js';
import type { Executor, Functions } from './executor.js';

/**
 * How a program's functions run. `graph`: as TensorFlow graphs; on the processor XLA compiles what is
 * elementwise in them, or a normalisation, and large, so that numbers pass through memory once. `xla`:
 * as TensorFlow graphs that XLA compiles, which takes seconds at the first call and pays for small
 * tensors. `eager`: op by op, on every engine; the reference for the other two.
 */
export type Mode = 'graph' | 'xla' | 'eager';

/** What can be fed to an input: a tensor, its numbers in row-major order, or a single number. */
export type Feed = tf.Tensor | Float32Array | Int32Array | Uint8Array | number;

/** A function of a program. */
export interface ProgramFunction<Inputs extends Record<string, TensorSpec>> {
  /** Shapes and types of what the function takes, by name. */
  inputs: Inputs;
  /**
   * An ordinary function of tensors, without effects, that may differentiate inside. Returns what
   * the caller gets, and new values of variables by their names; what is read of a variable is its
   * value before the call.
   */
  body(
    variables: Record<string, tf.Tensor>,
    inputs: { [name in keyof Inputs]: tf.Tensor },
  ): Outcome;
}

/** What each function of a program takes. */
export type InputSpecs = Record<string, Record<string, TensorSpec>>;

/** Functions by name. */
export type ProgramFunctions<Inputs extends InputSpecs> = {
  [name in keyof Inputs]: ProgramFunction<Inputs[name]>;
};

export interface ProgramOptions<F> {
  /** Initial values of the state that the functions share; the program keeps copies. */
  variables: Record<string, tf.Tensor>;
  functions: F;
  /** Default: `graph` on the native engine, `eager` on others. */
  mode?: Mode;
  /**
   * `bfloat16`: matrix products of bfloat16 arguments, everything else in float32. In a graph a sum of
   * rows that such products take, as the gradient of a bias is, is a product too, and what products
   * take of variables that no function writes is rounded once, when it is assigned, and held beside the
   * float32 numbers.
   */
  precision?: Precision;
  /**
   * A text that says all that the functions depend on beside their own source and shapes (a model's
   * configuration). Given, the graph is kept in the cache folder, and the next program of the same
   * description starts without tracing.
   */
  description?: string;
}

export interface Program<
  Inputs extends InputSpecs,
  Outputs extends { [name in keyof Inputs]: Record<string, tf.Tensor> },
> {
  /**
   * The functions, to call with inputs by name. The caller frees the tensors that come back.
   * @throws UserError for an input that is missing, unknown, or of another shape or type
   */
  run: {
    [name in keyof Inputs]: (inputs: { [input in keyof Inputs[name]]: Feed }) => Outputs[name];
  };
  /** Current values of the named variables, or of all; the caller frees them. */
  read(names?: readonly string[]): Record<string, tf.Tensor>;
  /** Sets the named variables. */
  assign(values: Record<string, tf.Tensor>): void;
  /** Frees the variables and the graph. Nothing can be called afterwards. */
  dispose(): void;
}

/** Shape and type of an input. */
export function tensorSpec(
  shape: readonly number[],
  dtype: TensorSpec['dtype'] = 'float32',
): TensorSpec {
  return { shape, dtype };
}

/**
 * Functions over shared state, each run as one TensorFlow graph instead of op by op.
 *
 * A function is ordinary TensorFlow.js. It is executed once to record what it does, so its shapes
 * are fixed, and whatever does not come from its variables or inputs is fixed too: random numbers
 * have to be an input. On the native engine this takes away most of the time that small operations
 * cost, and shares memory between them. What `tf.gather` takes from outside of its tensor is an error
 * op by op and in a graph on the processor; a graph on a GPU takes zeros, and XLA the nearest entry.
 *
 * ```ts
 * const program = createProgram({
 *   variables: { w: tf.zeros([3]) },
 *   functions: {
 *     train: {
 *       inputs: { x: tensorSpec([8, 3]), y: tensorSpec([8]) },
 *       body: ({ w }, { x, y }) => {
 *         const loss = (w) => tf.mean(tf.squaredDifference(tf.dot(x, w), y));
 *         const { value, grad } = tf.valueAndGrad(loss)(w);
 *         return { outputs: { loss: value }, updates: { w: tf.sub(w, tf.mul(grad, 0.1)) } };
 *       },
 *     },
 *   },
 * });
 * const { loss } = program.run.train({ x, y });
 * ```
 *
 * TensorFlow reads these environment variables when the engine starts: TF_NUM_INTRAOP_THREADS and
 * TF_NUM_INTEROP_THREADS (threads within an operation and of operations side by side; default: all
 * cores), TF_XLA_FLAGS=--tf_xla_persistent_cache_directory=FOLDER (keeps what XLA compiles for the
 * next process on the same machine, and halves the time of its first call; TensorFlow warns at each
 * load, and cannot run a function whose file there is damaged). On the processor equal calls from
 * equal state give equal bits, as long as the number of threads stays the same, and memory does not
 * grow from call to call. What compiling leaves free goes back to the system after a first call.
 *
 * @throws UserError for a function that cannot be recorded, naming the operation
 */
export function createProgram<Inputs extends InputSpecs, F extends ProgramFunctions<Inputs>>(
  options: ProgramOptions<F & ProgramFunctions<Inputs>>,
): Program<Inputs, { [name in keyof Inputs]: ReturnType<F[name]['body']>['outputs'] }> {
  const backend = nativeBackend();
  const { mode = backend ? 'graph' : 'eager', precision = 'float32' } = options;
  checkChoice('mode', mode, ['graph', 'xla', 'eager']);
  checkChoice('precision', precision, ['float32', 'bfloat16']);
  if (!backend && (mode !== 'eager' || precision !== 'float32')) {
    throw new UserError(
      `${mode === 'eager' ? precision : `The mode ${mode}`} needs the native engine, but ${tf.getBackend()} runs`,
      "Use mode 'eager' and precision 'float32' here",
    );
  }
  const functions = options.functions as Functions;
  const { variables, description } = options;
  checkNames(variables, functions);
  const executor =
    backend && mode !== 'eager'
      ? new CapturedExecutor(backend, variables, functions, {
          xla: mode === 'xla',
          precision,
          description,
        })
      : new EagerExecutor(variables, functions, precision);
  return checked(executor, variables, functions) as never;
}

/** A program whose arguments are checked before they reach the executor. */
function checked(
  executor: Executor,
  variables: Record<string, tf.Tensor>,
  functions: Functions,
): Program<InputSpecs, Record<string, Record<string, tf.Tensor>>> {
  const specs = mapValues(variables, ({ shape, dtype }) => ({ shape, dtype }) as TensorSpec);
  let disposed = false;
  const checkLive = () => {
    if (disposed) throw new UserError('The program is disposed', 'Create another one');
  };
  const checkVariables = (named: readonly string[]) => {
    const unknown = named.find((name) => !specs[name]);
    if (unknown !== undefined) {
      throw new UserError(`There is no variable ${unknown}`, `Expected ${list(specs)}`);
    }
  };

  return {
    run: mapValues(functions, ({ inputs }, name) => (feeds: Record<string, Feed>) => {
      checkLive();
      if (typeof feeds !== 'object' || feeds === null) {
        throw new UserError(`${name} got ${described(feeds)}`, `Expected ${list(inputs)} by name`);
      }
      const unknown = Object.keys(feeds).find((key) => !Object.hasOwn(inputs, key));
      if (unknown !== undefined) {
        throw new UserError(`${name} takes no input ${unknown}`, `Expected ${list(inputs)}`);
      }
      const made: tf.Tensor[] = [];
      try {
        const tensors = Object.entries(inputs).map(([key, spec]) => {
          const feed = feeds[key];
          if (feed instanceof tf.Tensor) return checkedTensor(`${name}: ${key}`, feed, spec);
          const tensor = tensorOf(`${name}: ${key}`, feed, spec);
          made.push(tensor);
          return tensor;
        });
        return executor.call(name, tensors);
      } finally {
        tf.dispose(made);
      }
    }),
    read(named = Object.keys(specs)) {
      checkLive();
      checkVariables(named);
      const values = executor.read([...named]);
      return Object.fromEntries(named.map((name, index) => [name, values[index] as tf.Tensor]));
    },
    assign(values) {
      checkLive();
      checkVariables(Object.keys(values));
      for (const [name, value] of Object.entries(values)) {
        checkedTensor(name, value, specs[name] as TensorSpec);
      }
      executor.assign(values);
    },
    dispose() {
      checkLive();
      disposed = true;
      executor.dispose();
    },
  };
}

function checkChoice(what: string, value: string, choices: readonly string[]): void {
  if (choices.includes(value)) return;
  throw new UserError(`The ${what} is ${described(value)}`, `Expected ${choices.join(', ')}`);
}

function checkNames(variables: Record<string, tf.Tensor>, functions: Functions): void {
  for (const [name, { inputs }] of Object.entries(functions)) {
    // The name becomes part of TensorFlow's.
    if (!/^[A-Za-z]\w*$/.test(name)) {
      throw new UserError(`A function is named '${name}'`, 'Expected letters and digits');
    }
    for (const [key, { dtype, shape }] of Object.entries(inputs)) {
      checkType(`The input ${key} of ${name}`, dtype);
      if (shape.every((size) => Number.isInteger(size) && size >= 0)) continue;
      throw new UserError(
        `The input ${key} of ${name} has shape (${shape})`,
        'Expected whole numbers of at least 0: a function has fixed shapes',
      );
    }
  }
  for (const [name, { dtype }] of Object.entries(variables))
    checkType(`The variable ${name}`, dtype);
}

function checkType(what: string, dtype: string): void {
  if (Object.hasOwn(arrays, dtype)) return;
  throw new UserError(`${what} has type ${dtype}`, 'Expected float32, int32 or bool');
}

function checkedTensor(name: string, tensor: tf.Tensor, spec: TensorSpec): tf.Tensor {
  if (tensor.isDisposed) throw new UserError(`${name} got a disposed tensor`, expected(spec));
  if (tensor.dtype !== spec.dtype || !tf.util.arraysEqual(tensor.shape, [...spec.shape])) {
    throw new UserError(`${name} got ${tensor.dtype} (${tensor.shape})`, expected(spec));
  }
  return tensor;
}

const arrays = { float32: Float32Array, int32: Int32Array, bool: Uint8Array } as const;

function tensorOf(name: string, feed: Exclude<Feed, tf.Tensor> | undefined, spec: TensorSpec) {
  if (feed === undefined) throw new UserError(`${name} is missing`, expected(spec));
  const { dtype } = spec;
  const shape = [...spec.shape];
  if (typeof feed === 'number') {
    if (shape.length > 0) throw new UserError(`${name} got a number`, expected(spec));
    if (dtype === 'int32' && (feed | 0) !== feed) {
      throw new UserError(`${name} got ${feed}`, 'Expected a whole number of 32 bits');
    }
    return tf.scalar(feed, dtype);
  }
  if (!(feed instanceof arrays[dtype]) || feed.length !== tf.util.sizeFromShape(shape)) {
    throw new UserError(`${name} got ${described(feed)}`, expected(spec));
  }
  // A copy: the engine would share the array's memory.
  return tf.tensor(feed.slice(), shape, dtype);
}

function expected({ dtype, shape }: TensorSpec): string {
  return `Expected ${dtype} (${shape})`;
}

function list(record: Record<string, unknown>): string {
  return Object.keys(record).join(', ') || 'none';
}
