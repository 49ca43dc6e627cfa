import { foldIn, normal, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { mapTree } from '../../src/core/tree.js';
import { checkConfig, type TarFlowConfig } from '../../src/models/tarflow/config.js';
import { createTarFlow, type TarFlow } from '../../src/models/tarflow/index.js';

/**
 * A flow with random weights, to be timed: its samples are nothing. All its blocks share the weights of one,
 * so that a large flow is there quickly. The last layer of that one says something: a fresh block is the
 * identity.
 */
export function randomFlow(config: TarFlowConfig, seed: number): TarFlow {
  const { channels, blocks } = checkConfig(config);
  const fresh = createTarFlow({ ...config, blocks: 1 }, seed);
  const key = foldIn(randomKey(seed), 'last layers');
  const parameters = mapTree(fresh.parameters, (leaf, name) => {
    if (!name.endsWith('proj_out.weight')) return leaf;
    const noise = tf.tensor(normal(foldIn(key, name), leaf.size), leaf.shape);
    const moved = tf.tidy(() => tf.mul(noise, 0.05 / Math.sqrt(channels)));
    tf.dispose([leaf, noise]);
    return moved;
  });
  return withBlocks({ ...fresh, parameters }, blocks);
}

/** The same flow with another number of blocks, which share what the first one has. */
export function withBlocks(flow: TarFlow, blocks: number): TarFlow {
  const [first] = flow.parameters.blocks;
  if (!first) throw new Error('A flow without blocks has none to share.');
  return {
    ...flow,
    config: { ...flow.config, blocks },
    parameters: { blocks: Array.from({ length: blocks }, () => first) },
  };
}
