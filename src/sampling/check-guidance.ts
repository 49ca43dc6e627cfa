import type { Conditioned, Context } from '../conditions/context.js';
import { UserError } from '../core/errors.js';
import { tidy } from '../core/tf.js';
import type { AutoregressiveBlock } from '../flow/autoregressive.js';
import { changesAttention, type Guidance, guidanceSchema, presentConditions } from './guidance.js';
import { checkSettings } from './solvers/solver-settings.js';

/**
 * Checks guidance against a model.
 * @throws UserError for a setting that is out of range, an unknown block, and for what the rule of the
 *   product does not take
 */
export function checkGuidance(stack: readonly AutoregressiveBlock[], guidance: Guidance): void {
  checkSettings('guidance', guidanceSchema, guidance);
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

/**
 * Checks guidance against a model and what is told of the samples; without guidance nothing.
 * @throws UserError as {@link checkGuidance} does, and where guidance would change nothing (see
 *   {@link idleGuidance}): it says why, and what to give
 */
export function checkGuided(
  config: Conditioned,
  stack: readonly AutoregressiveBlock[],
  guidance: Guidance | undefined,
  given: Context,
): void {
  if (!guidance) return;
  checkGuidance(stack, guidance);
  const idle = idleGuidance(stack, guidance, isTold(given));
  if (idle === undefined) return;
  const { temperature = 1, blocks = [] } = guidance;
  const attends = stack.some(({ heads }) => heads > 0);
  const attention = attends && temperature === 1 ? ', and the attention temperature is 1' : '';
  const otherwise =
    `${attends ? 'Set guidance.temperature to a number other than 1' : 'Take another model'}, or ` +
    'leave guidance out (weight 0)';
  const told = config.text ? 'the states of captions (text)' : 'a label from 0';
  const [problem, remedy] = {
    unconditional: [`the model has no classes and reads no captions${attention}`, otherwise],
    untold: [
      `neither a label nor a caption came${attention}`,
      `Give ${told}${attends ? `. ${otherwise}` : ', or leave guidance out (weight 0)'}`,
    ],
    blocks: [
      `of its blocks (${blocks.join(', ') || 'none'}) none reads a label or a caption${attention}`,
      `Name one of those that do (${readingBlocks(stack).join(', ')}) in guidance.blocks, or leave ` +
        'guidance.blocks out',
    ],
  }[idle] as [string, string];
  throw new UserError(`This guidance would change nothing: ${problem}`, remedy);
}

/**
 * The guidance of some of the samples that it was checked for: none where nothing is told of them, so
 * that both branches would be the same.
 */
export function guidanceOfPart(
  stack: readonly AutoregressiveBlock[],
  guidance: Guidance,
  given: Context,
): Guidance | undefined {
  return idleGuidance(stack, guidance, isTold(given)) === undefined ? guidance : undefined;
}
