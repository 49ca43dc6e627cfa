import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import type ts from 'typescript';
import { guardAwaits } from './awaits.js';
import { strangeIndexes, withRelated } from './diagnostics.js';
import {
  completeShorthands,
  type Shorthand,
  shorthandsIn,
  withoutRenamedProperties,
} from './earlier-cells.js';
import { type Origin, originThrough, splitMap } from './source-maps.js';
import type { Finding } from './traceback.js';

/** The compiler of tslab: TypeScript with a few functions more. */
export type Compiler = typeof ts & {
  getPreEmitDiagnosticsOfFiles(
    program: ts.Program,
    files: readonly ts.SourceFile[],
  ): readonly ts.Diagnostic[];
};

/** What an option of the kernel asks of the compiler. */
interface CompilerOptions {
  /** TypeScript's `strict`. */
  strict: boolean;
}

/** What the kernel knows about the code that tslab's converter compiled last. */
export interface Watched {
  /** The original compiler. */
  typescript: Compiler;
  /** Indexes in the last cell that the types of values have not, which strict mode reports as errors. */
  strangeIndexes(): readonly Finding[];
  /** Where the lines of compiled code come from. */
  originOf(code: string): Origin | undefined;
  /** Tells the compiler of local files that have changed since it last looked. */
  notice(): void;
}

/** tslab's converter compiles a module's text, which it has made of TypeScript, under this name. */
const intermediate = 'custom.js';

/** The error that tslab takes for a top-level await, and that this compiler has not for `for await`. */
const awaitOutside = 1308;

/**
 * Puts a compiler in the place of tslab's that makes source maps, guards awaits, resolves packages of
 * ES modules, and leaves local files to the kernel. To be called before tslab's converter is loaded.
 */
export function replaceCompiler(options: CompilerOptions): Watched {
  const requireOfTslab = createRequire(require.resolve('tslab'));
  const file = requireOfTslab.resolve('@tslab/typescript-for-tslab');
  const typescript: Compiler = requireOfTslab(file);
  const origins = new Map<string, Origin>();
  let strange: readonly Finding[] = [];
  let shorthands: readonly Shorthand[] = [];
  let dependencies: (file: ts.SourceFile) => readonly string[] = () => [];

  const replaced: Record<string, unknown> = { ...typescript };
  const files = followFiles(typescript);
  replaced.transpileModule = (input: string, given: ts.TranspileOptions) => {
    if (given.fileName !== intermediate) return typescript.transpileModule(input, given);
    const { code, map } = splitMap(input);
    const result = typescript.transpileModule(code, {
      ...given,
      compilerOptions: { ...given.compilerOptions, sourceMap: true },
      transformers: {
        before: [completeShorthands(typescript, shorthands), guardAwaits(typescript)],
      },
    });
    const outputText = result.outputText.replace(/\n\/\/# sourceMappingURL=.*\n?$/, '\n');
    if (map !== undefined && result.sourceMapText !== undefined) {
      origins.set(outputText, originThrough(result.sourceMapText, map));
    }
    return { ...result, outputText };
  };
  replaced.getPreEmitDiagnosticsOfFiles = (program: ts.Program, given: ts.SourceFile[]) => {
    const [cell] = given;
    const names = cell ? dependencies(cell) : [];
    const more = names.flatMap((name) => program.getSourceFile(name) ?? []);
    const all = [...new Set([...given, ...more])];
    shorthands = cell ? shorthandsIn(typescript, program, cell) : [];
    strange = cell && !options.strict ? strangeIndexes(typescript, program, cell) : [];
    return [
      ...typescript
        .getPreEmitDiagnosticsOfFiles(program, all)
        .filter(({ code }) => code !== outsideRoot)
        .map((diagnostic) => withRelated(diagnostic, cell)),
      ...(cell ? topLevelForAwaits(typescript, cell) : []),
    ];
  };
  replaced.createWatchCompilerHost = (
    roots: string[],
    given: ts.CompilerOptions,
    ...rest: unknown[]
  ) => {
    const settings = {
      ...given,
      inlineSourceMap: true,
      ...(options.strict ? { strict: true } : {}),
    };
    const create = typescript.createWatchCompilerHost as unknown as (
      ...values: unknown[]
    ) => ts.WatchCompilerHostOfFilesAndCompilerOptions<ts.BuilderProgram>;
    const host = create(roots, settings, ...rest);
    const resolved = resolveAsBundlersToo(typescript, host, files);
    onProgram(host, (program) => {
      resolved();
      const ask = program.getAllDependencies.bind(program);
      dependencies = (cell) => ask(cell).filter(isLocalSource);
      const own = Object.create(program) as ts.BuilderProgram;
      own.getAllDependencies = (source) => ask(source).filter((name) => !isLocalSource(name));
      own.emit = (...given) =>
        withoutRenamedProperties(typescript, program.getProgram().getTypeChecker(), () =>
          program.emit(...given),
        );
      return own;
    });
    return host;
  };
  const module = require.cache[file];
  if (module) module.exports = replaced;
  return {
    typescript,
    strangeIndexes: () => strange,
    originOf: (code) => origins.get(code),
    notice: () => files.notice(),
  };
}

/** The error that a file lies above the notebook: it is the kernel that compiles it. */
const outsideRoot = 6059;

/** Each `for await` outside of functions, as the error that tslab knows. */
function topLevelForAwaits(typescript: Compiler, file: ts.SourceFile): ts.Diagnostic[] {
  if (!/\bawait\b/.test(file.text)) return [];
  const found: ts.Diagnostic[] = [];
  const visit = (node: ts.Node): void => {
    if (typescript.isFunctionLike(node) || typescript.isClassLike(node)) return;
    if (typescript.isForOfStatement(node) && node.awaitModifier) {
      const start = node.awaitModifier.getStart(file);
      found.push({
        file,
        start,
        length: node.awaitModifier.end - start,
        code: awaitOutside,
        category: typescript.DiagnosticCategory.Error,
        messageText: 'A top-level for await.',
      });
    }
    typescript.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** A file of the user that is compiled on its own: on disk, in no package, and with code in it. */
export function isLocalSource(file: string): boolean {
  return /(?<!\.d)\.[cm]?[jt]sx?$/.test(file) && !isInPackage(file) && isFile(file);
}

/** The local file that an import of a path means: itself, one with an ending, or a folder's. */
export function localFile(whole: string): string | undefined {
  const stem = whole.replace(/\.[cm]?jsx?$/, '');
  const ends =
    stem === whole ? ['.ts', '.tsx', '.js', '/index.ts'] : ['.ts', '.tsx', '.mts', '.cts'];
  return [whole, ...ends.map((end) => path.normalize(stem + end))].find(isLocalSource);
}

/** True for a file below node_modules. */
export function isInPackage(file: string): boolean {
  return file.split(/[\\/]/).includes('node_modules');
}

function isFile(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() === true;
}

/** Puts something of our own between the compiler and what tslab does with a new program. */
function onProgram(
  host: ts.WatchCompilerHostOfFilesAndCompilerOptions<ts.BuilderProgram>,
  change: (program: ts.BuilderProgram) => ts.BuilderProgram,
): void {
  let callback = host.afterProgramCreate;
  Object.defineProperty(host, 'afterProgramCreate', {
    get: () => callback,
    set(given: (program: ts.BuilderProgram) => void) {
      callback = (program) => given(change(program));
    },
  });
}

interface Files {
  notice(): void;
  /** Called when the compiler has to look for modules again. */
  onChange(forget: () => void): void;
}

/**
 * The compiler asks the system to watch every file that it has read. Instead, the user's own files are
 * looked at before each cell: nothing is late then, and nothing comes at a time when tslab's converter
 * cannot take it. The files of packages stay as they are until the kernel restarts.
 */
function followFiles(typescript: Compiler): Files {
  const watched = new Map<string, { state: string; callbacks: Set<ts.FileWatcherCallback> }>();
  const listeners: (() => void)[] = [];
  const { sys } = typescript;
  sys.watchFile = (file, callback) => {
    const found = watched.get(file) ?? { state: stateOf(file), callbacks: new Set() };
    watched.set(file, found);
    found.callbacks.add(callback);
    return { close: () => found.callbacks.delete(callback) };
  };
  sys.watchDirectory = () => ({ close() {} });
  const notice = () => {
    for (const [file, entry] of watched) {
      if (entry.callbacks.size === 0 || file.endsWith('.d.ts') || isInPackage(file)) continue;
      const state = stateOf(file);
      if (state === entry.state) continue;
      const kind =
        state === ''
          ? typescript.FileWatcherEventKind.Deleted
          : entry.state === ''
            ? typescript.FileWatcherEventKind.Created
            : typescript.FileWatcherEventKind.Changed;
      entry.state = state;
      for (const forget of listeners) forget();
      for (const callback of [...entry.callbacks]) callback(file, kind);
    }
  };
  return { notice, onChange: (forget) => listeners.push(forget) };
}

/** Changes with every change of a file; '' where there is none. */
export function stateOf(file: string): string {
  const found = statSync(file, { throwIfNoEntry: false });
  return found ? `${found.mtimeMs} ${found.size} ${found.ino}` : '';
}

/**
 * Modules are looked for as tslab does. Where that finds nothing, which is so for packages of ES modules
 * that name their files in `exports` alone, they are looked for as bundlers do.
 *
 * @returns what is to be called when a program has been made of what was found
 */
function resolveAsBundlersToo(
  typescript: Compiler,
  host: ts.WatchCompilerHostOfFilesAndCompilerOptions<ts.BuilderProgram>,
  files: Files,
): () => void {
  const directory = host.getCurrentDirectory();
  const caches = () => ({
    plain: typescript.createModuleResolutionCache(directory, (name) => name),
    bundler: typescript.createModuleResolutionCache(directory, (name) => name),
  });
  let { plain, bundler } = caches();
  let changed = false;
  const missing = new Set<string>();
  files.onChange(() => {
    ({ plain, bundler } = caches());
    changed = true;
  });
  const paths = host as unknown as ts.ModuleResolutionHost;
  const find = (
    text: string,
    containing: string,
    redirected: ts.ResolvedProjectReference | undefined,
    options: ts.CompilerOptions,
  ) => {
    const first = typescript.resolveModuleName(text, containing, options, paths, plain, redirected);
    if (first.resolvedModule || text.startsWith('.')) return first;
    const others = { ...options, moduleResolution: typescript.ModuleResolutionKind.Bundler };
    const second = typescript.resolveModuleName(
      text,
      containing,
      others,
      paths,
      bundler,
      redirected,
    );
    return second.resolvedModule ? second : first;
  };
  host.resolveModuleNameLiterals = (literals, containing, redirected, options) => {
    const found = literals.map(({ text }) => find(text, containing, redirected, options));
    missing.delete(containing);
    const declarations = containing.endsWith('.d.ts');
    if (
      !declarations &&
      !isInPackage(containing) &&
      found.some(({ resolvedModule }) => !resolvedModule)
    ) {
      // What is missing may be there the next time.
      missing.add(containing);
      ({ plain, bundler } = caches());
    }
    return found;
  };
  host.hasInvalidatedResolutions = (file) => changed || missing.has(file);
  return () => {
    changed = false;
  };
}
