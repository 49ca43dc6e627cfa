/**
 * What the two processes of the kernel say to each other. The front (`front/`) talks with Jupyter; the
 * process of the cells (`cells/`) compiles and runs them. Requests go down one pipe, interrupts, by the
 * number of the cell, down another, which a thread reads, and outputs come up a third: all as lines of JSON.
 */

/** File descriptors of the process of the cells. */
export const descriptors = { outputs: 3, requests: 4, interrupts: 5 } as const;

/** One thing to show in several forms, by MIME type. */
export type MimeData = Record<string, unknown>;

/** What a display or a result consists of, as Jupyter's messages have it. */
export interface Shown {
  data: MimeData;
  metadata: Record<string, unknown>;
  transient?: { display_id?: string };
}

/** An error as Jupyter's messages have it. */
export interface Failure {
  ename: string;
  evalue: string;
  /** Lines for the user to read. */
  traceback: string[];
}

/** The value of a user expression, or why it has none. */
export type ExpressionAnswer =
  | { status: 'ok'; data: MimeData; metadata: Record<string, unknown> }
  | ({ status: 'error' } & Failure);

/** A cell to run. */
export interface RunRequest {
  type: 'run';
  /** Unlike any other in this kernel's life. */
  cell: number;
  /** What tracebacks call it, such as 'cell 3'. */
  name: string;
  code: string;
  /** False where the last value is not asked for. */
  wantsResult: boolean;
  expressions: Record<string, string>;
}

/** A question about code that is not run. Positions are in UTF-16 units. */
export interface Question {
  type: 'complete' | 'inspect' | 'isComplete';
  question: number;
  code: string;
  cursor: number;
}

/** What the front sends down the pipe of requests. */
export type Request = RunRequest | Question;

/** What comes up the pipe of outputs. */
export type Report =
  | { type: 'ready' }
  | { type: 'stream'; cell: number; name: 'stdout' | 'stderr'; text: string }
  | { type: 'display'; cell: number; update: boolean; shown: Shown }
  | { type: 'clear'; cell: number; wait: boolean }
  | { type: 'result'; cell: number; shown: Shown }
  | {
      type: 'done';
      cell: number;
      failure?: Failure;
      expressions: Record<string, ExpressionAnswer>;
    }
  | { type: 'answer'; question: number; content: Record<string, unknown> };

/** A request or a report as it stands in a pipe. */
export function lineOf(value: Request | Report): string {
  return `${JSON.stringify(value)}\n`;
}

/** Puts lines of JSON together from pieces of any length. */
export class LineReader<T> {
  /** The pieces of the line that has not ended. */
  private open: string[] = [];
  private readonly decoder = new TextDecoder();

  /** Adds a piece and returns the values whose lines are complete now. */
  read(piece: Uint8Array): T[] {
    const [end = '', ...others] = this.decoder.decode(piece, { stream: true }).split('\n');
    this.open.push(end);
    if (others.length === 0) return [];
    const lines = [this.open.join(''), ...others];
    this.open = [lines.pop() ?? ''];
    return lines.map((line) => JSON.parse(line));
  }
}
