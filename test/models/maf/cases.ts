import type { MafConfig } from '../../../src/models/maf/index.js';
import { type MafParameters, maf } from '../../../src/models/maf/index.js';
import type { FlowCases } from '../cases.js';

const config: MafConfig = {
  kind: 'maf',
  image: { channels: 1, height: 4, width: 4 },
  classes: 0,
  blocks: 2,
  hiddenLayers: 1,
  hiddenUnits: 24,
};

export const mafCases: FlowCases<MafConfig, MafParameters> = {
  family: maf,
  configurations: {
    'two blocks of one layer': config,
    'one block, fewer units than numbers': { ...config, blocks: 1, hiddenUnits: 7 },
    'three blocks of two layers, wide image': {
      ...config,
      image: { channels: 1, height: 3, width: 5 },
      blocks: 3,
      hiddenLayers: 2,
    },
    'conditional, colour': {
      ...config,
      image: { channels: 3, height: 2, width: 3 },
      classes: 3,
      hiddenLayers: 3,
    },
    'black background, conditional': { ...config, classes: 2, background: 0 },
    'white background': { ...config, background: 255 },
  },
  plane: {
    ...config,
    image: { channels: 1, height: 1, width: 2 },
    blocks: 6,
    hiddenLayers: 2,
    hiddenUnits: 64,
  },
  spread: (name, strength) =>
    name.includes('classes') ? 0.5 : name.includes('output') ? 0.1 * strength : 0.1,
};
