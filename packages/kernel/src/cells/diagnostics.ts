import type ts from 'typescript';
import type { Finding } from './traceback.js';

/**
 * A diagnostic whose message goes on with what the compiler relates to it in the same file, such as "Did
 * you forget to use 'await'?": tslab passes messages on, and not what is related to them.
 *
 * @param cell the file in which the converter puts a line before the user's
 */
export function withRelated(diagnostic: ts.Diagnostic, cell?: ts.SourceFile): ts.Diagnostic {
  const { file, start, code, category, messageText, relatedInformation = [] } = diagnostic;
  const next = relatedInformation.flatMap((related): ts.DiagnosticMessageChain[] => {
    const { messageText: text, start: at = 0 } = related;
    if (!file || related.file !== file || typeof text !== 'string') return [];
    const { line } = file.getLineAndCharacterOfPosition(at);
    const where = at === start ? '' : ` (line ${file === cell ? line : line + 1})`;
    return [{ code: related.code, category: related.category, messageText: text + where }];
  });
  if (next.length === 0) return diagnostic;
  const chain =
    typeof messageText === 'string' ? { messageText, code, category, next: [] } : messageText;
  return { ...diagnostic, messageText: { ...chain, next: [...(chain.next ?? []), ...next] } };
}

/** An index that the type of a value has not, in the words of the error of strict mode. */
const noSuchIndex = 7053;

/**
 * The numbers in brackets behind values whose types have no such index: strict mode calls them errors,
 * and without it they are `undefined` in silence.
 */
export function strangeIndexes(
  typescript: typeof ts,
  program: ts.Program,
  file: ts.SourceFile,
): Finding[] {
  if (!file.text.includes('[')) return [];
  const checker = program.getTypeChecker();
  const { Any, NumberLike } = typescript.TypeFlags;
  const found: Finding[] = [];
  const visit = (node: ts.Node): void => {
    typescript.forEachChild(node, visit);
    if (!typescript.isElementAccessExpression(node)) return;
    const { expression, argumentExpression: index } = node;
    const [type, key] = [expression, index].map((part) => checker.getTypeAtLocation(part));
    if (!type || !key || type.flags & Any || !(key.flags & NumberLike)) return;
    if (!(checker.getTypeAtLocation(node).flags & Any)) return;
    if (checker.getIndexInfoOfType(type, typescript.IndexKind.Number)) return;
    // The converter puts a line before the cell's.
    const [start, end] = [node.getStart(file), node.end].map((at) => {
      const { line, character } = file.getLineAndCharacterOfPosition(at);
      return { line: line - 1, character };
    });
    const messageText = `Element implicitly has an 'any' type because expression of type '${index.getText(file)}' can't be used to index type '${checker.typeToString(type)}'.`;
    if (start && end) found.push({ start, end, code: noSuchIndex, messageText });
  };
  visit(file);
  return found;
}
