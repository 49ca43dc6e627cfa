import type ts from 'typescript';
import type { Question } from '../pipes.js';
import type { Compiler } from './compiler.js';
import { pathCompletions } from './path-completions.js';
import type { Completions, Executor, Tslab } from './tslab.js';

/** Answers questions about code, with tslab's converter. */
export class Answers {
  constructor(
    private readonly tslab: Tslab,
    private readonly executor: Executor,
    private readonly typescript: Compiler,
  ) {}

  /** The content of the reply. Code that the converter cannot take has no answer, and is no error. */
  to(question: Question): Record<string, unknown> {
    if (question.type === 'complete') return this.complete(question);
    if (question.type === 'inspect') return this.inspect(question);
    return this.isComplete(question.code);
  }

  private complete({ code, cursor }: Question): Record<string, unknown> {
    const none: Completions = { start: cursor, end: cursor, candidates: [] };
    const found =
      pathCompletions(code, cursor) ?? attempt(() => this.executor.complete(code, cursor)) ?? none;
    const kinds = new Map(found.original?.entries.map(({ name, kind }) => [name, kind]));
    const matches = [...new Set(found.candidates)];
    return {
      status: 'ok',
      matches,
      cursor_start: found.start,
      cursor_end: found.end,
      metadata: {
        _jupyter_types_experimental: matches.map((text) => ({
          text,
          type: kinds.get(text) ?? 'path',
          start: found.start,
          end: found.end,
        })),
      },
    };
  }

  private inspect({ code, cursor }: Question): Record<string, unknown> {
    for (const position of placesOfInterest(code, cursor)) {
      const info = attempt(() => this.executor.inspect(code, position));
      const signature = info?.displayParts?.map(({ text }) => text).join('') ?? '';
      // This is what the compiler says of a name that it does not know.
      if (info && !['', 'any'].includes(signature)) {
        return { status: 'ok', found: true, data: this.described(info), metadata: {} };
      }
    }
    return { status: 'ok', found: false, data: {}, metadata: {} };
  }

  private described(info: ts.QuickInfo): Record<string, string> {
    const signature = info.displayParts?.map(({ text }) => text).join('') ?? '';
    const words = info.documentation?.map(({ text }) => text).join('') ?? '';
    const tags = (info.tags ?? []).map(({ name, text }) => {
      const rest = text?.map((part) => part.text).join('') ?? '';
      return `*@${name}* ${name === 'example' ? `\n${rest}` : rest}`;
    });
    const markdown = [`\`\`\`typescript\n${signature}\n\`\`\``, words, ...tags];
    return {
      'text/plain': this.tslab.printQuickInfo(info),
      'text/markdown': markdown.filter((part) => part !== '').join('\n\n'),
    };
  }

  private isComplete(code: string): Record<string, unknown> {
    const { completed, indent } = this.tslab.isCompleteCode(code);
    if (!completed) return { status: 'incomplete', indent: indent ?? '' };
    const { typescript } = this;
    const file = typescript.createSourceFile('cell.ts', code, typescript.ScriptTarget.Latest);
    const { parseDiagnostics: faults } = file as unknown as {
      parseDiagnostics: readonly ts.DiagnosticWithLocation[];
    };
    // A template or a comment that has not ended.
    if (faults.some((fault) => openEnded.has(fault.code))) {
      return { status: 'incomplete', indent: '' };
    }
    return { status: faults.length > 0 ? 'invalid' : 'complete' };
  }
}

/** An unterminated template literal, an unterminated comment. */
const openEnded = new Set([1160, 1010]);

/** The place asked for, the one before it, and the function in whose arguments it lies. */
function placesOfInterest(code: string, cursor: number): number[] {
  const places = [cursor, cursor - 1];
  let depth = 0;
  for (let at = cursor - 1; at >= 0; at--) {
    if (code[at] === ')') depth += 1;
    if (code[at] === '(' && depth-- === 0) {
      places.push(at - 1);
      break;
    }
  }
  return places.filter((place) => place >= 0 && place <= code.length);
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
