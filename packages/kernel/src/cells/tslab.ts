import type ts from 'typescript';
import type { Shown } from '../pipes.js';
import type { Finding } from './traceback.js';

/** What tslab's converter makes of a cell. */
export interface Converted {
  output?: string;
  declOutput?: string;
  diagnostics: Finding[];
  hasToplevelAwait?: boolean;
  lastExpressionVar?: string;
}

/** tslab's completions. */
export interface Completions {
  start: number;
  end: number;
  candidates: string[];
  original?: ts.CompletionInfo;
}

/** The part of tslab that compiles (`tslab/dist/converter.js`). */
export interface Converter {
  convert(before: string, source: string): Converted;
  inspect(before: string, source: string, position: number): ts.QuickInfo | undefined;
  complete(before: string, source: string, position: number): Completions;
  addModule(name: string, content: string, meta?: unknown): Finding[];
  close(): void;
}

/** The part of tslab that executes (`tslab/dist/executor.js`). */
export interface Executor {
  execute(source: string): Promise<boolean>;
  inspect(source: string, position: number): ts.QuickInfo | undefined;
  complete(source: string, position: number): Completions;
  interrupt(): void;
  close(): void;
  /** What cells have declared. */
  locals: Record<string, unknown>;
}

/** The parts of tslab that the kernel keeps. */
export interface Tslab {
  createConverter(options: { isJS: boolean; isBrowser: boolean }): Converter;
  isCompleteCode(code: string): { completed: boolean; indent?: string };
  createExecutor(
    folder: string,
    converters: { readonly node: Converter; readonly browser: Converter; close(): void },
    console: { log(...values: unknown[]): void; error(...values: unknown[]): void },
  ): Executor;
  printQuickInfo(info: ts.QuickInfo): string;
  /** What `display` sends an output to the front end with; the library looks there too. */
  jupyter: { lastWriteDisplayData: ((shown: Shown, update?: boolean) => void) | null };
}

/** Loads the parts of tslab. Its compiler must have been replaced before. */
export function loadTslab(): Tslab {
  const converter = require('tslab/dist/converter.js');
  return {
    createConverter: converter.createConverter,
    isCompleteCode: converter.isCompleteCode,
    createExecutor: require('tslab/dist/executor.js').createExecutor,
    printQuickInfo: require('tslab/dist/inspect.js').printQuickInfo,
    jupyter: require('tslab/dist/jupyter.js'),
  };
}
