import { type Command, Option } from 'commander';
import type { Conditioned } from '../conditions/context.js';
import { classOf } from '../conditions/labels.js';
import { openTextEncoder, textEncoderNames } from '../conditions/text/named-encoder.js';
import { UserError } from '../core/errors.js';
import type { tf } from '../core/tf.js';
import { blocksOf } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import type { CaptionEncoder } from '../pretrained/caption-encoder.js';
import { checkGuidance, idleGuidance, readingBlocks } from '../sampling/check-guidance.js';
import type { Guidance } from '../sampling/guidance.js';
import { atLeast0, checkUsed, positive, wholeNumbers } from './arguments.js';

/** What the options of {@link addConditionOptions} give. */
export interface ConditionOptions {
  label?: string;
  text: string[];
  textEncoder?: string;
}

/** Adds the options that say what images show. */
export function addConditionOptions(command: Command): Command {
  return command
    .option(
      '--label <label>',
      'class number or name; several with commas take turns, e.g. 0,1,2 (default: none)',
    )
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

/** What each of some images shows: its class, or the states of its caption. */
export interface ConditionsInTurn {
  label: number[] | undefined;
  /** To be freed by the caller. */
  text: tf.Tensor3D | undefined;
}

/**
 * What `count` images show, from number `from` on, by labels or captions that take turns.
 *
 * @throws UserError for labels or captions that the model does not know, and for an encoder that is not
 *   known or not the one of the training
 */
export async function conditionsInTurn(
  flow: LoadedModel,
  checkpoint: string,
  options: ConditionOptions,
  count: number,
  from = 0,
): Promise<ConditionsInTurn> {
  const range = { from, count };
  const label = labelsInTurn(flow, checkpoint, options.label, range);
  return { label, text: await captionsInTurn(flow, checkpoint, options, range) };
}

function labelsInTurn(
  { config, details }: LoadedModel,
  checkpoint: string,
  text: string | undefined,
  range: Range,
): number[] | undefined {
  if (text === undefined) return undefined;
  if (config.classes === 0) {
    throw new UserError(`${checkpoint} is a model without classes`, 'Leave --label out');
  }
  const chosen = text.split(',').map((part) => classOf(part.trim(), config, details.classNames));
  return inTurn(chosen, range);
}

async function captionsInTurn(
  { config, details }: LoadedModel,
  checkpoint: string,
  { text: captions, textEncoder: asked }: ConditionOptions,
  range: Range,
): Promise<tf.Tensor3D | undefined> {
  const { text, classes }: Conditioned = config;
  if (captions.length === 0 && asked === undefined) return undefined;
  if (!text) {
    const option = captions.length > 0 ? '--text' : '--text-encoder';
    throw new UserError(
      `${checkpoint} is a model ${classes > 0 ? `of ${classes} classes` : 'without conditions'} ` +
        'and reads no captions',
      classes > 0 ? `Take --label in place of ${option}` : `Leave ${option} out`,
    );
  }
  if (captions.length === 0) {
    throw new UserError('--text-encoder came without --text', 'Add captions, or leave it out');
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
    return await encoder.encode(inTurn(captions, range), { entries: text.entries });
  } finally {
    encoder.dispose();
  }
}

/** Numbers of samples: `count` from `from` on. */
interface Range {
  from: number;
  count: number;
}

function inTurn<T>(values: readonly T[], { from, count }: Range): T[] {
  return Array.from({ length: count }, (_, i) => values[(from + i) % values.length]!);
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

/** What the options of {@link addGuidanceOptions} give. */
export interface GuidanceOptions extends Omit<Guidance, 'weight'> {
  /** The weight. */
  guidance: number;
}

/** Adds the options that make a {@link Guidance}. */
export function addGuidanceOptions(command: Command): Command {
  return command
    .option('--guidance <weight>', 'guidance weight w, 0 for none', atLeast0, 0)
    .addOption(
      new Option(
        '--rule <rule>',
        'guidance: linear, or the product of Gaussians (default: linear)',
      ).choices(['linear', 'product']),
    )
    .option('--temperature <tau>', 'guidance: attention temperature of the weaker model', positive)
    .option('--annealed', 'guidance: let the weight grow along the tokens')
    .addOption(
      new Option(
        '--on <ab>',
        'guidance: on the log-scale a, the shift b, or both (default: ab)',
      ).choices(['a', 'b', 'ab']),
    )
    .option('--blocks <list>', 'guidance: only these blocks, e.g. 0,1', wholeNumbers);
}

/**
 * The guidance that the options ask for.
 *
 * @param conditions what the images are told to show
 * @throws UserError for options that do not fit the model, or that would change nothing
 */
export function guidanceOf(
  flow: LoadedModel,
  { label, text }: ConditionsInTurn,
  options: GuidanceOptions,
): Guidance | undefined {
  const { guidance: weight, rule, temperature, annealed, on, blocks } = options;
  const details = { rule, temperature, annealed, on, blocks };
  checkUsed(details, weight === 0 && 'without --guidance above 0');
  if (weight === 0) return undefined;
  const came = Object.entries(details).filter(([, value]) => value !== undefined);
  const guidance: Guidance = { weight, ...Object.fromEntries(came) };
  const stack = blocksOf(flow);
  checkGuidance(stack, guidance);
  const idle = idleGuidance(stack, guidance, (label ?? text) !== undefined);
  if (idle === undefined) return guidance;
  const { text: reads, classes }: Conditioned = flow.config;
  const condition = reads ? '--text' : classes > 0 ? '--label' : undefined;
  const isBlocks = idle === 'blocks';
  const missing = isBlocks ? `--blocks ${readingBlocks(stack).join(',')}` : condition;
  const why = isBlocks ? `: blocks ${blocks?.join(', ')} read no label or caption` : '';
  const attends = stack.some(({ heads }) => heads > 0);
  const ways = [...(attends ? ['--temperature other than 1'] : []), ...(missing ? [missing] : [])];
  throw new UserError(
    `This guidance would change nothing${why}`,
    ways.length > 0 ? `Add ${ways.join(', or ')}` : 'Leave --guidance out',
  );
}
