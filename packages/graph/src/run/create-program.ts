import { UserError } from '../errors.js';
import { nativeBackend } from '../native/binding.js';
import { entryOf, mapValues } from '../records.js';
import { tf } from '../tf.js';
import {
  described,
  type Functions,
  type Mode,
  type Outcome,
  type Precision,
  type TensorSpec,
} from '../trace/body.js';
import { CapturedExecutor } from './captured.js';
import { EagerExecutor, type Executor } from './eager.js';
import { checkDeclarations, checkedTensor, type Feed, list, specsOf, withFeeds } from './feeds.js';

/** A function of a program. */
export interface ProgramFunction<Inputs extends Record<string, TensorSpec>> {
  /** Shapes and types of what the function takes, by name. */
  inputs: Inputs;
  /**
   * An ordinary function of tensors without side effects; it may differentiate inside. It returns
   * what the caller gets, and new values of variables by their names. The variables that it gets have
   * their values from before the call.
   */
  body(
    variables: Record<string, tf.Tensor>,
    inputs: { [name in keyof Inputs]: tf.Tensor },
  ): Outcome;
}

/** What each function of a program takes. */
type InputSpecs = Record<string, Record<string, TensorSpec>>;

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
   * `bfloat16`: matrix products take bfloat16 arguments, and everything else is computed in float32.
   * In a graph, two more things are rounded. A sum of rows that such products take, such as the
   * gradient of a bias, is a product too. A variable that no function writes is rounded once, when it
   * is assigned, and held beside its float32 numbers. Default `float32`.
   */
  precision?: Precision;
  /**
   * A text that says everything on which the functions depend besides their own source and shapes,
   * such as the configuration of a model. If it is given, the graph is kept in the cache folder, and
   * the next program with the same description starts without tracing.
   */
  description?: string;
}

/** What each function of a program returns, by name. */
type OutputsOf<Inputs extends InputSpecs> = { [name in keyof Inputs]: Record<string, tf.Tensor> };

export interface Program<Inputs extends InputSpecs, Outputs extends OutputsOf<Inputs>> {
  /**
   * The functions, to call with inputs by name. The caller frees the tensors that they return.
   * @throws UserError for an input that is missing, unknown, or of another shape or type
   */
  run: {
    [name in keyof Inputs]: (inputs: { [input in keyof Inputs[name]]: Feed }) => Outputs[name];
  };
  /**
   * Current values of the named variables, or of all; the caller frees them.
   * @throws UserError for a name that is no variable
   */
  read(names?: readonly string[]): Record<string, tf.Tensor>;
  /**
   * Sets the named variables; the tensors stay the caller's.
   * @throws UserError for a name that is no variable, or a tensor of another shape or type
   */
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
 * are fixed, and so is everything that does not come from its variables or inputs: random numbers
 * have to be an input. On the native engine this saves most of the time that small operations cost,
 * and lets them share memory. An index of `tf.gather` outside of its tensor is an error op by op and
 * in a graph on the processor; a graph on a GPU reads zeros there, and XLA the nearest entry.
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
 * TensorFlow reads these environment variables when the engine starts:
 * - TF_NUM_INTRAOP_THREADS and TF_NUM_INTEROP_THREADS: threads within an operation, and operations
 *   side by side. Default: all cores.
 * - TF_XLA_FLAGS=--tf_xla_persistent_cache_directory=FOLDER keeps what XLA compiles for the next
 *   process on the same machine, which halves the time of its first call. TensorFlow warns at each
 *   load, and cannot run a function whose file there is damaged.
 *
 * On the processor, equal calls from equal state return equal bits as long as the number of threads
 * stays the same, and memory does not grow from call to call. Memory that compiling leaves free
 * returns to the system after the first call.
 *
 * @throws UserError for a mode or precision that the engine does not have, for names, shapes or types that
 *   a program cannot have, and for a function that cannot be recorded; it names the operation
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
  checkDeclarations(variables, functions);
  const executor =
    backend && mode !== 'eager'
      ? new CapturedExecutor(backend, variables, functions, {
          xla: mode === 'xla',
          precision,
          description,
        })
      : new EagerExecutor(variables, functions, precision);
  return checked(executor, variables, functions);
}

/** A program that checks its arguments before they reach the executor. */
function checked<Inputs extends InputSpecs, Outputs extends OutputsOf<Inputs>>(
  executor: Executor,
  variables: Record<string, tf.Tensor>,
  functions: Functions,
): Program<Inputs, Outputs> {
  const specs = specsOf(variables);
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
  const run = mapValues(functions, ({ inputs }, name) => (feeds: Record<string, Feed>) => {
    checkLive();
    return withFeeds(name, inputs, feeds, (tensors) => executor.call(name, tensors));
  });

  return {
    run: run as Program<Inputs, Outputs>['run'],
    read(named = Object.keys(specs)) {
      checkLive();
      checkVariables(named);
      const values = executor.read([...named]);
      return Object.fromEntries(named.map((name, index) => [name, entryOf(values, index)]));
    },
    assign(values) {
      checkLive();
      checkVariables(Object.keys(values));
      for (const [name, value] of Object.entries(values)) {
        checkedTensor(name, value, entryOf(specs, name));
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
