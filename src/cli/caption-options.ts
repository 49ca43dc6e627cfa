import type { Command } from 'commander';
import type { Conditioned } from '../conditions/given.js';
import type { CaptionEncoder } from '../conditions/text/caption-encoder.js';
import { openTextEncoder, textEncoderNames } from '../conditions/text/named-encoder.js';
import { UserError } from '../core/errors.js';
import type { tf } from '../core/tf.js';
import type { LoadedModel } from '../models/load-checkpoint.js';

/** What the options of {@link addCaptionOptions} give. */
export interface CaptionOptions {
  text: string[];
  textEncoder?: string;
}

/** Adds the options that say what samples shall show. */
export function addCaptionOptions(command: Command): Command {
  return command
    .option(
      '--text <caption>',
      'caption of the images; given several times, captions take turns (default: the empty one)',
      (caption: string, before: string[]) => [...before, caption],
      [],
    )
    .option(
      '--text-encoder <name>',
      `${textEncoderNames.join(', ')}: what reads captions (default: that of the training)`,
    );
}

/**
 * The states of a caption for each image, in turn, which the caller frees.
 *
 * @throws UserError for a model that reads no captions, and for an encoder that is not known or not the
 *   one of the training
 */
export async function captionsInTurn(
  { config, details }: LoadedModel,
  checkpoint: string,
  { text: captions, textEncoder: asked }: CaptionOptions,
  count: number,
): Promise<tf.Tensor3D | undefined> {
  const { text, classes }: Conditioned = config;
  const option = captions.length > 0 ? '--text' : '--text-encoder';
  if (captions.length === 0 && asked === undefined) return undefined;
  if (captions.length === 0 && text) {
    throw new UserError('--text-encoder came without --text', 'Add captions, or leave it out');
  }
  if (!text) {
    throw new UserError(
      `${checkpoint} is a model ${classes > 0 ? `of ${classes} classes` : 'without conditions'} ` +
        'and reads no captions',
      classes > 0 ? `Take --label in place of ${option}` : `Leave ${option} out`,
    );
  }
  const name = asked ?? details.textEncoder?.name;
  if (name === undefined) {
    throw new UserError(
      `${checkpoint} does not say what reads captions`,
      `Add --text-encoder with ${textEncoderNames.join(' or ')}`,
    );
  }
  const encoder = await openTextEncoder(name);
  try {
    checkEncoder(encoder, checkpoint, text.width, details.textEncoder);
    const inTurn = Array.from({ length: count }, (_, i) => captions[i % captions.length] as string);
    return await encoder.encode(inTurn, { entries: text.entries });
  } finally {
    encoder.dispose();
  }
}

function checkEncoder(
  { name, width, weights }: CaptionEncoder,
  checkpoint: string,
  expected: number,
  trained: { name: string; weights: string } | undefined,
): void {
  if (width !== expected) {
    throw new UserError(
      `${name} gives entries of ${width} numbers, and ${checkpoint} reads ${expected}`,
      'Choose the encoder that it was trained with',
    );
  }
  // States that were computed elsewhere are in a file for each set of captions.
  if (!trained || trained.weights === weights || name.startsWith('states:')) return;
  throw new UserError(
    `${checkpoint} was trained with captions read by ${trained.name}, whose weights are others than ` +
      `those of ${name}`,
    'Choose the encoder that it was trained with',
  );
}
