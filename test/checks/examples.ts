import * as fs from 'node:fs';
import * as path from 'node:path';
import ts from 'typescript';
import { type EntryPoint, root } from '../api/report.js';

/** An example in a docstring. */
export interface Example {
  /** The public name that it belongs to. */
  name: string;
  code: string;
}

/** The options of the compiler, those of the project. */
function compilerOptions(): ts.CompilerOptions {
  const config = ts.getParsedCommandLineOfConfigFile(path.join(root, 'tsconfig.json'), undefined, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
      throw new Error(ts.flattenDiagnosticMessageText(messageText, '\n'));
    },
  });
  return { ...config?.options, noEmit: true };
}

/** What the compiler has read, but for files that tests write: programs share it. */
const known = new Map<string, ts.SourceFile | undefined>();

/** The compiler's view of modules, and of all that they import. */
export function programOf(modules: readonly string[]): ts.Program {
  const options = compilerOptions();
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getSourceFile = (file, ...how) => {
    if (file.includes('/.nbcheck/')) return getSourceFile(file, ...how);
    if (!known.has(file)) known.set(file, getSourceFile(file, ...how));
    return known.get(file);
  };
  return ts.createProgram([...modules], options, host);
}

/** The values that a module of a program exports, with the examples in their docstrings. */
export function examplesOf(
  module: string,
  program = programOf([module]),
): { values: string[]; examples: Example[] } {
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(module) as ts.SourceFile;
  const values = checker
    .getExportsOfModule(checker.getSymbolAtLocation(source) as ts.Symbol)
    .map((symbol) => ({ name: symbol.name, meanings: meaningsOf(checker, symbol) }))
    .filter(({ meanings }) => (meanings.at(-1)?.flags ?? 0) & ts.SymbolFlags.Value);
  return {
    values: values.map(({ name }) => name),
    examples: values.flatMap(({ name, meanings }) =>
      meanings.flatMap(examplesInDocs).map((code) => ({ name, code })),
    ),
  };
}

/** The example in the docstring at the head of a module, which is its page's in the API reference. */
export function moduleExample(module: string): string | undefined {
  const text = fs.readFileSync(module, 'utf8');
  const [range] = ts.getLeadingCommentRanges(text, 0) ?? [];
  const head = range ? text.slice(range.pos, range.end).replace(/^ \* ?/gm, '') : '';
  return /@example\n```ts\n(.*?)\n```/s.exec(head)?.[1];
}

/** A symbol and what it stands for, one re-export after the other; the last is the declaration. */
function meaningsOf(checker: ts.TypeChecker, symbol: ts.Symbol): ts.Symbol[] {
  if (!(symbol.flags & ts.SymbolFlags.Alias)) return [symbol];
  const next = checker.getImmediateAliasedSymbol(symbol);
  return next ? [symbol, ...meaningsOf(checker, next)] : [symbol];
}

/** The code of every `@example` in a symbol's docstrings, those of the statements around it too. */
function examplesInDocs({ declarations = [] }: ts.Symbol): string[] {
  const tags = new Set<ts.JSDocTag>();
  for (const declaration of declarations) {
    for (let node: ts.Node = declaration; !ts.isSourceFile(node); node = node.parent) {
      for (const tag of ts.getJSDocTags(node)) tags.add(tag);
    }
  }
  return [...tags]
    .filter(({ tagName }) => tagName.text === 'example')
    .map(({ comment }) => {
      const text = ts.getTextOfJSDocComment(comment) ?? '';
      const [, code] = /^```ts\n(.*)\n```$/s.exec(text.trim()) ?? [];
      if (code === undefined) throw new Error(`This example is no block of ts code: ${text}`);
      return code;
    });
}

/**
 * Writes examples as modules, which import the sources in place of the built package.
 * @returns the files, in the order of the examples
 */
export function writeExamples(
  examples: readonly Example[],
  entries: readonly EntryPoint[],
  folder: string,
): string[] {
  return examples.map(({ name, code }, index) => {
    const text = code.replace(/(?<=from ')tarflow[^']*(?=';)/g, (imported) => {
      const entry = entries.find((one) => one.name === imported);
      if (!entry) throw new Error(`The example of ${name} imports ${imported}.`);
      const source = path.relative(folder, path.join(root, entry.source)).split(path.sep).join('/');
      return source.replace(/\.ts$/, '.js');
    });
    const file = path.join(folder, `${index}-${name}.mts`);
    fs.writeFileSync(file, `${text}\n`);
    return file;
  });
}

/** What the strict compiler finds wrong in files, in words. */
export function typeErrors(files: readonly string[]): string[] {
  const program = programOf(files);
  return files.flatMap((file) =>
    ts.getPreEmitDiagnostics(program, program.getSourceFile(file)).map(({ messageText }) => {
      return `${path.basename(file)}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    }),
  );
}
