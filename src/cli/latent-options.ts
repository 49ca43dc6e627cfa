import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { UserError } from '../core/errors.js';
import type { LatentFacts } from '../data/description.js';
import { latentScale } from '../data/index.js';
import { checkSameLatents } from '../data/latents/same-latents.js';
import type { LoadedModel } from '../models/load-checkpoint.js';

/** For help texts: what `--scale` takes. */
export const scaleForms = 'a number, or a file of `tarflow encode` that has it';

/**
 * The scale that `--scale` says: a number, or that of a file of latents.
 * @throws UserError for a text that is neither
 */
export async function givenScale(text: string | undefined): Promise<number | undefined> {
  if (text === undefined) return undefined;
  if (existsSync(text)) return latentScale(text);
  const scale = Number(text);
  if (text.trim() !== '' && Number.isFinite(scale) && scale > 0) return scale;
  throw new UserError(`--scale is '${text}'`, `Expected ${scaleForms}, above 0`);
}

/**
 * Checks that latents are like those that a model was trained on, as far as both are known.
 *
 * @param which what to call them, in the plural, for example `the latents of FILE`
 * @throws UserError that names both scales, or both autoencoders
 */
export function checkLatentsOf(
  { details }: Pick<LoadedModel, 'details'>,
  checkpoint: string,
  which: string,
  latents: LatentFacts | undefined,
): void {
  checkSameLatents(
    { which: `The latents that ${checkpoint} was trained on`, latents: details.latents },
    { which, latents },
    {
      scale:
        'Take latents of that scale (`tarflow encode --scale NUMBER`, or the file of the first ones)',
      autoencoder: 'Take latents by that autoencoder, or a model that was trained on these',
    },
  );
}

/**
 * The scale of the latents of a split: what is given, or what the autoencoder says; of images that were
 * not trained on that of the training images' file, which lies beside.
 *
 * @returns undefined where it is to be measured on these images, which were trained on
 * @throws UserError where a scale cannot be told
 */
export async function splitScale(
  split: string,
  out: string,
  known: number | undefined,
): Promise<number | undefined> {
  if (known !== undefined || split.startsWith('train')) return known;
  const training = path.join(path.dirname(out), 'train.safetensors');
  if (existsSync(training)) return latentScale(training);
  throw new UserError(
    `Latents of the split '${split}' came without the scale of those that a flow is trained on`,
    `Encode --split train first, into ${training}, or give --scale`,
  );
}
