import { UserError } from '../backend/errors.js';
import { nearestName } from '../backend/nearest.js';
import type { Background } from '../flow/background.js';
import type { TarFlowConfig } from '../models/tarflow/config.js';
import type { TrainingSettings } from '../training/settings.js';

/** One row of a paper's table, or its twin at workbook scale: everything that a run needs. */
export interface Experiment {
  name: string;
  /** What it shows, in a sentence. */
  description: string;
  dataset: string;
  config: TarFlowConfig;
  settings: TrainingSettings;
}

/**
 * An experiment with some of its values replaced, e.g. `channels=64`, `settings.steps=100`,
 * `noise=gaussian:0.1`, `background=none`. Keys are those of `config` and `settings`; the prefix may be left away.
 *
 * @throws UserError for an unknown key, with the keys there are, or a value of the wrong type
 *
 * @example
 * ```ts
 * import { findExperiment, withOverrides } from 'tarflow';
 *
 * const density = findExperiment('fashion-mnist-density');
 * const short = withOverrides(density, ['channels=64', 'settings.steps=100']);
 * console.log(short.config.channels, short.settings.steps); // 64 100
 * ```
 */
export function withOverrides(experiment: Experiment, overrides: readonly string[]): Experiment {
  const changed = structuredClone(experiment);
  const places = valuePlaces(changed);
  for (const override of overrides) {
    const [, key, text] = /^([^=]+)=(.*)$/s.exec(override) ?? [];
    if (key === undefined || text === undefined) {
      throw new UserError(`The option '${override}' is not key=value`, 'Example: channels=64');
    }
    const place = places.find(({ path }) => path === key || path.replace(/^\w+\./, '') === key);
    if (!place) {
      const keys = places.map(({ path }) => path.replace(/^\w+\./, ''));
      throw new UserError(
        `Experiment ${experiment.name} has no option '${key}'`,
        `The nearest one is ${nearestName(key, keys)}. Expected one of ${keys.join(', ')}`,
      );
    }
    place.set(parsed(key, text, place.value));
  }
  return changed;
}

/** All that {@link withOverrides} can replace, as `key=value`. */
export function optionTexts(experiment: Experiment): string[] {
  return valuePlaces(experiment).map(({ path, value }) => {
    const key = path.replace(/^\w+\./, '');
    if (key !== 'noise') return `${key}=${value ?? 'none'}`;
    const { noise } = experiment.settings;
    return `noise=${noise.kind === 'gaussian' ? `gaussian:${noise.sigma}` : noise.kind}`;
  });
}

interface Place {
  path: string;
  value: unknown;
  set(value: unknown): void;
}

function valuePlaces(experiment: Experiment): Place[] {
  const places: Place[] = [];
  const visit = (record: Record<string, unknown>, prefix: string): void => {
    for (const [key, value] of Object.entries(record)) {
      const path = `${prefix}.${key}`;
      if (typeof value === 'object' && value !== null && key !== 'noise') {
        visit(value as Record<string, unknown>, path);
      } else {
        const set = (next: unknown): void => {
          if (next === undefined) delete record[key];
          else record[key] = next;
        };
        places.push({ path, value, set });
      }
    }
  };
  const { config } = experiment;
  visit(config as unknown as Record<string, unknown>, 'config');
  if (config.background === undefined) {
    const set = (next: unknown): void => {
      if (next === undefined) delete config.background;
      else config.background = next as Background;
    };
    places.push({ path: 'config.background', value: undefined, set });
  }
  visit(experiment.settings as unknown as Record<string, unknown>, 'settings');
  return places;
}

function parsed(key: string, text: string, present: unknown): unknown {
  if (key.endsWith('noise')) {
    if (text === 'uniform' || text === 'none') return { kind: text };
    const sigma = /^gaussian:(.+)$/.exec(text)?.[1];
    if (sigma !== undefined && Number.isFinite(Number(sigma))) {
      return { kind: 'gaussian', sigma: Number(sigma) };
    }
    throw new UserError(`noise is '${text}'`, "Expected 'uniform', 'gaussian:SIGMA' or 'none'");
  }
  if (key.endsWith('background')) {
    const background = { none: undefined, '0': 0, '255': 255 };
    if (text in background) return background[text as keyof typeof background];
    throw new UserError(`background is '${text}'`, 'Expected 0, 255 or none');
  }
  if (typeof present === 'number') {
    const number = Number(text);
    if (text.trim() !== '' && Number.isFinite(number)) return number;
    throw new UserError(`${key} is '${text}'`, 'Expected a number');
  }
  if (typeof present === 'boolean') {
    if (text === 'true' || text === 'false') return text === 'true';
    throw new UserError(`${key} is '${text}'`, 'Expected true or false');
  }
  return text;
}
