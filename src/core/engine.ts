import * as path from 'node:path';
import util from 'node:util';
import {
  chooseOneDnn,
  keepGraphs,
  type Mode,
  nativeBackend,
  type Precision,
  startWebGpu,
  withoutStderrLines,
} from '@tarflow/graph';
import { cacheFolder } from './cache-folder.js';
import { UserError, unknownName } from './errors.js';
import { tf } from './tf.js';

/**
 * - `tensorflow`: TensorFlow's native C library, on the processor or a CUDA device
 * - `webgpu`: any other graphics processor, if its packages are installed
 * - `wasm`: WebAssembly
 * - `cpu`: plain JavaScript
 */
export type EngineName = 'tensorflow' | 'webgpu' | 'wasm' | 'cpu';

export const engineNames: readonly EngineName[] = ['tensorflow', 'webgpu', 'wasm', 'cpu'];

/** Which engine runs, and on what. */
export interface EngineReport {
  engine: EngineName;
  /** TensorFlow's version (native), or TensorFlow.js's. */
  version: string;
  /** True if the native engine computes on a CUDA device, or webgpu on a graphics processor. */
  gpu: boolean;
  /** The device on which webgpu computes, as its driver names it. */
  device?: string;
  /** Why the native engine did not start, if it should have. */
  fallback?: string;
}

export interface EngineOptions {
  /** Overrides the environment variable TARFLOW_BACKEND. */
  engine?: EngineName;
}

let running: EngineReport | undefined;

/**
 * Starts the engine that computes. Call it before anything that makes tensors; what reads a model from a
 * file (`loadCheckpoint`, `loadClassifier`, `readStartingPoint`) starts it itself.
 *
 * The first call chooses the engine: the option, else TARFLOW_BACKEND, else `tensorflow` if its native half
 * is set up, else `wasm` with one warning. Later calls without an option return the running engine. A later
 * call with the name of another engine switches to it; tensors made before the switch stay with the engine
 * that made them.
 *
 * @throws UserError for an unknown engine name, or if an engine that was asked for by name cannot start
 *
 * @example
 * ```ts
 * import { startEngine } from 'tarflow';
 *
 * const { engine, version, gpu } = await startEngine();
 * console.log(engine, version, gpu ? 'on a graphics processor' : 'on the processor');
 * ```
 */
export async function startEngine(options: EngineOptions = {}): Promise<EngineReport> {
  if (running && (options.engine === undefined || options.engine === running.engine)) {
    return running;
  }
  const asked = options.engine ?? (process.env.TARFLOW_BACKEND || undefined);
  if (asked !== undefined) {
    if (!isEngineName(asked)) {
      const what = options.engine === undefined ? 'engine of TARFLOW_BACKEND' : 'engine';
      throw unknownName(what, asked, engineNames);
    }
    running = await start(asked);
  } else {
    try {
      running = await start('tensorflow');
    } catch (error) {
      const fallback = error instanceof Error ? error.message : String(error);
      process.emitWarning(`${fallback} Running on WebAssembly, which is several times slower.`, {
        type: 'TarflowWarning',
      });
      running = { ...(await start('wasm')), fallback };
    }
  }
  return running;
}

/**
 * The engine that runs.
 * @throws UserError before {@link startEngine}
 */
export function currentEngine(): EngineReport {
  if (!running) {
    throw new UserError('No engine runs yet', 'Call `await startEngine()` first');
  }
  return running;
}

/** Whether a graphics processor computes, as far as {@link startEngine} knows. */
export function isOnGpu(): boolean {
  return running?.gpu ?? false;
}

/** How a caller asks for computations to run. */
export interface ExecutionOptions {
  /**
   * How computations run. `graph`: each evaluation of a block as one TensorFlow graph, a sequential
   * block with its loop over tokens. `xla`: the latter compiled by XLA, with some samples in each
   * thread. `eager`: op by op. Default: `eager` on other engines; on the native one `graph`, with
   * long loops compiled by XLA on a processor.
   */
  mode?: Mode | undefined;
  /**
   * `bfloat16` rounds the factors of matrix products: faster where the processor can. Loops over tokens
   * that XLA compiles for a processor compute steps of four samples or more (two with guidance) in
   * float32 all the same, which is faster there; so samples of larger and of smaller batches differ by
   * that rounding.
   */
  precision?: Precision;
}

/** How computations without a loop over tokens run: as asked for, or as the engine does best. */
export function modeOf({ mode }: Pick<ExecutionOptions, 'mode'> = {}): Mode {
  return mode ?? (currentEngine().engine === 'tensorflow' ? 'graph' : 'eager');
}

function isEngineName(name: string): name is EngineName {
  return (engineNames as readonly string[]).includes(name);
}

async function start(engine: EngineName): Promise<EngineReport> {
  // Captured functions call code of this package.
  keepGraphs({ folder: path.join(cacheFolder(), 'graphs'), code: [path.join(__dirname, '..')] });
  // Two functions that tfjs-node calls warn in Node 22, and are gone since 23. They are put into the default export,
  // which is the module that tfjs-node sees; a namespace could not be extended.
  const old = util as unknown as Record<string, unknown>;
  old.isNullOrUndefined = (value: unknown) => value === null || value === undefined;
  old.isArray = Array.isArray;

  require('@tarflow/graph/gradients');
  switch (engine) {
    case 'tensorflow':
      return startTensorFlow();
    case 'webgpu': {
      const { name, software } = await startWebGpu();
      return { engine, version: `TensorFlow.js ${tf.version_core}`, gpu: !software, device: name };
    }
    case 'wasm': {
      const wasm = require('@tensorflow/tfjs-backend-wasm') as {
        setWasmPaths(folder: string): void;
      };
      const entry = require.resolve('@tensorflow/tfjs-backend-wasm');
      wasm.setWasmPaths(`${path.dirname(entry)}${path.sep}`);
      break;
    }
    case 'cpu':
      require('@tensorflow/tfjs-backend-cpu');
      break;
  }
  if (!(await tf.setBackend(engine))) {
    throw new UserError(`The ${engine} engine did not start`, 'Run `npx tarflow doctor`');
  }
  return { engine, version: `TensorFlow.js ${tf.version_core}`, gpu: false };
}

/** Lines that TensorFlow writes before it reads TF_CPP_MIN_LOG_LEVEL. */
const startUpLines = /absl::InitializeLog\(\) is called|oneDNN custom operations are on/;

async function startTensorFlow(): Promise<EngineReport> {
  // TensorFlow's start-up lines are noise to a user; errors are still shown.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  chooseOneDnn();
  try {
    withoutStderrLines(startUpLines, () => require('@tensorflow/tfjs-node-gpu'));
    await tf.setBackend('tensorflow');
    const backend = nativeBackend();
    if (!backend) throw new Error(`${tf.getBackend()} runs in its place`);
    return {
      engine: 'tensorflow',
      version: `TensorFlow ${backend.binding.TF_Version}`,
      gpu: backend.isUsingGpuDevice,
    };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new UserError(
      `The native TensorFlow engine did not load (${reason})`,
      'Run `npx tarflow setup native`, then `npx tarflow doctor` to see what is missing',
    );
  }
}
