import { callCompiled } from '@tarflow/graph';
import { tf } from '../../../src/core/tf.js';
import { under } from '../../../src/core/tree.js';
import { disposeModel } from '../../../src/flow/flow.js';
import { loadCheckpoint } from '../../../src/models/load-checkpoint.js';
import { tarflow } from '../../../src/models/tarflow/index.js';
import { modeOf } from '../../../src/sampling/guidance/execution.js';
import { namedInState } from '../../../src/training/state.js';
import { foundPrefixes, gradientStep } from '../../../src/training/step.js';
import { type Task, type Template, templateOf } from '../../../src/training/template.js';
import { countedImages } from '../../evaluation/features/counted-weights.js';

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
  const template = templateOf(tarflow, config) as unknown as Template;
  const found = callCompiled({
    name: 'measuredGradient',
    description: ['measuredGradient', config],
    parameters: namedInState(model),
    inputs: { images },
    body: gradientStep(template, template.tasks[0] as Task, 1),
    mode: modeOf(),
  });
  disposeModel(model);
  images.dispose();
  const number = (name: string): number => (found[name] as tf.Tensor).dataSync()[0] as number;
  const told = { loss: number('loss'), logDet: number(`${foundPrefixes.term}logDet`) };
  const gradient = under(found, foundPrefixes.gradient);
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
