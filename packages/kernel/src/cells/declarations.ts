import type ts from 'typescript';

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
