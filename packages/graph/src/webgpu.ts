/**
 * WebGPU in Node: Dawn, the implementation that Chromium uses, from the optional npm package
 * `webgpu`, under the WebGPU backend of TensorFlow.js. For graphics processors without CUDA.
 */
import { UserError } from './errors.js';
import { tf } from './tf.js';

/**
 * The versions that were tested together; package.json names them as optional peers. Without
 * --save-prod, npm 11 treats them only as optional peers and installs nothing.
 */
const installRemedy =
  'Run `npm install --no-save --save-prod webgpu@0.6.2 @tensorflow/tfjs-backend-webgpu@4.22.0`';

/** The device on which the engine computes. */
export interface WebGpuDevice {
  /** The device, as its driver names it. */
  name: string;
  /** True for a processor that emulates a graphics device: correct, but slow. */
  software: boolean;
}

interface Dawn {
  create(options: string[]): Gpu;
  globals: Record<string, unknown>;
}

interface Gpu {
  requestAdapter(): Promise<{
    info: { description: string; device: string; isFallbackAdapter: boolean };
  } | null>;
}

interface MappableBuffer {
  size: number;
  mapState: 'unmapped' | 'pending' | 'mapped';
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  unmap(): void;
}

/** The parts of TensorFlow.js's WebGPU backend that {@link readWithoutCanvas} uses. */
interface WebGpuBackend {
  tensorMap: {
    get(id: object): { dtype: tf.DataType; values: unknown; resource: MappableBuffer };
  };
  bufferManager: {
    acquireBuffer(size: number, usage: number): MappableBuffer;
    releaseBuffer(buffer: MappableBuffer): void;
  };
  commandEncoder: {
    copyBufferToBuffer(from: object, start: number, to: object, at: number, size: number): void;
  };
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  convertAndCacheOnCPU(id: object, values: tf.backend_util.TypedArray): void;
  getBufferData(buffer: MappableBuffer): Promise<ArrayBuffer>;
  readSync(id: object): unknown;
}

/** Constants that a browser has, and Dawn's binding brings. */
interface WebGpuConstants {
  GPUBufferUsage: { COPY_DST: number; MAP_READ: number };
  GPUMapMode: { READ: number };
}

/**
 * Makes WebGPU the backend of TensorFlow.js.
 * @throws UserError if a package is not installed, or there is no device
 */
export async function startWebGpu(): Promise<WebGpuDevice> {
  const { create, globals } = await loadDawn();
  // The backend expects navigator.gpu and constants such as GPUBufferUsage, as in a browser.
  Object.assign(globalThis, globals);
  const gpu = create([]);
  const adapter = await gpu.requestAdapter();
  if (!adapter) {
    throw new UserError(
      'The webgpu engine finds no graphics device',
      'Install a Vulkan driver for it; on Debian and Ubuntu the packages libvulkan1 and ' +
        'mesa-vulkan-drivers, which also bring a software device',
    );
  }
  // Node.js has a navigator since version 21.
  const global = globalThis as { navigator?: object };
  if (!global.navigator) Object.defineProperty(global, 'navigator', { value: {}, ...changeable });
  Object.defineProperty(global.navigator, 'gpu', { value: gpu, ...changeable });
  try {
    require('@tensorflow/tfjs-backend-webgpu');
  } catch (error) {
    throw notLoaded('@tensorflow/tfjs-backend-webgpu', error);
  }
  if (!(await tf.setBackend('webgpu'))) {
    throw new UserError('The webgpu engine did not start', 'Run `npx tarflow doctor`');
  }
  // Dawn's start-up events are handled after one more turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
  readWithoutCanvas(tf.backend() as unknown as WebGpuBackend);
  const { description, device, isFallbackAdapter } = adapter.info;
  return { name: description || device, software: isFallbackAdapter };
}

const changeable = { configurable: true, writable: true };

async function loadDawn(): Promise<Dawn> {
  // A variable, because the compiler has no types of a package that is not installed.
  const name: string = 'webgpu';
  try {
    return (await import(name)) as Dawn;
  } catch (error) {
    throw notLoaded(name, error);
  }
}

function notLoaded(name: string, error: unknown): UserError {
  const { code, message } = error as { code?: string; message?: string };
  const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
  const reason = missing ? 'is not installed' : `does not load (${message?.split('\n')[0]})`;
  return new UserError(
    `The webgpu engine needs the npm package ${name}, which ${reason}`,
    installRemedy,
  );
}

/**
 * Lets `dataSync` read from the device. In a browser the backend reads through a canvas, which Node
 * does not have. In Node, however, a program may block, so this maps the buffer and lets Dawn handle
 * its events until the numbers are there.
 */
function readWithoutCanvas(backend: WebGpuBackend): void {
  const events = new DawnEvents();
  const { getBufferData, readSync } = backend;
  const { GPUBufferUsage, GPUMapMode } = globalThis as unknown as WebGpuConstants;
  const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;

  // It starts to map before its first `await`.
  backend.getBufferData = (buffer) => events.keep(() => getBufferData.call(backend, buffer));

  backend.readSync = (id) => {
    const { dtype, values, resource } = backend.tensorMap.get(id);
    // The backend handles these itself; it reads the parts of complex numbers by this function.
    if (values != null || dtype === 'string' || dtype === 'complex64') {
      return readSync.call(backend, id);
    }
    const { size } = resource;
    const staging = backend.bufferManager.acquireBuffer(size, usage);
    backend.ensureCommandEncoderReady();
    backend.endComputePassEncoder();
    backend.commandEncoder.copyBufferToBuffer(resource, 0, staging, 0, size);
    backend.submitQueue();
    // Nothing awaits the promise; the state shows whether it failed.
    events.keep(() => staging.mapAsync(GPUMapMode.READ)).catch(() => {});
    while (staging.mapState === 'pending') events.handle();
    if (staging.mapState !== 'mapped') {
      throw new UserError(
        'The graphics device returned no result, and may be lost',
        'Start the program again, with smaller batches if the device ran out of memory',
      );
    }
    const bytes = staging.getMappedRange().slice(0);
    staging.unmap();
    backend.bufferManager.releaseBuffer(staging);
    const numbers = tf.util.convertBackendValuesAndArrayBuffer(bytes, dtype);
    backend.convertAndCacheOnCPU(id, numbers as tf.backend_util.TypedArray);
    return numbers;
  };
}

/**
 * Dawn's events. While work is under way, Dawn's binding asks `setImmediate` for a turn of the event
 * loop, and in each turn for the next one. The turns are kept here, so that code that blocks can take
 * them at once.
 */
class DawnEvents {
  private turn: (() => void) | undefined;
  private readonly clock = new Int32Array(new SharedArrayBuffer(4));

  /** Runs a call of Dawn and keeps the turn for which it asks. */
  keep<T>(call: () => T): T {
    const { setImmediate } = globalThis;
    globalThis.setImmediate = ((turn: () => void) => {
      this.turn = turn;
      return setImmediate(() => this.take(turn));
    }) as typeof setImmediate;
    try {
      return call();
    } finally {
      globalThis.setImmediate = setImmediate;
    }
  }

  /** Takes the next turn now, after a short sleep in which the device can use the processor. */
  handle(): void {
    Atomics.wait(this.clock, 0, 0, 0.05);
    if (this.turn) this.take(this.turn);
  }

  /** Takes a turn, unless it has been taken already. */
  private take(turn: () => void): void {
    if (this.turn !== turn) return;
    this.turn = undefined;
    this.keep(turn);
  }
}
