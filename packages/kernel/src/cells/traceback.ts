import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { inspect } from 'node:util';
import type { Failure } from '../pipes.js';
import { isCompiled, originalPlace, type Place } from './source-maps.js';

/** One finding of the compiler, as tslab's converter gives it; lines and characters count from 0. */
export interface Finding {
  start: { line: number; character: number };
  end: { line: number; character: number };
  messageText: string;
  code: number;
  fileName?: string;
}

const mostFrames = 12;
const mostFindings = 10;
/** Lines shown before and after the one at fault. */
const around = 2;

const ownFolder = path.resolve(__dirname, '..') + path.sep;
/** What stands around awaits; with `Promise.all` it is left out of stacks. */
const guardingFile = path.join(__dirname, 'awaits.js');

const sources = new Map<string, string>();

/** Remembers the code of a cell for tracebacks. */
export function rememberSource(name: string, code: string): void {
  sources.set(name, code);
}

/** From now on stacks point at the lines that the user wrote, and end where the kernel begins. */
export function mapStacks(): void {
  Error.prepareStackTrace = (error, frames) => {
    const lines = [headOf(error)];
    let guarding = false;
    for (const frame of frames) {
      const line = mapped(frame);
      const file = frame.getFileName();
      const guards: boolean = file === guardingFile || (guarding && frame.isPromiseAll());
      guarding = guards;
      if (guards) continue;
      if (line === undefined || file?.startsWith(ownFolder)) break;
      lines.push(line);
    }
    return lines.join('\n');
  };
}

/** What a cell threw, for the user: its message, the place in the code, and the way there. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) {
    const text = safely(() => inspect(error));
    const ename = error === null || typeof error !== 'object' ? typeof error : nameOf(error);
    return { ename, evalue: text, traceback: [`Thrown: ${text}`] };
  }
  const lines: string[] = [];
  const seen = new Set<unknown>();
  for (let at: unknown = error; at instanceof Error && !seen.has(at); at = at.cause) {
    if (seen.size > 0) lines.push('', 'Caused by:');
    seen.add(at);
    lines.push(...linesOf(at));
  }
  if (error instanceof AggregateError) {
    for (const inner of error.errors) lines.push('', 'With:', ...failureOf(inner).traceback);
  }
  return {
    ename: safely(() => error.name || nameOf(error)),
    evalue: safely(() => String(error.message)),
    traceback: lines,
  };
}

/** What the compiler found, each with its line. */
export function failureOfFindings(findings: readonly Finding[], cell: string): Failure {
  // What does not parse has no meaning yet that could be wrong.
  const ofSyntax = findings.filter(({ code }) => code < 2000);
  const told = ofSyntax.length > 0 ? ofSyntax : findings;
  const texts = grouped(told).map(([first, ...others]) => {
    const more = others.map(
      ({ messageText }, depth) => `\n${'  '.repeat(depth + 1)}${messageText}`,
    );
    return { first, message: `TS${first.code}: ${first.messageText}${more.join('')}` };
  });
  const traceback = texts.slice(0, mostFindings).flatMap(({ first, message }, index) => {
    const { start, end } = first;
    const file = first.fileName ?? cell;
    const place = { file, line: start.line + 1, column: start.character + 1 };
    const width = end.line === start.line ? end.character - start.character : 1;
    const where = `${file}, line ${place.line}, column ${place.column}`;
    return [...(index > 0 ? [''] : []), message, where, ...excerpt(place, 0, width)];
  });
  if (texts.length > mostFindings) traceback.push('', `and ${texts.length - mostFindings} more`);
  return { ename: 'TypeScriptError', evalue: traceback[0]?.split('\n')[0] ?? '', traceback };
}

/** A chain of messages comes as several findings of the same place. */
function grouped(findings: readonly Finding[]): [Finding, ...Finding[]][] {
  const groups: [Finding, ...Finding[]][] = [];
  for (const finding of findings) {
    const last = groups.at(-1)?.[0];
    const same =
      last !== undefined &&
      finding.fileName === undefined &&
      last.start.line === finding.start.line &&
      last.start.character === finding.start.character;
    if (same) groups.at(-1)?.push(finding);
    else groups.push([finding]);
  }
  return groups;
}

function linesOf(error: Error): string[] {
  const stack = safely(() => String(error.stack ?? headOf(error)));
  const lines = stack.split('\n');
  const isFrame = (line: string) => /^\s+at /.test(line);
  const first = lines.findIndex(isFrame);
  const head = first === -1 ? lines : lines.slice(0, first);
  const frames = first === -1 ? [] : lines.slice(first).filter(isFrame).filter(isOfUser);
  const place = frames.map(placeIn).find((found) => found && sourceLines(found.file));
  const more = frames.length - mostFrames;
  return [
    ...head,
    ...(place ? excerpt(place, around, 1) : []),
    ...frames.slice(0, mostFrames),
    ...(more > 0 ? [`    and ${more} more`] : []),
  ];
}

const internals = [
  /\(?node:/,
  /[\\/]node_modules[\\/](tslab|@tslab)[\\/]/,
  /at (async )?(Promise\.\w+ \(index \d+\)|new Promise \(<anonymous>\))$/,
];

function isOfUser(line: string): boolean {
  return !line.includes(ownFolder) && !internals.some((pattern) => pattern.test(line));
}

function placeIn(frame: string): Place | undefined {
  const [, file, line, column] = /(?:\(|at (?:async )?)([^()]+):(\d+):(\d+)\)?$/.exec(frame) ?? [];
  return file === undefined ? undefined : { file, line: Number(line), column: Number(column) };
}

/** The lines of a cell or of a local file that was compiled here. */
function sourceLines(file: string): string[] | undefined {
  const cell = sources.get(file);
  if (cell !== undefined) return cell.split('\n');
  return isCompiled(file) ? readLines(file) : undefined;
}

/** Some lines, with a mark below the place. */
function excerpt(place: Place, context: number, width: number): string[] {
  const lines = sourceLines(place.file) ?? readLines(path.resolve(process.cwd(), place.file)) ?? [];
  const [from, to] = [Math.max(1, place.line - context), place.line + context];
  const digits = String(Math.min(to, lines.length)).length;
  return lines.slice(from - 1, to).flatMap((line, index) => {
    const number = from + index;
    const shown = `  ${String(number).padStart(digits)} | ${line}`;
    if (number !== place.line) return [shown];
    // Tabs stay tabs, so that the mark is below its place.
    const before = line.slice(0, place.column - 1).replace(/[^\t]/g, ' ');
    const marks = '^'.repeat(Math.max(1, Math.min(width, line.length - place.column + 1)));
    return [shown, `  ${' '.repeat(digits)} | ${before}${marks}`];
  });
}

function readLines(file: string): string[] | undefined {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch {
    return undefined;
  }
}

/** A line of a stack; none for what stands around the code of a cell. */
function mapped(frame: NodeJS.CallSite): string | undefined {
  const text = `    at ${frame.toString()}`;
  const file = frame.getFileName();
  // What is called through an object of tslab's, or of a compiled module, is named by itself.
  const plain = text.replace(/at (async )?(Proxy|Object)\./, 'at $1');
  if (!file || !isCompiled(file)) return plain;
  const [line, column] = [frame.getLineNumber() ?? 1, frame.getColumnNumber() ?? 1];
  const place = originalPlace({ file, line, column });
  if (!place) return undefined;
  return plain.replace(`${file}:${line}:${column}`, () => `${file}:${place.line}:${place.column}`);
}

function headOf(error: Error): string {
  const text = safely(() => Error.prototype.toString.call(error));
  const { code, name } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || !code.startsWith('ERR_') || text.includes(code)) return text;
  return text.startsWith(name) ? `${name} [${code}]${text.slice(name.length)}` : text;
}

function nameOf(value: object): string {
  return safely(() => value.constructor?.name || 'Object');
}

/** What user code throws may throw itself when it is looked at. */
function safely(look: () => string): string {
  try {
    return look();
  } catch {
    return '(a value that cannot be shown)';
  }
}
