/** In a bundle for browsers this module stands in the place of `src/core/engine.ts`. */
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops.js';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import type { ExecutionOptions, modeOf as libraryModeOf } from '../../../src/core/engine.js';
import { UserError } from '../../../src/core/errors.js';
import { tf } from '../../../src/core/tf.js';

export type { ExecutionOptions };

/** What computes: WebAssembly, or a graphics processor by WebGPU, which not every browser has. */
export type EngineName = 'wasm' | 'webgpu';

/** Which engine runs. */
export interface EngineReport {
  engine: EngineName;
  /** TensorFlow.js's version. */
  version: string;
}

let running: EngineReport | undefined;

/**
 * Starts the engine that computes. Call it before anything that makes tensors, and again to change to
 * another engine; a model stays with the engine on which it was loaded.
 *
 * @param options `engine`, by default WebAssembly; `files`, the address of the folder in which TensorFlow.js's
 *   files of WebAssembly lie, by default that of this module
 * @throws UserError where the browser does not have the engine
 *
 * @example
 * ```ts
 * import { startEngine } from 'tarflow/web';
 *
 * const { engine, version } = await startEngine({ engine: 'wasm' });
 * console.log(engine, version);
 * ```
 */
export async function startEngine({
  engine = 'wasm',
  files = new URL('.', import.meta.url).href,
}: {
  engine?: EngineName;
  files?: string;
} = {}): Promise<EngineReport> {
  if (running?.engine === engine) return running;
  if (engine === 'webgpu') await import('@tensorflow/tfjs-backend-webgpu');
  else if (!running) setWasmPaths(files.endsWith('/') ? files : `${files}/`);
  const started = await tf.setBackend(engine).catch(() => false);
  if (!started) {
    // What ran goes on.
    if (running) await tf.setBackend(running.engine);
    throw new UserError(
      `The ${engine} engine did not start`,
      engine === 'webgpu'
        ? 'This browser has no WebGPU, or no device for it: take WebAssembly (wasm)'
        : `Expected TensorFlow.js's files of WebAssembly in ${files}`,
    );
  }
  running = { engine, version: `TensorFlow.js ${tf.version_core}` };
  return running;
}

/**
 * The engine that runs.
 * @throws UserError before {@link startEngine}
 */
export function currentEngine(): EngineReport {
  if (running) return running;
  throw new UserError('No engine runs yet', 'Call `await startEngine()` first');
}

/** Nothing here depends on it: there are no compiled loops in a browser. */
export function isOnGpu(): boolean {
  return running?.engine === 'webgpu';
}

/** Op by op: there are no graphs in a browser. */
export const modeOf: typeof libraryModeOf = () => 'eager';
