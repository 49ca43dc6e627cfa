import { type StarFlowConfig, starflow } from '../../../src/models/index.js';
import type { StarFlowParameters } from '../../../src/models/starflow/parameters.js';
import type { FlowCases } from '../cases.js';

/** A shallow and a deeper block on 4×4 pixels, as the published models are made. */
export const smallStarFlow: StarFlowConfig = {
  kind: 'starflow',
  image: { channels: 1, height: 4, width: 4 },
  classes: 0,
  nullClass: true,
  patchSize: 1,
  channels: 16,
  layersPerBlock: [1, 2],
  headWidth: 8,
  startToken: true,
  norm: 'layer',
  finalNorm: true,
  softClip: 4,
  scale: 'softplus',
  firstDirection: 'reverse',
  gridSide: 4,
};

export const starflowCases: FlowCases<StarFlowConfig, StarFlowParameters> = {
  family: starflow,
  configurations: {
    'as published': smallStarFlow,
    'conditional, colour, patch 2': {
      ...smallStarFlow,
      image: { channels: 3, height: 4, width: 4 },
      patchSize: 2,
      classes: 3,
      channels: 40,
      headWidth: 20,
    },
    'wide image, exponential scale without bound': {
      ...smallStarFlow,
      image: { channels: 1, height: 4, width: 6 },
      patchSize: 2,
      scale: 'exp',
      softClip: 0,
    },
    'no start token, three blocks, forward first': {
      ...smallStarFlow,
      startToken: false,
      layersPerBlock: [1, 1, 2],
      firstDirection: 'forward',
    },
    'root-mean-square norms, none at the end': {
      ...smallStarFlow,
      norm: 'rms',
      finalNorm: false,
      headWidth: 16,
    },
    'conditional, wide image': {
      ...smallStarFlow,
      image: { channels: 1, height: 2, width: 6 },
      classes: 2,
      channels: 48,
      headWidth: 24,
      gridSide: 5,
    },
    'reads captions': {
      ...smallStarFlow,
      text: { entries: 3, width: 5 },
      channels: 40,
      headWidth: 20,
    },
  },
  plane: {
    ...smallStarFlow,
    image: { channels: 1, height: 1, width: 2 },
    channels: 24,
    layersPerBlock: [1, 1, 1, 1, 1, 1],
    gridSide: 2,
  },
  spread: (name, strength) =>
    name.includes('proj_out') ? 0.1 * strength : name.includes('embed') ? 0.5 : 0.1,
};
