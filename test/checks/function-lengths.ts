import ts from 'typescript';

/** A function with a body, and how many lines it takes. */
export interface FunctionLength {
  lines: number;
  /** For example 'flow/block.ts:38 blockForward'. */
  place: string;
}

/** The lengths of all functions in a source, the longest first; a function includes those inside it. */
export function functionLengths(file: string, text: string): FunctionLength[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
  const found: FunctionLength[] = [];
  const line = (position: number) => source.getLineAndCharacterOfPosition(position).line + 1;
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body) {
      const first = line(node.getStart());
      const name = node.name?.getText() ?? nameOfParent(node.parent);
      found.push({ lines: line(node.end) - first + 1, place: `${file}:${first} ${name}` });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found.sort((a, b) => b.lines - a.lines);
}

/** The name of what a function without one belongs to. */
function nameOfParent(parent: ts.Node): string {
  if (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)) {
    return parent.name.getText();
  }
  return ts.isClassLike(parent) ? `new ${parent.name?.text ?? ''}` : '(a function)';
}
