import { foldIn, leaves, randomKey, tf, withLeaves } from '../../src/core/index.js';
import type { Family, Model, ModelConfig } from '../../src/flow/model.js';
import { disposeModel, freshModel } from '../../src/flow/state-dict.js';
import { biasCorrections, learningRate } from '../../src/training/index.js';
import { modelSpec } from '../../src/training/model-spec.js';
import { trainingProgram } from '../../src/training/program.js';
import { extractModel, initialState } from '../../src/training/state.js';
import { twoMoons } from './two-moons.js';

/** A model of two numbers after 350 steps of 256 points of the two moons; the caller frees it. */
export async function trainedOnTwoMoons(family: Family, config: ModelConfig): Promise<Model> {
  const [batchSize, steps, peak] = [256, 350, 1e-2];
  const spec = modelSpec(family, config);
  const points = (step: number): Float32Array => twoMoons(foldIn(randomKey(2), step), batchSize);
  const fresh = freshModel(family, config, 1);
  const state = tf.tidy(() => {
    const { channels, height, width } = config.image;
    const images = tf.tensor4d(points(steps), [batchSize, channels, height, width]);
    const parameters = { ...leaves(fresh.parameters), ...family.start?.(fresh, images, {}) };
    const started = { ...fresh, parameters: withLeaves(fresh.parameters, parameters) };
    return initialState(spec, started, false);
  });
  disposeModel(fresh);
  const program = trainingProgram(spec, state, { batchSize, step: {}, precision: 'float32' });
  tf.dispose(state);
  for (let step = 0; step < steps; step++) {
    const { first, second } = biasCorrections(step + 1);
    const rates = {
      learningRate: learningRate({ peak, warmup: 0, steps }, step),
      firstCorrection: first,
      secondCorrection: second,
    };
    tf.dispose(await program.train('likelihood', { images: points(step) }, rates));
  }
  const model = extractModel(spec, program.read());
  program.dispose();
  return model;
}
