import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as readline from 'node:readline';

/** A request to a side of the benchmark: a command and what it takes. */
export type Request = { command: string } & Record<string, unknown>;

/**
 * A process that runs one side's workloads. It reads one JSON object a line and answers each with
 * one, so that the sides take turns on the same cores.
 */
export class Contender {
  private readonly process: ChildProcess;
  private readonly answers: AsyncIterator<string>;
  private readonly ended: Promise<void>;

  constructor(
    readonly label: string,
    program: string,
    args: string[],
    env: Record<string, string>,
  ) {
    this.process = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.ended = new Promise((resolve) => {
      this.process.once('close', () => resolve());
    });
    const lines = readline.createInterface({ input: this.process.stdout as NodeJS.ReadableStream });
    this.answers = lines[Symbol.asyncIterator]();
  }

  /** Sends a request and waits for its answer; an answer that tells of an error is thrown. */
  async ask<T>(request: Request): Promise<T> {
    this.process.stdin?.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new Error(`${this.label} ended (exit status ${this.process.exitCode}).`);
    const answer = JSON.parse(value);
    if (answer.error !== undefined) throw new Error(`${this.label}: ${answer.error}`);
    return answer;
  }

  /** Resident memory now, in bytes (Linux). */
  residentMemory(): number {
    return this.statusField('VmRSS');
  }

  /** Largest resident memory since the last {@link resetPeak}, in bytes (Linux). */
  peakMemory(): number {
    return this.statusField('VmHWM');
  }

  resetPeak(): void {
    fs.writeFileSync(`/proc/${this.process.pid}/clear_refs`, '5');
  }

  /** Lets the process end, and waits until it has. */
  async end(): Promise<void> {
    this.process.stdin?.end();
    await this.ended;
  }

  private statusField(name: string): number {
    const status = fs.readFileSync(`/proc/${this.process.pid}/status`, 'utf8');
    const found = status.match(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm'));
    if (!found) throw new Error(`The system does not say ${name} of process ${this.process.pid}.`);
    return Number(found[1]) * 1024;
  }
}
