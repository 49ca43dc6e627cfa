import { z } from 'zod';
import { didYouMean, nearestName, UserError } from './errors.js';

/**
 * A value that came from a file or an option, checked by a schema.
 *
 * @param source what to call the value in errors, e.g. `a.safetensors: the metadata 'config'`
 * @param remedy what to do where it does not fit
 * @returns the value with the schema's defaults filled in
 * @throws UserError that names all that is wrong: of the first key that is unknown the nearest one that
 *   there is, and each value that does not fit
 */
export function checkedValue<T>(
  schema: z.ZodType<T>,
  value: unknown,
  source: string,
  remedy: string,
): T {
  const { data, error } = schema.safeParse(value);
  if (!error) return data;
  // Before a key that is missing: most likely that was meant.
  const [unknown, ...more] = error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => ({ key, path: issue.path })) : [],
  );
  const misfits = [
    ...more.map(({ key, path }) => `${dotted([...path, key])} is unknown`),
    ...error.issues.flatMap((issue) => {
      if (issue.code === 'unrecognized_keys') return [];
      const place = issue.path.length > 0 ? dotted(issue.path) : 'it';
      const came = valueAt(value, issue.path);
      const told = came === undefined ? wanted(schema, value, issue) : messages(issue);
      const choices = issue.code === 'invalid_value' ? issue.values.map(String) : [];
      return `${place} is ${shortJson(came)} (${didYouMean(`${came}`, choices)}${told})`;
    }),
  ].join('; ');
  if (!unknown) throw new UserError(`${source} does not fit: ${misfits}`, remedy);
  const known = unknownKey(schema, value, unknown, source);
  throw new UserError(known.problem, known.remedy + (misfits ? `. Besides, ${misfits}` : ''));
}

/**
 * A model's configuration, checked by its schema.
 * @throws UserError as {@link checkedValue}
 */
export function checkedConfig<T>(schema: z.ZodType<T>, config: T): T {
  return checkedValue(schema, config, 'The configuration', 'Choose a value that fits');
}

/**
 * {@link checkedValue} of a JSON text.
 * @throws UserError as there, and where the text is not JSON, or nested too deeply
 */
export function checkedJson<T>(
  schema: z.ZodType<T>,
  text: string,
  source: string,
  remedy: string,
): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${source} is not JSON (${(error as Error).message})`, remedy);
  }
  if (isNested(value)) throw new UserError(`${source} is nested too deeply`, remedy);
  return checkedValue(schema, value, source, remedy);
}

/** Whether a value is an object, as JSON has it. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether lists and objects lie in each other deeper than in any file of ours, and than functions may call themselves. */
export function isNested(value: unknown, deepest = 64): boolean {
  if (!(value instanceof Object)) return false;
  return deepest === 0 || Object.values(value).some((inner) => isNested(inner, deepest - 1));
}

function unknownKey(
  schema: z.ZodType,
  value: unknown,
  { key, path }: { key: string; path: readonly PropertyKey[] },
  source: string,
): UserError {
  const known = keysAt(jsonSchema(schema), path, value);
  const nearest = nearestName(key, known);
  const named = (name: string): string => dotted([...path, name]);
  return new UserError(
    `${source} has the key ${named(key)}, which is unknown here`,
    known.length === 0
      ? 'Leave it out'
      : `${nearest === undefined ? 'Known' : `The nearest one is ${named(nearest)}; known`} are ` +
          known.map(named).join(', '),
  );
}

function jsonSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
}

/** What matters here of a JSON schema. */
interface JsonSchema {
  type?: string;
  examples?: unknown[];
  required?: string[];
  const?: unknown;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
}

/** The keys that an object at a path may have. */
function keysAt(schema: JsonSchema, path: readonly PropertyKey[], value: unknown): string[] {
  const all = schemasAt(schema, path, value).flatMap(({ properties = {} }) =>
    Object.keys(properties),
  );
  return [...new Set(all)];
}

/** What there may be at a path; of several kinds those of the kind that came. */
function schemasAt(schema: JsonSchema, path: readonly PropertyKey[], value: unknown): JsonSchema[] {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    const fitting = choices.filter((choice) => mayBe(choice, value));
    return fitting.flatMap((choice) => schemasAt(choice, path, value));
  }
  const [first, ...rest] = path;
  if (first === undefined) return [schema];
  const inner = typeof first === 'number' ? schema.items : schema.properties?.[String(first)];
  return inner ? schemasAt(inner, rest, valueAt(value, [first])) : [];
}

/** Whether an object has the constant values, e.g. the `kind`, that a schema asks for. */
function mayBe({ properties = {} }: JsonSchema, value: unknown): boolean {
  return Object.entries(properties).every(([key, schema]) => {
    const came = valueAt(value, [key]);
    return schema.const === undefined || came === undefined || came === schema.const;
  });
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (found, key) => (found instanceof Object ? Reflect.get(found, key) : undefined),
    value,
  );
}

/** What has to be at a place where nothing is, with an example where its schema has one. */
function wanted(schema: z.ZodType, value: unknown, issue: z.core.$ZodIssue): string {
  const own = messages(issue);
  const [found] = schemasAt(jsonSchema(schema), issue.path, value);
  const { type, required = [], examples = [] } = found ?? {};
  if (type === undefined || !/^expected \w+$/.test(own)) return own;
  const keys = required.length > 0 ? ` with ${required.join(', ')}` : '';
  const shown = examples.length > 0 ? `, such as ${JSON.stringify(examples[0])}` : '';
  return `expected ${/^[aio]/.test(type) ? 'an' : 'a'} ${type}${keys}${shown}`;
}

/** What was expected; of a choice, all that was. What came stands beside it. */
function messages(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_union') {
    return issue.message.replace(/^Invalid input: (expected .*?)(, received .*)?$/s, '$1');
  }
  const all = issue.errors.flat().map(messages);
  return all.length > 0 ? [...new Set(all)].join('; or ') : issue.message;
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}

/** A short picture of a value that came from a file. */
export function shortJson(value: unknown): string {
  try {
    // Not every number is one in JSON.
    const text = typeof value === 'number' ? `${value}` : (JSON.stringify(value) ?? 'missing');
    return text.length > 60 ? `${text.slice(0, 60)}…` : text;
  } catch {
    return 'nested too deeply';
  }
}
