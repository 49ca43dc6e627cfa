import * as fs from 'node:fs';
import * as path from 'node:path';
import ts from 'typescript';
import { z } from 'zod';
import { familyOf, kinds } from '../../src/models/registry.js';
import { trainingSettings, usualSettings } from '../../src/training/settings.js';
import { root } from './report.js';

/** Where {@link settingsPage} is kept. */
export const settingsFile = path.join(root, 'docs', 'settings.md');

/** What matters here of a JSON schema. */
interface JsonSchema {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
}

/** Comments of the values of an object schema, by their names; those of an inner one behind a dot. */
type Comments = Map<string, string>;

/** All settings of training and all options of models, from their schemas and the comments there. */
export function settingsPage(): string {
  const shared = commentsIn('src/flow/model.ts', 'ModelConfig');
  const folderOf = (kind: string) => path.join(root, 'src', 'models', kind);
  // Others' families may be registered as well.
  const own = kinds.filter((kind) => fs.existsSync(folderOf(kind)));
  const models = own.map((kind) => {
    const comments = fs
      .readdirSync(folderOf(kind))
      .map((file) => commentsIn(path.join('src/models', kind, file), `${kind}Schema`))
      .find((found) => found.size > 0);
    const rows = rowsOf(familyOf(kind).schema, new Map([...shared, ...(comments ?? [])]), {});
    return `## Models of kind \`${kind}\`\n\n${tableOf(rows)}`;
  });
  const settings = rowsOf(
    trainingSettings,
    commentsIn('src/training/settings.ts', 'trainingSettings'),
    usualSettings,
  );
  return `${[
    '# Settings of training, options of models',
    'Written from the schemas by `npm run api`, and checked by a test. `tarflow train --set key=value` changes ' +
      'one of an experiment; in the library they are `settings` and `config` of `train`; in a file of an ' +
      'experiment they stand under the same names. A dash as the default means that a value has to be given, or ' +
      'with “may be absent” that there is none. `tarflow train --data` chooses model, batch and steps by itself.',
    '## Training',
    tableOf(settings),
    ...models,
  ].join('\n\n')}\n`;
}

function tableOf(rows: readonly string[][]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const head = ['name', 'values', 'default', 'meaning'];
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function rowsOf(schema: z.ZodType, comments: Comments, usual: object): string[][] {
  const json = z.toJSONSchema(schema, { io: 'input' }) as JsonSchema;
  return rowsAt(json, '', comments, usual);
}

function rowsAt(
  { properties = {}, required = [] }: JsonSchema,
  at: string,
  comments: Comments,
  usual: object,
): string[][] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const key = `${at}${name}`;
    const meaning = comments.get(key) ?? '';
    const isCommented = Object.keys(schema.properties ?? {}).some((inner) =>
      comments.has(`${key}.${inner}`),
    );
    if (isCommented) return rowsAt(schema, `${key}.`, comments, {});
    if (schema.const !== undefined && name === 'kind') return [];
    const given: unknown = (usual as Record<string, unknown>)[name] ?? schema.default;
    const isOptional = !required.includes(name) && given === undefined;
    const values = `${valuesOf(schema)}${isOptional ? '; may be absent' : ''}`;
    return [[`\`${key}\``, values, given === undefined ? '–' : shown(given), meaning]];
  });
}

function shown(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `\`${value}\``;
  const { kind, sigma } = value as { kind?: string; sigma?: number };
  return kind ? `\`${[kind, ...(sigma === undefined ? [] : [sigma])].join(':')}\`` : '';
}

function valuesOf(schema: JsonSchema): string {
  const { type, items, properties } = schema;
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map(valuesOf).join(' or ');
  if (schema.enum) return schema.enum.map((one) => `\`${one}\``).join(' or ');
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (items) return `list of: ${valuesOf(items)}`;
  if (properties?.kind) {
    const inner = Object.keys(properties).filter((name) => name !== 'kind');
    return `\`${[properties.kind.const, ...inner.map((name) => name.toUpperCase())].join(':')}\``;
  }
  if (properties) {
    const inner = Object.entries(properties).map(([name, one]) => `\`${name}\` ${valuesOf(one)}`);
    return inner.join(', ');
  }
  if (type === 'boolean') return '`true` or `false`';
  const { minimum, maximum, exclusiveMinimum: above, exclusiveMaximum: below } = schema;
  // What a double can hold is no limit.
  const least = (minimum ?? -Infinity) > Number.MIN_SAFE_INTEGER ? `from ${minimum}` : '';
  const most = (maximum ?? Infinity) < Number.MAX_SAFE_INTEGER ? `to ${maximum}` : '';
  const range = [
    above === undefined ? least : `above ${above}`,
    below === undefined ? most : `below ${below}`,
  ];
  const kind = type === 'integer' ? 'whole number' : (type ?? '');
  return [kind, ...range.filter((part) => part !== '')].join(' ');
}

/** The comments at the values of a schema, or an interface, of a source file. */
function commentsIn(file: string, name: string): Comments {
  const text = fs.readFileSync(path.join(root, file), 'utf8');
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found = new Map<string, ts.Node>();
  for (const statement of source.statements) {
    if (ts.isInterfaceDeclaration(statement)) found.set(statement.name.text, statement);
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name: variable, initializer } of statement.declarationList.declarations) {
      if (initializer) found.set(variable.getText(), initializer);
    }
  }
  const comments: Comments = new Map();
  const add = (node: ts.Node, at: string): void => {
    if (ts.isCallExpression(node)) {
      node.arguments.forEach((one) => void add(one, at));
    } else if (ts.isObjectLiteralExpression(node) || ts.isInterfaceDeclaration(node)) {
      const members: readonly ts.Node[] = 'members' in node ? node.members : node.properties;
      for (const member of members) {
        const key = `${at}${(member as ts.PropertySignature).name.getText()}`;
        const told = commentOf(member);
        if (told !== undefined) comments.set(key, told);
        const value = ts.isPropertyAssignment(member) ? member.initializer : undefined;
        const inner = value && ts.isIdentifier(value) ? found.get(value.text) : undefined;
        if (inner) add(inner, `${key}.`);
      }
    }
  };
  const node = found.get(name);
  if (node) add(node, '');
  return comments;
}

/** The text of a comment, in one line. */
function commentOf(node: ts.Node): string | undefined {
  const [doc] = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  const text = doc && ts.getTextOfJSDocComment(doc.comment);
  return text?.replaceAll(/\{@link (\w+)\}/g, '`$1`').replaceAll(/\s+/g, ' ');
}
