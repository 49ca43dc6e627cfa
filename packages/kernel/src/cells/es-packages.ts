import { existsSync, readFileSync } from 'node:fs';
import Module, { builtinModules, createRequire } from 'node:module';
import * as path from 'node:path';
import * as vm from 'node:vm';
import { type Compiler, isLocalSource } from './compiler.js';

/** Node.js's function behind `require`. */
interface Loader {
  _load(request: string, parent: NodeJS.Module | undefined, isMain: boolean): unknown;
}

const loader = Module as unknown as Loader;

/**
 * Packages of ES modules, which `require` does not load on every version of Node.js: they are imported
 * before the cell that names them runs.
 */
export class EsPackages {
  private readonly packages = new Map<string, object>();
  private readonly plain = new Set<string>(builtinModules);
  private readonly resolve: (name: string) => string;
  private readonly load: (name: string) => Promise<object>;

  constructor(
    private readonly typescript: Compiler,
    private readonly folder = process.cwd(),
  ) {
    const place = path.join(folder, '__tarflow__.js');
    this.resolve = createRequire(place).resolve;
    this.load = vm.runInThisContext('(name) => import(name)', {
      filename: place,
      importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    }) as (name: string) => Promise<object>;
    const { _load: original } = loader;
    loader._load = (request, parent, isMain) =>
      this.packages.get(request) ?? original.call(Module, request, parent, isMain);
  }

  /**
   * Imports the packages of ES modules that code names, and that the local files name which it imports.
   *
   * @throws what such a package throws
   */
  async prepare(code: string): Promise<void> {
    for (const name of this.namesIn(code, this.folder, new Set())) {
      const module = await this.load(name);
      this.packages.set(name, forRequire(module));
    }
  }

  private namesIn(code: string, folder: string, seen: Set<string>): string[] {
    if (!/\bimport\b|\bfrom\b|\brequire\b/.test(code)) return [];
    const { importedFiles } = this.typescript.preProcessFile(code, true, true);
    return importedFiles.flatMap(({ fileName: name }) => {
      if (/^\.{0,2}\//.test(name)) return this.namesInFile(path.resolve(folder, name), seen);
      if (name.startsWith('node:') || name === 'tslab' || this.plain.has(name)) return [];
      if (this.packages.has(name)) return [];
      if (this.isEsPackage(name)) return [name];
      this.plain.add(name);
      return [];
    });
  }

  private namesInFile(stem: string, seen: Set<string>): string[] {
    const file = [stem, ...['.ts', '.tsx', '.js', '/index.ts'].map((end) => stem + end)]
      .concat(stem.replace(/\.js$/, '.ts'))
      .find(isLocalSource);
    if (file === undefined || seen.has(file)) return [];
    seen.add(file);
    return this.namesIn(readFileSync(file, 'utf8'), path.dirname(file), seen);
  }

  private isEsPackage(name: string): boolean {
    let file: string;
    try {
      file = this.resolve(name);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
    }
    if (file.endsWith('.mjs')) return true;
    return file.endsWith('.js') && typeOf(path.dirname(file)) === 'module';
  }
}

/** The `type` of the nearest package.json. */
function typeOf(folder: string): unknown {
  const file = path.join(folder, 'package.json');
  if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { type?: unknown }).type;
  const parent = path.dirname(folder);
  return parent === folder ? undefined : typeOf(parent);
}

/** An ES module as compiled code expects it of `require`. */
function forRequire(module: object): object {
  const exported = {};
  Object.defineProperty(exported, '__esModule', { value: true });
  for (const name of Object.keys(module)) {
    Object.defineProperty(exported, name, {
      enumerable: true,
      get: () => (module as Record<string, unknown>)[name],
    });
  }
  return exported;
}
