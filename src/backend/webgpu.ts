/**
 * WebGPU in Node: Dawn, the implementation that Chromium uses, from the optional npm package
 * `webgpu`, under the WebGPU backend of TensorFlow.js. For graphics processors without CUDA.
 */
import { UserError } from './errors.js';
import { tf } from './tf.js';

/**
 * The versions that were tried together; package.json names the same as optional peers. Without
 * --save-prod npm 11 takes them for just that, and installs nothing.
 */
const installRemedy =
  'Run `npm install --no-save --save-prod webgpu@0.6.2 @tensorflow/tfjs-backend-webgpu@4.22.0`';

/** What the engine computes on. */
export interface WebGpuDevice {
  /** The device in its driver's words. */
  name: string;
  /** True for a processor that imitates a graphics device: right, but slow. */
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

/** The part of TensorFlow.js's WebGPU backend that {@link readWithoutCanvas} works with. */
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

/**
 * Makes WebGPU the backend of TensorFlow.js.
 * @throws UserError when a package is not installed, or there is no device
 */
export async function startWebGpu(): Promise<WebGpuDevice> {
  const { create, globals } = await loadDawn();
  // The backend reads navigator.gpu and the constants (GPUBufferUsage, …) as a browser has them.
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
  // Node.js has a navigator from 21 on.
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
  // Dawn's events of the start are over when the next turn of the event loop is.
  await new Promise((resolve) => setImmediate(resolve));
  readWithoutCanvas(tf.backend() as unknown as WebGpuBackend);
  const { description, device, isFallbackAdapter } = adapter.info;
  return { name: description || device, software: isFallbackAdapter };
}

const changeable = { configurable: true, writable: true };

async function loadDawn(): Promise<Dawn> {
  // A variable, because the compiler cannot know the types of a package that is not installed.
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
 * has not; but in Node a program may wait, so it maps the buffer and lets Dawn handle its events
 * until that is done.
 */
function readWithoutCanvas(backend: WebGpuBackend): void {
  const events = new DawnEvents();
  const { getBufferData, readSync } = backend;
  const { GPUBufferUsage, GPUMapMode } = globalThis as unknown as Record<
    'GPUBufferUsage' | 'GPUMapMode',
    Record<string, number>
  >;
  const usage = (GPUBufferUsage.COPY_DST as number) | (GPUBufferUsage.MAP_READ as number);

  // It starts to map before its first await.
  backend.getBufferData = (buffer) => events.keep(() => getBufferData.call(backend, buffer));

  backend.readSync = (id) => {
    const { dtype, values, resource } = backend.tensorMap.get(id);
    // The backend itself knows what to do; it reads a complex number's parts by this function.
    if (values != null || dtype === 'string' || dtype === 'complex64') {
      return readSync.call(backend, id);
    }
    const { size } = resource;
    const staging = backend.bufferManager.acquireBuffer(size, usage);
    backend.ensureCommandEncoderReady();
    backend.endComputePassEncoder();
    backend.commandEncoder.copyBufferToBuffer(resource, 0, staging, 0, size);
    backend.submitQueue();
    // Nobody waits for the promise: whether it failed shows in the state.
    events.keep(() => staging.mapAsync(GPUMapMode.READ as number)).catch(() => {});
    while (staging.mapState === 'pending') events.handle();
    if (staging.mapState !== 'mapped') {
      throw new UserError(
        'The graphics device did not hand over a result, and may be lost',
        'Start the program again, with smaller batches where the device ran out of memory',
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
 * Dawn's own events. Its binding asks `setImmediate` for a turn when something is under way, and in
 * that turn for the next one. Such a turn is kept here, so that it can also be taken at once, by
 * somebody who waits.
 */
class DawnEvents {
  private turn: (() => void) | undefined;
  private readonly clock = new Int32Array(new SharedArrayBuffer(4));

  /** Runs a call of Dawn and keeps the turn that it asks for. */
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

  /** Takes the next turn now, after a short sleep that leaves the processor to the device. */
  handle(): void {
    Atomics.wait(this.clock, 0, 0, 0.05);
    if (this.turn) this.take(this.turn);
  }

  /** Takes a turn, unless it was taken already. */
  private take(turn: () => void): void {
    if (this.turn !== turn) return;
    this.turn = undefined;
    this.keep(turn);
  }
}
