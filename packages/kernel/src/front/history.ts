import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';

/** One executed input. */
interface Entry {
  session: number;
  line: number;
  input: string;
  output?: string;
}

/** A `history_request`; which of the rest counts depends on the access. */
export interface HistoryRequest {
  output?: boolean;
  hist_access_type?: string;
  session?: number;
  start?: number;
  stop?: number;
  n?: number;
  pattern?: string;
  unique?: boolean;
}

/** The file at whose size another one is begun; one older file is kept. */
const mostBytes = 2 ** 20;
const mostOutput = 4000;
const staleLock = 10_000;

/**
 * The user's data folder: TARFLOW_KERNEL_DATA, else `tarflow` in XDG_DATA_HOME, else
 * `~/.local/share/tarflow`.
 */
export function dataFolder(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment.TARFLOW_KERNEL_DATA) return path.resolve(environment.TARFLOW_KERNEL_DATA);
  const { XDG_DATA_HOME: data = '' } = environment;
  const base = path.isAbsolute(data) ? data : path.join(homedir(), '.local', 'share');
  return path.join(base, 'tarflow');
}

/**
 * What was executed, in this session and before. Every input is appended to the file at once, in one
 * write, so that two kernels can share it. A folder that cannot be written costs the memory of it, and
 * no cell.
 */
export class History {
  /** Milliseconds since 1970 when the session began: no two kernels of a user share them. */
  readonly session: number;
  private readonly own: Entry[] = [];
  private readonly file: string;
  private readonly older: string;

  constructor(folder = dataFolder(), session = Date.now()) {
    this.session = session;
    this.file = path.join(folder, 'kernel-history.jsonl');
    this.older = path.join(folder, 'kernel-history-older.jsonl');
  }

  /** Remembers an input and the text of its result. */
  add(line: number, input: string, output?: string): void {
    const entry: Entry = { session: this.session, line, input };
    if (output !== undefined) entry.output = output.slice(0, mostOutput);
    this.own.push(entry);
    try {
      mkdirSync(path.dirname(this.file), { recursive: true });
      this.turn();
      appendFileSync(this.file, `${JSON.stringify(entry)}\n`);
    } catch {
      // It is still in `own`.
    }
  }

  /** The `history` of a reply: triples of session, line and input, or input and output. */
  answer(request: HistoryRequest): [number, number, string | [string, string | null]][] {
    return this.chosen(request).map(({ session, line, input, output }) => [
      session,
      line,
      request.output ? [input, output ?? null] : input,
    ]);
  }

  private chosen(request: HistoryRequest): Entry[] {
    const { n, start = 1, stop, pattern = '*', unique = false } = request;
    if (request.hist_access_type === 'range') {
      const session = this.sessionOf(request.session ?? 0);
      const end = stop ?? Number.POSITIVE_INFINITY;
      return this.all().filter(
        (entry) => entry.session === session && entry.line >= start && entry.line < end,
      );
    }
    if (request.hist_access_type === 'search') {
      const expression = globExpression(pattern);
      const found = this.all().filter(({ input }) => expression.test(input));
      return last(unique ? withoutRepeats(found) : found, n);
    }
    return last(this.all(), n);
  }

  /** 0 is this session, -1 the one before it. */
  private sessionOf(given: number): number | undefined {
    if (given > 0) return given;
    if (given === 0) return this.session;
    const sessions = [...new Set(this.all().map(({ session }) => session))]
      .filter((session) => session !== this.session)
      .sort((a, b) => a - b);
    return sessions.at(given);
  }

  /** Everything, this session last. */
  private all(): Entry[] {
    const earlier = [this.older, this.file]
      .flatMap(readEntries)
      .filter(({ session }) => session !== this.session);
    return [...earlier, ...this.own];
  }

  /** Begins another file when this one is long. Whoever still writes into it writes into the older. */
  private turn(): void {
    if (!existsSync(this.file) || statSync(this.file).size < mostBytes) return;
    const lock = `${this.file}.lock`;
    if (existsSync(lock) && Date.now() - statSync(lock).mtimeMs > staleLock) rmSync(lock);
    let held: number;
    try {
      held = openSync(lock, 'wx');
    } catch {
      return; // Another kernel does it.
    }
    try {
      if (statSync(this.file).size >= mostBytes) renameSync(this.file, this.older);
    } finally {
      closeSync(held);
      rmSync(lock, { force: true });
    }
  }
}

function readEntries(file: string): Entry[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    try {
      const entry: Entry = JSON.parse(line);
      return typeof entry.input === 'string' ? [entry] : [];
    } catch {
      return []; // No line, or one that a full disk cut off.
    }
  });
}

/** The latest of equal inputs stays, in its place. */
function withoutRepeats(entries: Entry[]): Entry[] {
  const seen = new Set<string>();
  return entries
    .reverse()
    .filter(({ input }) => !seen.has(input) && seen.add(input))
    .reverse();
}

function last(entries: Entry[], count: number | undefined): Entry[] {
  return count === undefined ? entries : count > 0 ? entries.slice(-count) : [];
}

/** A pattern with `*` and `?`, as IPython's history search has it. */
function globExpression(pattern: string): RegExp {
  const source = [...pattern]
    .map((sign) =>
      sign === '*' ? '[^]*' : sign === '?' ? '[^]' : sign.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'),
    )
    .join('');
  return new RegExp(`^${source}$`, 'u');
}
