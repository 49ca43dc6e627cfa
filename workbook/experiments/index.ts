import {
  type Experiment,
  findExperiment as find,
  registerExperiments,
} from '../../src/training/experiment.js';
import { design } from './design.js';
import { emojiFromText } from './emoji-text.js';
import type { Expectation } from './experiment.js';
import { images } from './images.js';
import { latentsAndPixels } from './latents-and-pixels.js';
import { noise } from './noise.js';
import { oneCost } from './one-cost.js';
import { tokens } from './tokens.js';

export type { Expectation } from './experiment.js';
export { noiseExperiment } from './noise.js';

const groups = [images, noise, tokens, design, oneCost, emojiFromText, latentsAndPixels];

/** The experiments of the workbook, in its order. */
export const experiments: readonly Experiment[] = groups.flatMap((group) => group.experiments);

/** What the experiments are expected to give, by name. */
export const expectations: ReadonlyMap<string, Expectation> = new Map(
  groups.flatMap(({ expected }) => Object.entries(expected)),
);

registerExperiments(experiments);

/**
 * The experiment of a name, one of the workbook's or one that was registered.
 * @throws UserError that lists the names there are
 */
export const findExperiment: (name: string) => Experiment = find;
