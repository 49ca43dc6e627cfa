import { createProgram, tensorSpec } from '../../src/backend/program/index.js';
import { foldIn, randomKey } from '../../src/backend/random.js';
import { tf, tidy } from '../../src/backend/tf.js';
import {
  type Leaves,
  leaves,
  mapTree,
  valueAndGradient,
  withLeaves,
} from '../../src/backend/tree.js';
import { disposeModel, freshModel, logProbOf } from '../../src/flow/flow.js';
import type { Family, Model, ModelConfig } from '../../src/flow/model.js';
import { adamWUpdate, biasCorrections } from '../../src/training/optimiser/adamw.js';
import { twoMoons } from './two-moons.js';

/** A model of two numbers after 600 steps of 256 points of the two moons; the caller frees it. */
export function trainedOnTwoMoons(family: Family, config: ModelConfig): Model {
  const [batch, steps, peak] = [256, 600, 5e-3];
  const model = freshModel(family, config, 1);
  const { channels, height, width } = config.image;
  const shape: [number, number, number, number] = [batch, channels, height, width];
  const points = (step: number): Float32Array => twoMoons(foldIn(randomKey(2), step), batch);
  const program = createProgram({
    variables: tidy(() => {
      const started = family.start?.(model, tf.tensor4d(points(steps), shape), {}) ?? {};
      const parameters = { ...leaves(model.parameters), ...started };
      const zeros = (): Leaves => mapTree(parameters, (leaf) => tf.zerosLike(leaf));
      return {
        ...prefixed('parameters.', parameters),
        ...prefixed('first.', zeros()),
        ...prefixed('second.', zeros()),
      };
    }),
    functions: {
      train: {
        inputs: {
          x: tensorSpec(shape),
          rate: tensorSpec([]),
          first: tensorSpec([]),
          second: tensorSpec([]),
        },
        body: (state, { x, rate, first, second }) => {
          const parameters = part(state, 'parameters.');
          const { value, gradient } = valueAndGradient((current) => {
            const moved = { ...model, parameters: withLeaves(model.parameters, current) };
            const result = family.flow!.forward(moved, x as tf.Tensor4D, {});
            return { value: tf.neg(tf.mean(logProbOf(model, result))) as tf.Scalar, auxiliary: {} };
          }, parameters);
          const moments = { first: part(state, 'first.'), second: part(state, 'second.') };
          const corrections = { first: first as tf.Scalar, second: second as tf.Scalar };
          const found = adamWUpdate(parameters, gradient, moments, rate as tf.Scalar, corrections);
          const updates = {
            ...prefixed('parameters.', found.parameters),
            ...prefixed('first.', found.first),
            ...prefixed('second.', found.second),
          };
          return { outputs: { loss: value }, updates };
        },
      },
    },
  });
  for (let step = 0; step < steps; step++) {
    const rate = peak * 0.5 * (1 + Math.cos((Math.PI * step) / steps));
    const feeds = { x: points(step), rate, ...biasCorrections(step + 1) };
    program.run.train(feeds).loss.dispose();
  }
  const trained = part(program.read(), 'parameters.');
  program.dispose();
  disposeModel({ parameters: model.parameters, buffers: {} });
  return { ...model, parameters: withLeaves(model.parameters, trained) };
}

function part(state: Leaves, prefix: string): Leaves {
  return Object.fromEntries(
    Object.entries(state)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, leaf]) => [name.slice(prefix.length), leaf]),
  );
}

function prefixed(prefix: string, tree: Leaves): Leaves {
  return Object.fromEntries(Object.entries(tree).map(([name, leaf]) => [prefix + name, leaf]));
}
