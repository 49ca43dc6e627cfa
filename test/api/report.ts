import * as fs from 'node:fs';
import * as path from 'node:path';
import ts from 'typescript';

/** The project's folder. */
export const root = path.resolve(__dirname, '../..');

/** An entry point of the package: what is imported, and the source file that it stands for. */
export interface EntryPoint {
  /** For example `tarflow/sampling`. */
  name: string;
  /** For example `src/sampling/index.ts`. */
  source: string;
}

/**
 * The entry points in the `exports` of package.json, the root first. That for browsers is left out: it is a
 * bundle, which `packages/web/test` tests.
 */
export function entryPoints(): EntryPoint[] {
  const { exports } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, { default: string } | string>;
  };
  return Object.entries(exports).flatMap(([key, target]) => {
    if (typeof target === 'string' || key === './web') return [];
    const source = target.default.replace('./dist/', '').replace(/\.js$/, '.ts');
    return [{ name: path.posix.join('tarflow', key), source }];
  });
}

/** A public name: its declaration as the compiler writes it, without comments and bodies. */
interface PublicName {
  name: string;
  declaration: string;
}

/**
 * A report of each entry point, by the path of its file in the project: every public name with its
 * declaration, in the order of the alphabet. The root only names what another entry point declares.
 */
export function apiReports(): Map<string, string> {
  const entries = entryPoints();
  const names = publicNames(entries.map(({ source }) => path.join(root, source)));
  const [own, ...others] = entries;
  if (own?.name !== 'tarflow') throw new Error('The first entry point is the root.');
  const elsewhere = new Map(
    others.flatMap(({ name }, i) => (names[i + 1] ?? []).map((found) => [found.name, name])),
  );
  return new Map(
    entries.map(({ name }, i) => {
      const found = names[i] as PublicName[];
      const isElsewhere = (one: PublicName) => name === 'tarflow' && elsewhere.has(one.name);
      const declared = found.filter((one) => !isElsewhere(one));
      const named = found.filter(isElsewhere);
      return [
        `test/api/${path.posix.basename(name)}.md`,
        reportText(name, declared, named, elsewhere),
      ];
    }),
  );
}

function reportText(
  entry: string,
  declared: readonly PublicName[],
  named: readonly PublicName[],
  elsewhere: ReadonlyMap<string, string>,
): string {
  const list = named.map(({ name }) => `- ${name} (\`${elsewhere.get(name)}\`)\n`).join('');
  const code = declared.map(({ declaration }) => `${declaration}\n`).join('\n');
  return [
    `# \`${entry}\`: ${declared.length + named.length} names\n\n`,
    'Written by `npm run api`.\n',
    ...(list ? ['\n', list] : []),
    ...(code ? ['\n```ts\n', code, '```\n'] : []),
  ].join('');
}

/** The public names of modules, each module's in the order of the alphabet. */
function publicNames(modules: readonly string[]): PublicName[][] {
  const settings = ts.getParsedCommandLineOfConfigFile(
    path.join(root, 'tsconfig.build.json'),
    // Types are checked elsewhere.
    { emitDeclarationOnly: true, noCheck: true, removeComments: true, sourceMap: false },
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} },
  );
  const program = ts.createProgram([...modules], settings?.options ?? {});
  const checker = program.getTypeChecker();
  const declarations = new Declarations(program);
  return modules.map((module) => {
    const source = program.getSourceFile(module) as ts.SourceFile;
    const symbol = checker.getSymbolAtLocation(source) as ts.Symbol;
    return checker
      .getExportsOfModule(symbol)
      .map((exported) => {
        const target =
          exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
        return { name: exported.name, declaration: declarations.of(exported.name, target) };
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  });
}

/** Finds the emitted declarations of symbols. */
class Declarations {
  private readonly emitted = new Map<string, ts.SourceFile>();

  constructor(private readonly program: ts.Program) {}

  of(name: string, { declarations = [] }: ts.Symbol): string {
    const texts = declarations.flatMap((declaration) => {
      // What is no statement of a file of ours is a namespace of another package.
      if (ts.isSourceFile(declaration)) {
        const [, packageName] =
          /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(declaration.fileName) ?? [];
        const file = path.relative(root, declaration.fileName).split(path.sep).join('/');
        return [`namespace ${name} = all of ${packageName ?? file}`];
      }
      if (ts.isInterfaceDeclaration(declaration) && isInferred(declaration)) {
        return [this.inferred(name, declaration)];
      }
      const original = ts.getNameOfDeclaration(declaration)?.getText() ?? '';
      return this.statements(declaration.getSourceFile())
        .filter((statement) => namesOf(statement).includes(original))
        .map((statement) => withoutPrivates(statement.getText()));
    });
    return [...new Set(texts)].join('\n');
  }

  /** An interface that a schema says, with its fields. */
  private inferred(name: string, declaration: ts.InterfaceDeclaration): string {
    const checker = this.program.getTypeChecker();
    const fields = checker
      .getTypeAtLocation(declaration)
      .getProperties()
      .map((field) => {
        const optional = field.flags & ts.SymbolFlags.Optional ? '?' : '';
        const type = checker.typeToString(
          checker.getTypeOfSymbol(field),
          declaration,
          ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope,
        );
        return `    ${field.name}${optional}: ${type};\n`;
      });
    return `interface ${name} {\n${fields.join('')}}`;
  }

  private statements(source: ts.SourceFile): readonly ts.Statement[] {
    let found = this.emitted.get(source.fileName);
    if (!found) {
      let text = '';
      this.program.emit(source, (_, written) => {
        text = written;
      });
      found = ts.createSourceFile(source.fileName, text, ts.ScriptTarget.ES2022, true);
      this.emitted.set(source.fileName, found);
    }
    return found.statements;
  }
}

function isInferred({ heritageClauses }: ts.InterfaceDeclaration): boolean {
  return heritageClauses?.some((clause) => /^extends z\.infer</.test(clause.getText())) ?? false;
}

/** The names that a statement declares. */
function namesOf(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  }
  const { name } = statement as ts.Statement & { name?: ts.Node };
  return name ? [name.getText()] : [];
}

function withoutPrivates(text: string): string {
  return text
    .split('\n')
    .filter((line) => !/^ {4}private /.test(line))
    .join('\n')
    .replace(/^export (declare )?/, '');
}
