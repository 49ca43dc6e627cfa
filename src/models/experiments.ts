import * as path from 'node:path';
import { z } from 'zod';
import { didYouMean, UserError } from '../core/errors.js';
import { readBytes } from '../core/files.js';
import { checkedJson, checkedValue } from '../core/schema.js';
import type { ModelConfig } from '../flow/model.js';
import type { Experiment } from '../training/experiment.js';
import { trainingSettings, usualSettings } from '../training/settings.js';
import { familyOf } from './registry.js';

const outline = z.looseObject({
  config: z.looseObject({ kind: z.string().meta({ examples: ['tarflow'] }) }),
  settings: z.looseObject({}).default({}),
});

/**
 * An experiment of one's own from a JSON file: `dataset` as `openDataset` takes it, `config` of one of the
 * kinds of models, and what of `settings` differs from `usualSettings`; `name` is else that of the file, and
 * `description` is empty.
 *
 * @throws UserError that names all values that are missing, unknown or do not fit
 */
export async function readExperiment(file: string): Promise<Experiment> {
  const text = Buffer.from(await readBytes(file)).toString('utf8');
  const remedy = 'tarflow train --list --json shows whole experiments';
  const written = checkedJson(outline, text, file, remedy);
  const whole = z.strictObject({
    name: z.string().min(1).default(path.parse(file).name),
    description: z.string().default(''),
    dataset: z
      .string()
      .min(1)
      .meta({ examples: ['folder:mypics'] }),
    config: familyOf(written.config.kind).schema,
    settings: trainingSettings,
  });
  const settings = { ...usualSettings, ...written.settings };
  return checkedValue(whole, { ...written, settings }, file, remedy);
}

/**
 * An experiment with some of its values replaced, e.g. `channels=64`, `settings.steps=100`,
 * `noise=gaussian:0.1`, `background=none`. Keys are those of the schemas of `config`, by its kind, and
 * of `settings`; the prefix may be omitted.
 *
 * @throws UserError for an unknown key, with the keys there are, or a value of the wrong type
 *
 * @example
 * ```ts
 * import { withOverrides } from 'tarflow';
 * import { usualSettings } from 'tarflow/training';
 *
 * const image = { channels: 1, height: 8, width: 8 };
 * const config = { kind: 'maf', image, classes: 0, blocks: 2, hiddenLayers: 1, hiddenUnits: 32 };
 * const about = { name: 'mine', description: '', dataset: 'folder:mypics' };
 * const short = withOverrides({ ...about, config, settings: usualSettings }, ['settings.steps=100']);
 * console.log(short.settings.steps); // 100
 * ```
 */
export function withOverrides<C extends ModelConfig>(
  experiment: Experiment<C>,
  overrides: readonly string[],
): Experiment<C> {
  const changed = structuredClone(experiment);
  const places = valuePlaces(changed);
  for (const override of overrides) {
    const [, key, text] = /^([^=]+)=(.*)$/s.exec(override) ?? [];
    if (key === undefined || text === undefined) {
      throw new UserError(`The option '${override}' is not key=value`, 'Example: seed=2');
    }
    const place = places.find(({ path }) => path === key || shortened(path) === key);
    if (!place) {
      const keys = places.map(({ path }) => shortened(path));
      throw new UserError(
        `Experiment ${experiment.name} has no option '${key}'`,
        `${didYouMean(key, keys)}Expected one of ${keys.join(', ')}`,
      );
    }
    const { record, name, schema, optional } = place;
    if (optional && text === 'none') delete record[name];
    else record[name] = name === 'noise' ? parsedNoise(text) : parsed(key, text, schema, optional);
  }
  return changed;
}

/** All that {@link withOverrides} can replace, as `key=value`. */
export function optionTexts(experiment: Experiment): string[] {
  const { noise } = experiment.settings;
  const noiseText = noise.kind === 'gaussian' ? `gaussian:${noise.sigma}` : noise.kind;
  return valuePlaces(experiment).map(({ path, record, name }) => {
    const value = name === 'noise' ? noiseText : (record[name] ?? 'none');
    return `${shortened(path)}=${value}`;
  });
}

/** Where a value of an experiment stands. */
interface Place {
  path: string;
  record: Record<string, unknown>;
  name: string;
  schema: JsonSchema;
  /** True where `none` takes it away. */
  optional: boolean;
}

/** What matters here of a JSON schema. */
interface JsonSchema {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
}

function valuePlaces({ config, settings }: Experiment): Place[] {
  return [
    ...placesOf(z.toJSONSchema(familyOf(config.kind).schema) as JsonSchema, config, 'config'),
    ...placesOf(z.toJSONSchema(trainingSettings) as JsonSchema, settings, 'settings'),
  ];
}

function placesOf({ properties = {}, required = [] }: JsonSchema, values: object, at: string) {
  const record: Record<string, unknown> = Object(values);
  return Object.entries(properties).flatMap(([name, schema]): Place[] => {
    const path = `${at}.${name}`;
    const value = record[name];
    // Of what is absent nothing can be replaced.
    if (schema.properties) return value ? placesOf(schema, Object(value), path) : [];
    // A kind of model has keys of its own: it is not a value that could change alone.
    if (schema.const !== undefined) return [];
    return [{ path, record, name, schema, optional: !required.includes(name) }];
  });
}

function shortened(path: string): string {
  return path.replace(/^\w+\./, '');
}

type Noise = Experiment['settings']['noise'];

function parsedNoise(text: string): Noise {
  if (text === 'uniform' || text === 'none') return { kind: text };
  const sigma = /^gaussian:(.+)$/.exec(text)?.[1];
  if (sigma !== undefined && Number.isFinite(Number(sigma))) {
    return { kind: 'gaussian', sigma: Number(sigma) };
  }
  const meant = didYouMean(text, ['uniform', 'gaussian:SIGMA', 'none']);
  throw new UserError(
    `noise is '${text}'`,
    `${meant}Expected 'uniform', 'gaussian:SIGMA' or 'none'`,
  );
}

function parsed(key: string, text: string, schema: JsonSchema, optional: boolean): unknown {
  if (schema.type === 'array' && schema.items) {
    const { items } = schema;
    return text.split(',').map((one) => parsed(key, one, items, false));
  }
  const choices =
    schema.type === 'boolean'
      ? [true, false]
      : (schema.enum ?? schema.anyOf?.map((choice) => choice.const));
  const number = Number(text);
  if (!choices && text.trim() !== '' && Number.isFinite(number)) return number;
  const found = choices?.find((choice) => String(choice) === text);
  if (found !== undefined) return found;
  const last = schema.type === 'boolean' ? ' or ' : ', ';
  const expected = choices ? choices.join(last) + (optional ? ' or none' : '') : 'a number';
  const meant = didYouMean(text, choices?.map(String) ?? []);
  throw new UserError(`${key} is '${text}'`, `${meant}Expected ${expected}`);
}
