import { type ChildProcess, spawn } from 'node:child_process';
import * as path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { descriptors, LineReader, lineOf, type Report, type Request } from '../pipes.js';

/** How the process of the cells ended. */
export interface End {
  /** In words, such as 'signal SIGKILL'. */
  reason: string;
}

/** The process that compiles and runs the cells, seen from the front. */
export class CellsProcess {
  private readonly child: ChildProcess;
  private readonly outputs: Readable;
  private readonly reader = new LineReader<Report>();

  constructor(onReport: (report: Report) => void, onEnd: (end: End) => void) {
    const program = path.join(__dirname, '..', 'cells', 'cells.js');
    // Where a loop in a callback is stopped by force, what the callback entered is not left. Node.js ends
    // the process then, unless it is told not to look.
    const flags = [...process.execArgv, '--no-force-async-hooks-checks'];
    this.child = spawn(process.execPath, [...flags, program], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe', 'pipe'],
    });
    this.outputs = this.child.stdio[descriptors.outputs] as Readable;
    this.outputs.on('data', (piece: Buffer) => {
      for (const report of this.reader.read(piece)) onReport(report);
    });
    // Writing to a process that has ended; its end is reported below.
    for (const pipe of this.child.stdio) pipe?.on('error', () => {});
    this.child.on('close', (code, signal) => {
      onEnd({ reason: signal ? `signal ${signal}` : `exit status ${code}` });
    });
  }

  send(request: Request): void {
    this.writable('requests').write(lineOf(request));
  }

  /** Interrupts a cell, whether it runs already or not. */
  interrupt(cell: number): void {
    this.writable('interrupts').write(`${cell}\n`);
  }

  /** Lets the process wait when it writes, or go on. */
  hold(held: boolean): void {
    if (held) this.outputs.pause();
    else if (this.outputs.isPaused()) this.outputs.resume();
  }

  /** Ends the process: politely, then by force. */
  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.outputs.resume();
    this.child.kill('SIGTERM');
    const force = setTimeout(() => this.child.kill('SIGKILL'), 500);
    await ended;
    clearTimeout(force);
  }

  private writable(name: 'requests' | 'interrupts'): Writable {
    const pipes: readonly unknown[] = this.child.stdio;
    return pipes[descriptors[name]] as Writable;
  }
}
