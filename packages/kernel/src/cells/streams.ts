import { writeSync } from 'node:fs';
import { Readable } from 'node:stream';
import { descriptors, lineOf, type Report } from '../pipes.js';
import type { Signals } from './signals.js';

/** Characters of text in one report. */
const mostText = 32_768;

/** The end of the pipe of outputs that is written to. A full pipe makes the writer wait. */
export class Reports {
  constructor(
    private readonly signals: Signals,
    /** The cell to which what is written now belongs. */
    private readonly cell: () => number,
  ) {}

  send(report: Report): void {
    this.signals.guard(() => writeWhole(lineOf(report)));
  }

  text(name: 'stdout' | 'stderr', text: string, cell = this.cell()): void {
    for (let start = 0; start < text.length; ) {
      let end = Math.min(text.length, start + mostText);
      // The halves of one sign stay together.
      if (end < text.length && /[\uD800-\uDBFF]/.test(text.charAt(end - 1))) end -= 1;
      this.send({ type: 'stream', cell, name, text: text.slice(start, end) });
      start = end;
    }
  }

  /** From now on `process.stdout` and `process.stderr` write below cells. */
  takeStreams(): void {
    for (const name of ['stdout', 'stderr'] as const) {
      const decoder = new TextDecoder();
      const write = (
        chunk: string | Uint8Array,
        encoding?: unknown,
        callback?: (error?: Error) => void,
      ): boolean => {
        this.text(
          name,
          typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }),
        );
        const done = typeof encoding === 'function' ? (encoding as typeof callback) : callback;
        if (done) process.nextTick(done);
        return true;
      };
      process[name].write = write as typeof process.stdout.write;
    }
  }
}

/** The kernel asks nobody for input: whoever reads from stdin is told so, and does not wait. */
export function refuseInput(): void {
  Object.defineProperty(process, 'stdin', {
    configurable: true,
    enumerable: true,
    get: () =>
      new Readable({
        read() {
          this.destroy(
            new Error(
              'A notebook cell cannot read from stdin: this kernel asks for no input. ' +
                'Write the value into the cell, or read it from a file.',
            ),
          );
        },
      }),
  });
}

function writeWhole(line: string): void {
  const bytes = Buffer.from(line);
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(descriptors.outputs, bytes, written);
  }
}
