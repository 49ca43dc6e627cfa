import type { Conditioned, Context } from '../conditions/context.js';
import { UserError } from '../core/errors.js';
import { checkedValue } from '../core/schema.js';
import { tf, tidy } from '../core/tf.js';
import type { AutoregressiveBlock } from '../flow/autoregressive.js';
import { blocksOf, type Model } from '../flow/model.js';
import { changesAttention, type Guidance, guidanceSchema, presentConditions } from './guidance.js';

/**
 * Checks guidance against a model.
 * @throws UserError for a setting that is out of range, an unknown block, and for what the rule of the
 *   product does not take
 */
export function checkGuidance(stack: readonly AutoregressiveBlock[], guidance: Guidance): void {
  checkedValue(guidanceSchema, guidance, 'Guidance', 'Choose settings that fit');
  const { rule, on = 'ab', annealed, blocks = [] } = guidance;
  if (rule === 'product' && (annealed || on !== 'ab')) {
    throw new UserError(
      `Guidance by the product of Gaussians came with ${annealed ? 'annealing' : `on '${on}'`}`,
      'It moves mean and scale together, by one weight: leave that out, or take the linear rule',
    );
  }
  const unknown = blocks.find((block) => block >= stack.length);
  if (unknown === undefined) return;
  throw new UserError(
    `Guidance names block ${unknown}`,
    `This model has blocks 0 to ${stack.length - 1}`,
  );
}

/**
 * Why guidance would change nothing, its two branches being the same: the model reads no label and no
 * caption (`unconditional`), none came (`untold`), or the blocks that are guided read none (`blocks`).
 */
export type Idle = 'unconditional' | 'untold' | 'blocks';

/**
 * Why guidance would change nothing; undefined where it changes something, and at weight 0, which asks
 * for no guidance.
 *
 * @param told whether a label or a caption came
 */
export function idleGuidance(
  stack: readonly AutoregressiveBlock[],
  guidance: Guidance,
  told: boolean,
): Idle | undefined {
  if (guidance.weight === 0) return undefined;
  const guided = stack.filter(({ index }) => guidance.blocks?.includes(index) ?? true);
  if (guided.some((block) => changesAttention(block, guidance))) return undefined;
  if (readingBlocks(stack).length === 0) return 'unconditional';
  if (!told) return 'untold';
  return readingBlocks(guided).length === 0 ? 'blocks' : undefined;
}

/** Indices of the blocks that read a label or a caption. */
export function readingBlocks(stack: readonly AutoregressiveBlock[]): number[] {
  const reads = (block: AutoregressiveBlock): boolean =>
    tidy(() => Object.keys(presentConditions(block.unconditional(1)))).length > 0;
  return stack.filter(reads).map(({ index }) => index);
}

/** Whether something came that guidance can leave out: a caption, or a label other than −1. */
function isTold({ label, text }: Context): boolean {
  if (text) return true;
  if (label === undefined) return false;
  return typeof label === 'number' ? label >= 0 : label.some((value) => value >= 0);
}

/** What samples are told, and how they are guided. */
export interface GuidedContext extends Context {
  guidance?: Guidance | undefined;
}

/**
 * Checks guidance against a model and what is told of the samples; without guidance nothing.
 * @throws UserError as {@link checkGuidance} does, and where guidance would change nothing (see
 *   {@link idleGuidance}): it says why, and what to give
 */
export function checkGuided(flow: Model, { guidance, ...told }: GuidedContext): void {
  if (!guidance) return;
  const stack = blocksOf(flow);
  checkGuidance(stack, guidance);
  const idle = idleGuidance(stack, guidance, isTold(told));
  if (idle === undefined) return;
  const { temperature = 1, blocks = [] } = guidance;
  const attends = stack.some(({ heads }) => heads > 0);
  const attention = attends && temperature === 1 ? ', and the attention temperature is 1' : '';
  const { text: reads }: Conditioned = flow.config;
  const problem = {
    unconditional: 'the model has no classes and reads no captions',
    untold: 'neither a label nor a caption came',
    blocks: `of its blocks (${blocks.join(', ') || 'none'}) none reads a label or a caption`,
  }[idle];
  const remedies = [
    ...(idle === 'untold'
      ? [`give ${reads ? 'the states of captions (text)' : 'a label from 0'}`]
      : []),
    ...(idle === 'blocks'
      ? [`name one of those that do (${readingBlocks(stack).join(', ')})`]
      : []),
    ...(attends ? ['set guidance.temperature to a number other than 1'] : []),
    'leave guidance out (weight 0)',
  ];
  throw new UserError(
    `This guidance would change nothing: ${problem}${attention}`,
    `Either ${remedies.join(', or ')}`,
  );
}

/**
 * What `count` samples from a number on are told, of all that was checked: labels and captions for fewer
 * samples begin anew after the last. They have no guidance where nothing is told of them, so that both of
 * its branches would be the same.
 *
 * @returns with states of captions that the caller frees
 */
export function partContext(
  flow: Model,
  { label, text, guidance }: GuidedContext,
  from: number,
  count: number,
): GuidedContext {
  const rows = (length: number): number[] =>
    Array.from({ length: count }, (_, i) => (from + i) % length);
  const told: Context = {
    label:
      typeof label === 'object' ? Int32Array.from(rows(label.length), (row) => label[row]!) : label,
    text: text && tidy(() => tf.gather(text, tf.tensor1d(rows(text.shape[0]), 'int32'))),
  };
  // A family without blocks refuses guidance by itself.
  const idle =
    guidance && flow.family.blocks && idleGuidance(blocksOf(flow), guidance, isTold(told));
  return { ...told, guidance: idle === undefined ? guidance : undefined };
}
