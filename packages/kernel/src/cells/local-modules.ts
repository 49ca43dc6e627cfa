import { readFileSync } from 'node:fs';
import Module from 'node:module';
import * as path from 'node:path';
import { guardAwaits } from './awaits.js';
import { type Compiler, isInPackage, isLocalSource, localFile, stateOf } from './compiler.js';
import { loader } from './es-packages.js';
import { originThrough, rememberOrigin } from './source-maps.js';

/** The kernel's own package is compiled already. */
const ownFolder = path.resolve(__dirname, '..', '..') + path.sep;

type Compiling = NodeJS.Module & { _compile(code: string, file: string): void };

/** The endings of files that are compiled, in the order in which an import without one looks for them. */
const endings = ['.ts', '.tsx', '.mts', '.cts', '.js', '.jsx', '.mjs'];

/**
 * Local files that a cell imports: compiled when they are loaded, and loaded again by the next import
 * after they, or a local file that they import, have changed.
 */
export class LocalModules {
  private readonly states = new Map<string, string>();

  /** @param typescript compiles them */
  constructor(private readonly typescript: Compiler) {
    const { _extensions: handlers, _resolveFilename: resolve } = loader;
    for (const ending of endings) {
      const plain = handlers[ending] ?? (ending.endsWith('js') ? undefined : handlers['.js']);
      // Without a handler of its own, Node.js says that an ES module cannot be required.
      if (!plain && ending === '.mjs') continue;
      handlers[ending] = (module, file) => {
        if (this.isOurs(file)) this.load(module as Compiling, file);
        else (plain ?? handlers['.js'])?.(module, file);
      };
    }
    const json = handlers['.json'];
    handlers['.json'] = (module, file) => {
      if (!isInPackage(file)) this.states.set(file, stateOf(file));
      json?.(module, file);
    };
    loader._resolveFilename = (request, parent, ...rest) =>
      sourceOf(request, parent) ?? resolve.call(Module, request, parent, ...rest);
  }

  /** Forgets what has changed, and what depends on it. */
  notice(): void {
    const stale = new Set<string>();
    for (const [file, state] of this.states) {
      if (stateOf(file) !== state) stale.add(file);
    }
    if (stale.size === 0) return;
    for (let grown = true; grown; ) {
      grown = false;
      for (const file of this.states.keys()) {
        const children = require.cache[file]?.children ?? [];
        if (!stale.has(file) && children.some(({ filename }) => stale.has(filename))) {
          stale.add(file);
          grown = true;
        }
      }
    }
    for (const file of stale) {
      delete require.cache[file];
      this.states.delete(file);
    }
  }

  /** TypeScript, or JavaScript with the syntax of ES modules. */
  private isOurs(file: string): boolean {
    if (file.startsWith(ownFolder) || !isLocalSource(file)) return false;
    if (/\.[cm]?tsx?$|\.jsx$/.test(file)) return true;
    return /^\s*(import|export)\b(?!\s*\()/m.test(readFileSync(file, 'utf8'));
  }

  private load(module: Compiling, file: string): void {
    this.states.set(file, stateOf(file));
    const { typescript } = this;
    const { outputText, sourceMapText } = typescript.transpileModule(readFileSync(file, 'utf8'), {
      fileName: file,
      compilerOptions: {
        module: typescript.ModuleKind.CommonJS,
        target: typescript.ScriptTarget.ES2022,
        esModuleInterop: true,
        experimentalDecorators: true,
        jsx: typescript.JsxEmit.React,
        sourceMap: true,
        newLine: typescript.NewLineKind.LineFeed,
      },
      transformers: { before: [guardAwaits(typescript)] },
    });
    if (sourceMapText !== undefined) rememberOrigin(file, originThrough(sourceMapText));
    module._compile(outputText.replace(/\n\/\/# sourceMappingURL=.*\n?$/, '\n'), file);
  }
}

/**
 * The TypeScript file that an import of a local file means: './name', './name.js' as imports of ES modules
 * write it, or a folder.
 */
function sourceOf(request: string, parent: NodeJS.Module | undefined): string | undefined {
  if (!/^\.{1,2}(\/|$)/.test(request) || !parent?.filename) return undefined;
  if (isInPackage(parent.filename) || parent.filename.startsWith(ownFolder)) return undefined;
  const whole = path.resolve(path.dirname(parent.filename), request);
  const file = localFile(whole);
  return file === whole ? undefined : file;
}
