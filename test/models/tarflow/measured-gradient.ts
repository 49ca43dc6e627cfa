import { callCompiled } from '@tarflow/graph';
import { modeOf } from '../../../src/core/engine.js';
import { tf } from '../../../src/core/tf.js';
import { grouped } from '../../../src/core/tree.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { loadCheckpoint, tarflow } from '../../../src/models/index.js';
import { type ModelSpec, modelSpec, type Task } from '../../../src/training/model-spec.js';
import { namedInState } from '../../../src/training/state.js';
import { gradientStep, packingOf } from '../../../src/training/step.js';
import { countedImages } from '../../pretrained/counted-weights.js';

/** What reference.py stores of a model. */
export interface Measured {
  /** ½·mean z² − log-determinant, and the log-determinant, both per dimension. */
  loss: number;
  logDet: number;
  /** Euclidean length of the gradient of the loss by all parameters. */
  gradientNorm: number;
  /** That of each parameter's gradient, in the order of their names. */
  norms: number[];
  /** Three evenly spread entries of each parameter's gradient, in the same order. */
  entries: number[];
}

/** As in reference.py. */
export const kept = 3;

/**
 * Likelihood and gradient of one image under a TarFlow from a file, by the first half of a training step.
 */
export async function measuredGradient(file: string, headWidth: number): Promise<Measured> {
  const model = await loadCheckpoint(file, { family: tarflow, headWidth });
  const { config } = model;
  const { channels, height, width } = config.image;
  const shape: [number, number, number, number] = [1, channels, height, width];
  const images = tf.tensor4d(countedImages('images', shape), shape);
  const spec = modelSpec(tarflow, config) as unknown as ModelSpec;
  const found = callCompiled({
    name: 'measuredGradient',
    description: ['measuredGradient', config],
    parameters: namedInState(model),
    inputs: { images },
    body: gradientStep(spec, spec.tasks[0] as Task, packingOf(spec, 'graph'), 1),
    mode: modeOf(),
  });
  disposeModel(model);
  images.dispose();
  const number = (name: string): number => (found[name] as tf.Tensor).dataSync()[0] as number;
  const told = { loss: number('terms.loss'), logDet: number('terms.logDet') };
  const gradient = grouped(found).gradient ?? {};
  const norms: number[] = [];
  const entries: number[] = [];
  for (const name of Object.keys(gradient).sort()) {
    const tensor = gradient[name] as tf.Tensor;
    const values = tensor.dataSync<'float32'>();
    norms.push(Math.sqrt(values.reduce((sum, value) => sum + value * value, 0)));
    const step = Math.floor(values.length / kept);
    for (let i = 0; i < kept; i++) entries.push(values[Math.floor(step / 2) + i * step] as number);
  }
  tf.dispose(found);
  return { ...told, gradientNorm: Math.hypot(...norms), norms, entries };
}
