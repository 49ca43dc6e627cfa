import type { Command } from 'commander';
import { UserError } from '../backend/errors.js';
import type { Conditioned } from '../conditions/given.js';
import { blocksOf } from '../flow/flow.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { checkGuidance, type Guidance } from '../sampling/guidance/guided-block.js';
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
function toldBy({ text, classes }: Conditioned): string {
  if (text) return ', or --text';
  return classes > 0 ? ', or --label' : '';
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
      'Add --guidance with a weight above 0, or leave it away',
    );
  }
  const guidance: Guidance = {
    weight,
    ...Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined)),
  };
  checkGuidance(blocksOf(flow), guidance);
  if (!labelled && (temperature ?? 1) === 1) {
    throw new UserError(
      'This guidance would change nothing',
      `Add --temperature other than 1${toldBy(flow.config)}`,
    );
  }
  return guidance;
}
