/**
 * What the two processes of the kernel say to each other. The front (`front/`) talks with Jupyter; the
 * process of the cells (`cells/`) compiles and runs them. Requests go down one pipe as lines of JSON,
 * interrupts, by the number of the cell, down another, which a thread reads, and outputs come up a third.
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

const lengthBytes = 4;

/** A report as it stands in the pipe: its length in four bytes, then JSON. */
export function frameOf(report: Report): Buffer {
  const text = JSON.stringify(report);
  const length = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(lengthBytes + length);
  frame.writeUInt32LE(length, 0);
  frame.write(text, lengthBytes);
  return frame;
}

/** Puts reports together again from pieces of any length. */
export class FrameReader {
  private pieces: Buffer[] = [];
  private size = 0;

  /** Adds a piece and returns the reports that are complete now. */
  read(piece: Buffer): Report[] {
    this.pieces.push(piece);
    this.size += piece.length;
    const reports: Report[] = [];
    for (let length = this.next(); length !== undefined; length = this.next()) {
      const whole = this.joined();
      const end = lengthBytes + length;
      reports.push(JSON.parse(whole.toString('utf8', lengthBytes, end)));
      this.pieces = [whole.subarray(end)];
      this.size = whole.length - end;
    }
    return reports;
  }

  /** The length of the next report, if all of it is here. */
  private next(): number | undefined {
    if (this.size < lengthBytes) return undefined;
    const [first = Buffer.of()] = this.pieces;
    const length = (first.length < lengthBytes ? this.joined() : first).readUInt32LE(0);
    return this.size >= lengthBytes + length ? length : undefined;
  }

  private joined(): Buffer {
    const [first = Buffer.of(), ...others] = this.pieces;
    const whole = others.length > 0 ? Buffer.concat(this.pieces) : first;
    this.pieces = [whole];
    return whole;
  }
}

/** Puts lines of JSON together from pieces of any length. */
export class LineReader {
  private rest = '';
  private readonly decoder = new TextDecoder();

  /** Adds a piece and returns the values whose lines are complete now. */
  read(piece: Uint8Array): unknown[] {
    const lines = (this.rest + this.decoder.decode(piece, { stream: true })).split('\n');
    this.rest = lines.pop() ?? '';
    return lines.map((line): unknown => JSON.parse(line));
  }
}
