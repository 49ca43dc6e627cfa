import { expect, test } from 'vitest';
import { type Leaves, normal, randomKey, tf } from '../../src/core/index.js';
import { transformer } from '../../src/nn/transformer.js';
import { difference, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';

test('many tokens, which attend in turns, give what few at a time do, with the same gradient', () => {
  const flow = smallFlow();
  const layers = flow.parameters.blocks[0]!.attn_blocks;
  const [tokens, few] = [300, 50];
  expectNoTensorsLeft();
  const shape: [number, number, number] = [2, tokens, flow.config.channels];
  const h = tf.tensor3d(normal(randomKey(3), 2 * tokens * flow.config.channels), shape);
  const temperature = tf.fill([2, 1, 1, 1], 0.7);
  const aim = tf.tensor3d(normal(randomKey(4), h.size), shape);

  const atOnce = (x: tf.Tensor, temperature?: tf.Tensor4D) =>
    transformer(layers, x as tf.Tensor3D, { headWidth: 8, temperature }).h;
  const inSteps = (x: tf.Tensor, temperature?: tf.Tensor4D) => {
    let cache: Leaves | undefined;
    const parts: tf.Tensor3D[] = [];
    for (let start = 0; start < tokens; start += few) {
      const options = { headWidth: 8, temperature, cache, keepCache: true };
      const step = transformer(
        layers,
        tf.slice3d(x as tf.Tensor3D, [0, start, 0], [-1, few, -1]),
        options,
      );
      cache = step.cache;
      parts.push(step.h);
    }
    return tf.concat(parts, 1);
  };
  tf.tidy(() => {
    expect(difference(atOnce(h, temperature), inSteps(h, temperature))).toBeLessThan(1e-5);
    const [one, other] = [atOnce, inSteps].map((run) =>
      tf.grad((x) => tf.sum(tf.mul(run(x), aim)))(h),
    );
    expect(difference(one!, other!)).toBeLessThan(1e-4);
  });
  tf.dispose([h, aim, temperature]);
});
