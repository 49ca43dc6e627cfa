import * as path from 'node:path';
import util from 'node:util';
import { UserError } from './errors.js';
import { withoutStderrLines } from './native/addon.js';
import { chooseOneDnn } from './native/onednn.js';
import { tf } from './tf.js';
import { startWebGpu } from './webgpu.js';

/**
 * `tensorflow`: TensorFlow's C library, native, on the processor or a CUDA device; `webgpu`: any
 * other graphics processor, where its packages are installed; `wasm`: WebAssembly; `cpu`: plain
 * JavaScript.
 */
export type EngineName = 'tensorflow' | 'webgpu' | 'wasm' | 'cpu';

const engineNames: readonly EngineName[] = ['tensorflow', 'webgpu', 'wasm', 'cpu'];

/** What runs, and what it runs on. */
export interface EngineReport {
  engine: EngineName;
  /** TensorFlow's version (native), or TensorFlow.js's. */
  version: string;
  /** True when the native engine computes on a CUDA device, or webgpu on a graphics processor. */
  gpu: boolean;
  /** What webgpu computes on, in its driver's words. */
  device?: string;
  /** Why the native engine is not used, when it was wanted and failed. */
  fallback?: string;
}

export interface EngineOptions {
  /** Overrides the environment variable TARFLOW_BACKEND. */
  engine?: EngineName;
}

let running: EngineReport | undefined;

/**
 * Starts the engine that computes. The first call chooses: the option, else TARFLOW_BACKEND, else
 * `tensorflow` where its native half is set up, else `wasm` with one warning. Later calls without
 * an option return what runs; with another engine's name they switch to it (tensors made before a
 * switch stay with the engine that made them).
 *
 * @throws UserError for an unknown engine name, or when an engine asked for by name cannot start
 */
export async function startEngine(options: EngineOptions = {}): Promise<EngineReport> {
  if (running && (options.engine === undefined || options.engine === running.engine)) {
    return running;
  }
  const asked = options.engine ?? environmentEngine();
  if (asked !== undefined) {
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

function environmentEngine(): EngineName | undefined {
  const value = process.env.TARFLOW_BACKEND;
  if (value === undefined || value === '') return undefined;
  if ((engineNames as readonly string[]).includes(value)) return value as EngineName;
  throw new UserError(
    `TARFLOW_BACKEND is '${value}'`,
    `Expected one of ${engineNames.join(', ')}, or unset it`,
  );
}

async function start(engine: EngineName): Promise<EngineReport> {
  // Node ≥ 23 removed two functions that tfjs-node calls. The default export is the module that
  // it sees; a namespace could not be extended.
  const old = util as unknown as Record<string, unknown>;
  old.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  old.isArray ??= Array.isArray;

  // Registers the gradients, which the core alone does not.
  require('@tensorflow/tfjs');
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

/** What TensorFlow writes before it reads TF_CPP_MIN_LOG_LEVEL. */
const startUpLines = /absl::InitializeLog\(\) is called|oneDNN custom operations are on/;

async function startTensorFlow(): Promise<EngineReport> {
  // TensorFlow's own start-up lines are noise to a user; errors still show.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  chooseOneDnn();
  let binding: { TF_Version: string; isUsingGpuDevice: boolean };
  try {
    withoutStderrLines(startUpLines, () => require('@tensorflow/tfjs-node-gpu'));
    await tf.setBackend('tensorflow');
    const backend = tf.backend() as unknown as {
      binding: { TF_Version: string };
      isUsingGpuDevice: boolean;
    };
    binding = {
      TF_Version: backend.binding.TF_Version,
      isUsingGpuDevice: backend.isUsingGpuDevice,
    };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new UserError(
      `The native TensorFlow engine did not load (${reason})`,
      'Run `npm run setup`, then `npx tarflow doctor` to see what is missing',
    );
  }
  return {
    engine: 'tensorflow',
    version: `TensorFlow ${binding.TF_Version}`,
    gpu: binding.isUsingGpuDevice,
  };
}
