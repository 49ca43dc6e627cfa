import type { CouplingParameters } from '../../../src/models/coupling/levels.js';
import { type CouplingConfig, coupling } from '../../../src/models/index.js';
import type { FlowCases } from '../cases.js';

const config: CouplingConfig = {
  kind: 'coupling',
  image: { channels: 1, height: 4, width: 4 },
  classes: 0,
  levels: 2,
  stepsPerLevel: 2,
  hiddenChannels: 8,
};

export const couplingCases: FlowCases<CouplingConfig, CouplingParameters> = {
  family: coupling,
  configurations: {
    'two levels': config,
    'one level, wide image': { ...config, image: { channels: 1, height: 2, width: 6 }, levels: 1 },
    'a column of pixels': {
      ...config,
      image: { channels: 1, height: 4, width: 1 },
      stepsPerLevel: 3,
    },
    'odd channels, conditional': {
      ...config,
      image: { channels: 3, height: 1, width: 1 },
      classes: 3,
      levels: 1,
    },
    'conditional, colour': { ...config, image: { channels: 3, height: 4, width: 4 }, classes: 2 },
    'black background, conditional': { ...config, classes: 2, background: 0 },
    'white background': { ...config, background: 255 },
  },
  plane: {
    ...config,
    image: { channels: 1, height: 1, width: 2 },
    levels: 1,
    stepsPerLevel: 6,
    hiddenChannels: 32,
  },
  spread: (name, strength) =>
    name.includes('classes') ? 0.5 : name.includes('output') ? 0.05 * strength : 0.1,
};
