import { existsSync, readFileSync } from 'node:fs';
import Module, { builtinModules, createRequire } from 'node:module';
import * as path from 'node:path';
import * as vm from 'node:vm';
import { type Compiler, localFile } from './compiler.js';

/** The parts of Node.js's loader of modules that it shares without describing them. */
export const loader = Module as unknown as {
  _load(request: string, parent: NodeJS.Module | undefined, isMain: boolean): unknown;
  _extensions: Record<string, (module: NodeJS.Module, file: string) => void>;
  _resolveFilename(request: string, parent: NodeJS.Module | undefined, ...rest: unknown[]): string;
};

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
    });
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

  private namesInFile(whole: string, seen: Set<string>): string[] {
    const file = localFile(whole);
    if (file === undefined || seen.has(file)) return [];
    seen.add(file);
    return this.namesIn(readFileSync(file, 'utf8'), path.dirname(file), seen);
  }

  private isEsPackage(name: string): boolean {
    let file: string;
    try {
      file = this.resolve(name);
    } catch (error) {
      return Object(error).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
    }
    if (file.endsWith('.mjs')) return true;
    return file.endsWith('.js') && packageOf(path.dirname(file))?.description.type === 'module';
  }
}

/** A package: its folder, and what its package.json says. */
interface Package {
  folder: string;
  description: { type?: unknown; notebook?: Record<string, unknown> };
}

const known = new Map<string, Package | undefined>();

/** The package that a folder belongs to: that of the nearest package.json. */
export function packageOf(folder: string): Package | undefined {
  if (known.has(folder)) return known.get(folder);
  const file = path.join(folder, 'package.json');
  const parent = path.dirname(folder);
  let found: Package | undefined;
  if (existsSync(file)) found = { folder, description: JSON.parse(readFileSync(file, 'utf8')) };
  else if (parent !== folder) found = packageOf(parent);
  known.set(folder, found);
  return found;
}

/**
 * What the packages that cells have loaded export for notebooks: from the modules that their package.json
 * names, `{ "notebook": { "views": "./dist/views.js" } }`. One that was left out of a package has none.
 */
export function fromPackages<T>(purpose: 'views' | 'hints', name: string): T[] {
  const folders = new Set(Object.keys(require.cache).map((file) => path.dirname(file)));
  const packages = new Set([...folders].map(packageOf));
  return [...packages].flatMap((found) => {
    const module = found?.description.notebook?.[purpose];
    if (!found || typeof module !== 'string') return [];
    const file = path.join(found.folder, module);
    return existsSync(file) ? [require(file)[name]] : [];
  });
}

/** An ES module as compiled code expects it of `require`. */
function forRequire(module: object): object {
  const exported = {};
  Object.defineProperty(exported, '__esModule', { value: true });
  for (const name of Object.keys(module)) {
    Object.defineProperty(exported, name, {
      enumerable: true,
      get: () => Reflect.get(module, name),
    });
  }
  return exported;
}
