import * as path from 'node:path';
import type ts from 'typescript';

/** A property written `{ name }`, and whether an earlier cell has declared the name. */
export interface Shorthand {
  name: string;
  earlier: boolean;
}

/** tslab's file of the declarations of earlier cells. */
const earlierCells = '__prev__.d.ts';

/**
 * The short forms in a cell, in their order. tslab keeps what cells declare as properties of an object,
 * and forgets that a short form reads one.
 */
export function shorthandsIn(
  typescript: typeof ts,
  program: ts.Program,
  file: ts.SourceFile,
): Shorthand[] {
  const checker = program.getTypeChecker();
  const found: Shorthand[] = [];
  const visit = (node: ts.Node): void => {
    if (typescript.isShorthandPropertyAssignment(node)) {
      const symbol = checker.getShorthandAssignmentValueSymbol(node);
      const earlier = symbol?.declarations?.some(
        (declaration) => path.basename(declaration.getSourceFile().fileName) === earlierCells,
      );
      found.push({ name: node.name.text, earlier: earlier === true });
    }
    typescript.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/**
 * Writes `{ name: exports.name }` for the short forms of names of earlier cells, in the code that tslab
 * made of a cell. Code with other short forms is not that of the cell, and stays.
 */
export function completeShorthands(
  typescript: typeof ts,
  expected: readonly Shorthand[],
): ts.TransformerFactory<ts.SourceFile> {
  const { factory } = typescript;
  return (context) => (file) => {
    if (!expected.some(({ earlier }) => earlier)) return file;
    const names: string[] = [];
    const note = (node: ts.Node): void => {
      if (typescript.isShorthandPropertyAssignment(node)) names.push(node.name.text);
      typescript.forEachChild(node, note);
    };
    note(file);
    const same =
      names.length === expected.length && names.every((name, i) => name === expected[i]?.name);
    if (!same) return file;
    let next = 0;
    const visit = (node: ts.Node): ts.Node => {
      if (!typescript.isShorthandPropertyAssignment(node)) {
        return typescript.visitEachChild(node, visit, context);
      }
      const shorthand = expected[next++];
      const value = node.objectAssignmentInitializer;
      const initializer = value && (typescript.visitNode(value, visit) as ts.Expression);
      if (!shorthand?.earlier) {
        return factory.updateShorthandPropertyAssignment(node, node.name, initializer);
      }
      const target = factory.createPropertyAccessExpression(
        factory.createIdentifier('exports'),
        node.name.text,
      );
      const whole = initializer ? factory.createAssignment(target, initializer) : target;
      return factory.createPropertyAssignment(node.name.text, whole);
    };
    return typescript.visitNode(file, visit) as ts.SourceFile;
  };
}

/** The names that a cell declares: variables, functions, classes and enumerations, and no imports. */
export function declaredNames(typescript: typeof ts, code: string): string[] {
  const file = typescript.createSourceFile('cell.ts', code, typescript.ScriptTarget.Latest);
  const bound = (name: ts.BindingName): string[] =>
    typescript.isIdentifier(name)
      ? [name.text]
      : name.elements.flatMap((element) =>
          typescript.isBindingElement(element) ? bound(element.name) : [],
        );
  return file.statements.flatMap((statement) => {
    if (typescript.isVariableStatement(statement)) {
      return statement.declarationList.declarations.flatMap(({ name }) => bound(name));
    }
    const named =
      typescript.isFunctionDeclaration(statement) ||
      typescript.isClassDeclaration(statement) ||
      typescript.isEnumDeclaration(statement);
    return named && statement.name ? [statement.name.text] : [];
  });
}

/** The names that declarations of earlier cells import, each with where from. */
export function importedNames(typescript: typeof ts, declarations: string): Map<string, string> {
  const { Latest } = typescript.ScriptTarget;
  const file = typescript.createSourceFile('declarations.d.ts', declarations, Latest);
  const found = new Map<string, string>();
  for (const statement of file.statements) {
    if (!typescript.isImportDeclaration(statement)) continue;
    const { moduleSpecifier: from, importClause } = statement;
    if (!typescript.isStringLiteral(from)) continue;
    const { name, namedBindings } = importClause ?? {};
    const named =
      namedBindings && typescript.isNamedImports(namedBindings)
        ? namedBindings.elements
        : [namedBindings];
    for (const each of [name, ...named.map((element) => element?.name)]) {
      if (each) found.set(each.text, from.text);
    }
  }
  return found;
}

/**
 * Runs work, during which the checker knows nothing of the property in `{ property: name }` on the left
 * of an assignment. tslab asks it whether that is declared by an earlier cell, finds it in the types that
 * stand there, and writes it as `exports.property`.
 */
export function withoutRenamedProperties<R>(
  typescript: typeof ts,
  checker: ts.TypeChecker,
  work: () => R,
): R {
  const ask = checker.getSymbolAtLocation;
  checker.getSymbolAtLocation = (node) => {
    const parsed = typescript.getParseTreeNode(node);
    const parent = parsed?.parent;
    const isProperty =
      parent && typescript.isBindingElement(parent) && parent.propertyName === parsed;
    return isProperty ? undefined : ask(node);
  };
  try {
    return work();
  } finally {
    checker.getSymbolAtLocation = ask;
  }
}

/**
 * What declarations say of what is there: variables, classes and enumerations without a value are left
 * out, as those behind the line at which a cell failed.
 *
 * @param declarations as tslab's converter writes them
 * @param values of what cells have declared
 */
export function declarationsThatHold(
  typescript: typeof ts,
  declarations: string,
  values: Record<string, unknown>,
): string {
  const { factory } = typescript;
  const file = typescript.createSourceFile(
    'declarations.d.ts',
    declarations,
    typescript.ScriptTarget.Latest,
    true,
  );
  const isThere = (name: ts.Node | undefined) =>
    !name || !typescript.isIdentifier(name) || values[name.text] !== undefined;
  const statements = file.statements.flatMap((statement): ts.Statement[] => {
    if (typescript.isClassDeclaration(statement) || typescript.isEnumDeclaration(statement)) {
      return isThere(statement.name) ? [statement] : [];
    }
    if (!typescript.isVariableStatement(statement)) return [statement];
    const list = statement.declarationList;
    const kept = list.declarations.filter(({ name }) => isThere(name));
    if (kept.length === list.declarations.length) return [statement];
    if (kept.length === 0) return [];
    const shorter = factory.updateVariableDeclarationList(list, kept);
    return [factory.updateVariableStatement(statement, statement.modifiers, shorter)];
  });
  const printer = typescript.createPrinter({ newLine: typescript.NewLineKind.LineFeed });
  return statements
    .map((statement) => printer.printNode(typescript.EmitHint.Unspecified, statement, file))
    .join('\n');
}
