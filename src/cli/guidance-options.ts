import type { Command } from 'commander';
import type { Conditioned } from '../conditions/given.js';
import { UserError } from '../core/errors.js';
import { blocksOf } from '../flow/flow.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { checkGuidance, idleGuidance, readingBlocks } from '../sampling/guidance/check-guidance.js';
import type { Guidance } from '../sampling/guidance/guided-block.js';
import { number, wholeNumbers } from './arguments.js';

/** What the options of {@link addGuidanceOptions} give. */
export interface GuidanceOptions {
  guidance: number;
  rule?: 'linear' | 'product';
  temperature?: number;
  annealed?: boolean;
  on?: 'a' | 'b' | 'ab';
  blocks?: number[];
}

/** Adds the options that make a {@link Guidance}. */
export function addGuidanceOptions(command: Command): Command {
  return command
    .option('--guidance <weight>', 'guidance weight w, 0 for none', number, 0)
    .option('--rule <rule>', 'guidance: linear, or the product of Gaussians (default: linear)')
    .option('--temperature <tau>', 'guidance: attention temperature of the weaker model', number)
    .option('--annealed', 'guidance: let the weight grow along the tokens')
    .option('--on <ab>', 'guidance: on the log-scale a, the shift b, or both (default: ab)')
    .option('--blocks <list>', 'guidance: only these blocks, e.g. 0,1', wholeNumbers);
}

/** The option by which a model is told what to make, where there is one. */
function toldBy({ text, classes }: Conditioned): string | undefined {
  if (text) return '--text';
  return classes > 0 ? '--label' : undefined;
}

/**
 * The guidance that the options ask for.
 * @throws UserError for options that do not fit the model, or that would change nothing
 */
export function guidanceOf(
  flow: LoadedModel,
  labelled: boolean,
  options: GuidanceOptions,
): Guidance | undefined {
  const { guidance: weight, rule, temperature, annealed, on, blocks } = options;
  const details = { rule, temperature, annealed, on, blocks };
  if (weight === 0) {
    const given = Object.entries(details).find(([, value]) => value !== undefined)?.[0];
    if (given === undefined) return undefined;
    throw new UserError(
      `--${given} came without guidance`,
      'Add --guidance with a weight above 0, or leave it out',
    );
  }
  const guidance: Guidance = {
    weight,
    ...Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined)),
  };
  const stack = blocksOf(flow);
  checkGuidance(stack, guidance);
  const idle = idleGuidance(stack, guidance, labelled);
  if (idle === undefined) return guidance;
  const isBlocks = idle === 'blocks';
  const why = isBlocks ? `: blocks ${blocks?.join(', ')} read no label or caption` : '';
  const missing = isBlocks ? `--blocks ${readingBlocks(stack).join(',')}` : toldBy(flow.config);
  const attends = stack.some(({ heads }) => heads > 0);
  const ways = [...(attends ? ['--temperature other than 1'] : []), ...(missing ? [missing] : [])];
  throw new UserError(
    `This guidance would change nothing${why}`,
    ways.length > 0 ? `Add ${ways.join(', or ')}` : 'Leave --guidance out',
  );
}
