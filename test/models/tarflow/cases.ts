import { type TarFlowConfig, type TarFlowParameters, tarflow } from '../../../src/models/index.js';
import type { FlowCases } from '../cases.js';

/** Two blocks on 4×4 pixels. */
export const smallConfig: TarFlowConfig = {
  kind: 'tarflow',
  image: { channels: 1, height: 4, width: 4 },
  patchSize: 1,
  channels: 16,
  blocks: 2,
  layersPerBlock: 1,
  headWidth: 8,
  classes: 0,
  volumePreserving: false,
};

export const tarflowCases: FlowCases<TarFlowConfig, TarFlowParameters> = {
  family: tarflow,
  configurations: {
    'one block, patch 1': { ...smallConfig, blocks: 1 },
    'two blocks, patch 2, wide image': {
      ...smallConfig,
      image: { channels: 1, height: 4, width: 6 },
      patchSize: 2,
    },
    'three blocks, patch 4, tall image': {
      ...smallConfig,
      image: { channels: 1, height: 8, width: 4 },
      patchSize: 4,
      blocks: 3,
    },
    'conditional, colour': {
      ...smallConfig,
      image: { channels: 3, height: 4, width: 4 },
      patchSize: 2,
      classes: 3,
    },
    'one wide head, two layers': { ...smallConfig, headWidth: 16, layersPerBlock: 2 },
    'four heads, conditional': { ...smallConfig, headWidth: 4, classes: 2, blocks: 3 },
    'three blocks of one direction': { ...smallConfig, blocks: 3, directions: 'same' },
    'volume preserving': { ...smallConfig, volumePreserving: true, blocks: 3 },
    'volume preserving, conditional, patch 2': {
      ...smallConfig,
      volumePreserving: true,
      classes: 4,
      patchSize: 2,
      image: { channels: 1, height: 4, width: 6 },
    },
    'black background, conditional': { ...smallConfig, classes: 2, background: 0 },
    'white background': { ...smallConfig, background: 255 },
  },
  plane: { ...smallConfig, image: { channels: 1, height: 1, width: 2 }, blocks: 6 },
  spread: (name, strength) =>
    name.includes('proj_out') ? 0.1 * strength : name.includes('embed') ? 0.5 : 0.1,
};
