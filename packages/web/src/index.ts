/**
 * Flows in a browser: what draws and measures, on WebAssembly or WebGPU, from checkpoints that are fetched.
 * It is a bundle that imports nothing, for pages; in Node.js take `tarflow`.
 *
 * @example
 * ```ts
 * import { draw, loadCheckpoint, startEngine } from 'tarflow/web';
 *
 * await startEngine();
 * const flow = await loadCheckpoint('fashion-mnist-conditional-8x2.safetensors');
 * const images = await draw(flow, { label: 'Dress', guidance: { weight: 1.5 }, seed: 7 });
 * console.log(images.shape); // [ 1, 1, 28, 28 ]
 * ```
 *
 * @module tarflow/web
 */

export { UserError } from '../../../src/core/errors.js';
export { tf, tidy } from '../../../src/core/tf.js';
export { logProb, score } from '../../../src/flow/density.js';
export { forward } from '../../../src/flow/forward.js';
export type { Model } from '../../../src/flow/model.js';
export { disposeModel } from '../../../src/flow/state-dict.js';
export type { LoadedModel } from '../../../src/models/load-checkpoint.js';
export { denoise } from '../../../src/sampling/denoise.js';
export type { Guidance } from '../../../src/sampling/guidance.js';
export { inverse } from '../../../src/sampling/inverse.js';
export { sample } from '../../../src/sampling/sample.js';
export type { Solver } from '../../../src/sampling/solvers/solvers.js';
export { loadCheckpoint } from './checkpoint.js';
export { type DrawingStep, type DrawOptions, draw } from './draw.js';
export { type EngineName, type EngineReport, startEngine } from './engine.js';
