import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { nearestName } from '../core/nearest.js';
import type { ModelConfig } from '../flow/model.js';
import type { Experiment } from '../training/experiment.js';
import { trainingSettings } from '../training/settings.js';
import { familyOf } from './registry.js';

/**
 * An experiment with some of its values replaced, e.g. `channels=64`, `settings.steps=100`,
 * `noise=gaussian:0.1`, `background=none`. Keys are those of the schemas of `config`, by its kind, and
 * of `settings`; the prefix may be omitted.
 *
 * @throws UserError for an unknown key, with the keys there are, or a value of the wrong type
 *
 * @example
 * ```ts
 * import { findExperiment, withOverrides } from 'tarflow';
 *
 * const density = findExperiment('fashion-mnist-density');
 * const short = withOverrides(density, ['settings.steps=100']);
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
      const nearest = nearestName(key, keys);
      throw new UserError(
        `Experiment ${experiment.name} has no option '${key}'`,
        `${nearest === undefined ? '' : `The nearest one is ${nearest}. `}` +
          `Expected one of ${keys.join(', ')}`,
      );
    }
    const value = place.parse(key, text);
    if (value === undefined) delete place.record[place.name];
    else place.record[place.name] = value;
  }
  return changed;
}

/** All that {@link withOverrides} can replace, as `key=value`. */
export function optionTexts(experiment: Experiment): string[] {
  return valuePlaces(experiment).map(({ path, record, name }) => {
    const value = record[name];
    return `${shortened(path)}=${name === 'noise' ? noiseText(value as Noise) : (value ?? 'none')}`;
  });
}

/** Where a value of an experiment stands. */
interface Place {
  path: string;
  record: Record<string, unknown>;
  name: string;
  /** The value that a text stands for; undefined takes it away. */
  parse(key: string, text: string): unknown;
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
    ...placesOf(familyOf(config.kind).schema, config, 'config'),
    ...placesOf(trainingSettings, settings, 'settings'),
  ];
}

function placesOf(schema: z.ZodType, values: object, path: string): Place[] {
  const visit = (
    { properties = {}, required = [] }: JsonSchema,
    record: Record<string, unknown>,
    prefix: string,
  ): Place[] =>
    Object.entries(properties).flatMap(([name, inner]) => {
      const path = `${prefix}.${name}`;
      if (inner.properties) {
        // Of what is absent nothing can be replaced.
        const nested = record[name] as Record<string, unknown> | undefined;
        return nested ? visit(inner, nested, path) : [];
      }
      // A kind of model has keys of its own: it is not a value that could change alone.
      if (inner.const !== undefined) return [];
      const optional = !required.includes(name);
      const parse = (key: string, text: string): unknown =>
        name === 'noise' ? parsedNoise(text) : parsed(key, text, inner, optional);
      return [{ path, record, name, parse }];
    });
  return visit(z.toJSONSchema(schema) as JsonSchema, values as Record<string, unknown>, path);
}

function shortened(path: string): string {
  return path.replace(/^\w+\./, '');
}

type Noise = Experiment['settings']['noise'];

function noiseText(noise: Noise): string {
  return noise.kind === 'gaussian' ? `gaussian:${noise.sigma}` : noise.kind;
}

function parsedNoise(text: string): Noise {
  if (text === 'uniform' || text === 'none') return { kind: text };
  const sigma = /^gaussian:(.+)$/.exec(text)?.[1];
  if (sigma !== undefined && Number.isFinite(Number(sigma))) {
    return { kind: 'gaussian', sigma: Number(sigma) };
  }
  throw new UserError(`noise is '${text}'`, "Expected 'uniform', 'gaussian:SIGMA' or 'none'");
}

function parsed(key: string, text: string, schema: JsonSchema, optional: boolean): unknown {
  if (optional && text === 'none') return undefined;
  const choices = schema.enum ?? schema.anyOf?.map((choice) => choice.const);
  if (choices) {
    const found = choices.find((choice) => String(choice) === text);
    if (found !== undefined) return found;
    throw new UserError(
      `${key} is '${text}'`,
      `Expected ${choices.join(', ')}${optional ? ' or none' : ''}`,
    );
  }
  if (schema.type === 'boolean') {
    if (text === 'true' || text === 'false') return text === 'true';
    throw new UserError(`${key} is '${text}'`, 'Expected true or false');
  }
  if (schema.type === 'array' && schema.items) {
    const { items } = schema;
    return text.split(',').map((one) => parsed(key, one, items, false));
  }
  const number = Number(text);
  if (text.trim() !== '' && Number.isFinite(number)) return number;
  throw new UserError(`${key} is '${text}'`, 'Expected a number');
}
