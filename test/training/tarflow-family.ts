import type { RandomKey } from '../../src/backend/random.js';
import type { tf } from '../../src/backend/tf.js';
import { mapTree, type Tree } from '../../src/backend/tree.js';
import {
  checkConfig,
  configName,
  type FlowConfig,
  tokenCount,
  tokenWidth,
} from '../../src/flow/config.js';
import type { Family, FlowAbility, Model } from '../../src/flow/model.js';
import { type FlowParameters, initialParameters } from '../../src/flow/parameters.js';
import { forwardImages } from '../../src/flow/tarflow.js';
import type { Specs } from '../../src/nn/specs.js';
import { ones } from '../../src/nn/specs.js';
import { likelihood } from '../../src/training/objectives/likelihood.js';

export interface TarFlowConfig extends FlowConfig {
  kind: 'tarflow';
}
type M = Model<TarFlowConfig, FlowParameters>;
const flow: FlowAbility<TarFlowConfig, FlowParameters> = {
  forward: ({ config, parameters, buffers }: M, x, { classes }) =>
    forwardImages({ config, parameters, variance: buffers.var as tf.Tensor2D }, x, classes),
  latentShape: (config) => [tokenCount(config), tokenWidth(config)],
  rows: tokenCount,
};
export const tarflowFamily: Family<TarFlowConfig, FlowParameters> = {
  kind: 'tarflow',
  schema: undefined as never,
  check: (config) => checkConfig(config) as TarFlowConfig,
  title: configName,
  specs(config, key: RandomKey) {
    const made = initialParameters(config, key);
    const parameters = mapTree(made as Tree, (leaf) => {
      const data = leaf.dataSync().slice() as Float32Array;
      const spec = { shape: leaf.shape.slice(), values: () => data };
      leaf.dispose();
      return Object.assign(spec) as never;
    }) as unknown as Specs<FlowParameters>;
    return { parameters, buffers: { var: ones([tokenCount(config), tokenWidth(config)]) } };
  },
  objectives: (config) => [likelihood(flow, { runningVariance: config.volumePreserving })],
  flow,
};
