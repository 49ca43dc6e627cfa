import Module from 'node:module';
import { inspect } from 'node:util';
import vm from 'node:vm';
import type { ExpressionAnswer, Failure, RunRequest } from '../pipes.js';
import { awaiting, helperName } from './awaits.js';
import { type Cell, Interrupted, newCell, runIn } from './cell.js';
import type { Watched } from './compiler.js';
import { declarationsThatHold, declaredNames, importedNames } from './earlier-cells.js';
import { type EsPackages, loader } from './es-packages.js';
import { hintsFor, type Moment, shownHint } from './hints.js';
import type { LocalModules } from './local-modules.js';
import type { Signals } from './signals.js';
import { rememberOrigin } from './source-maps.js';
import type { Reports } from './streams.js';
import { ownImmediate } from './timers.js';
import { failureOf, failureOfFindings, rememberSource } from './traceback.js';
import type { Converted, Converter, Executor, Tslab } from './tslab.js';
import { shownValue } from './values.js';

/** What is known of one run of tslab's executor. */
interface Run {
  name: string;
  converted?: Converted;
  /** What the executor printed as the last value, in a list because it may be anything. */
  values: unknown[];
  /** What the executor printed as the error. */
  errors: unknown[];
}

/** Runs cells, one after the other, on tslab's converter and executor. */
export class Running {
  readonly executor: Executor;
  private readonly converters = new Map<boolean, Converter>();
  private run: Run = { name: '', values: [], errors: [] };
  /** What cells have declared; tslab forgets what a cell that failed had declared before it did. */
  private declarations = '';
  private cell: Cell | undefined;
  private last: Cell | undefined;
  private stop: (() => void) | undefined;
  /** The latest cell that an interrupt came for before it had begun. */
  private stoppedBefore = 0;

  constructor(
    private readonly tslab: Tslab,
    private readonly watched: Watched,
    private readonly local: LocalModules,
    private readonly packages: EsPackages,
    private readonly signals: Signals,
    private readonly reports: Reports,
  ) {
    const converter = (isBrowser: boolean) => this.converter(isBrowser);
    this.executor = tslab.createExecutor(
      process.cwd(),
      {
        get node() {
          return converter(false);
        },
        get browser() {
          return converter(true);
        },
        close: () => {
          for (const made of this.converters.values()) made.close();
        },
      },
      {
        log: (value) => this.run.values.push(value),
        error: (...values) => this.onError(values),
      },
    );
    Object.assign(globalThis, { [helperName]: awaiting });
    this.nameScripts();
    this.guardModules();
  }

  /** The cell that runs, or the one that ran last. */
  get latest(): Cell | undefined {
    return this.cell ?? this.last;
  }

  /** The cell that runs, if it is this one; otherwise it is not run when its turn comes. */
  runningOrNever(id: number): Cell | undefined {
    if (this.cell?.id === id) return this.cell;
    if (id > (this.last?.id ?? 0)) this.stoppedBefore = id;
    return undefined;
  }

  /** Runs a cell and reports what comes of it. */
  async execute({ cell: id, name, code, wantsResult, expressions }: RunRequest): Promise<void> {
    if (id <= this.stoppedBefore) {
      const failure = failureOf(new Interrupted());
      this.reports.send({ type: 'done', cell: id, failure, expressions: {} });
      return;
    }
    const cell = newCell(id, name);
    this.cell = cell;
    const ended = new Promise<Failure>((resolve) => {
      this.stop = () => resolve(failureOf(new Interrupted()));
    });
    const whole = runIn(cell, () => this.whole(cell, code, wantsResult, expressions));
    const stopped = ended.then((failure) => {
      this.keepDeclarations(this.run, false);
      return { failure, answers: {} };
    });
    const outcome = await Promise.race([whole, stopped]);
    this.last = cell;
    this.cell = undefined;
    this.stop = undefined;
    const { failure, answers } = outcome;
    const done = { type: 'done', cell: id, expressions: answers } as const;
    this.reports.send(failure ? { ...done, failure } : done);
  }

  /** Stops the running cell: its timers are cleared, the awaits of now throw, and later ones wait. */
  interrupt(): void {
    const { cell } = this;
    if (!cell) return;
    cell.interrupted = true;
    for (const clear of cell.timers.values()) clear();
    cell.timers.clear();
    for (const stop of cell.waits) stop();
    cell.waits.clear();
    // A cell that lets itself be stopped ends by itself, and says how.
    ownImmediate(() =>
      ownImmediate(() => {
        if (this.cell !== cell) return;
        this.executor.interrupt();
        this.stop?.();
      }),
    );
  }

  private async whole(
    cell: Cell,
    code: string,
    wantsResult: boolean,
    expressions: Record<string, string>,
  ): Promise<{ failure?: Failure; answers: Record<string, ExpressionAnswer> }> {
    this.local.notice();
    rememberSource(cell.name, code);
    const replaced = this.namedAgain(code);
    const { failure, values } = await this.evaluate(cell.name, code);
    if (failure) {
      if (wantsResult) await this.hint(cell, code, replaced());
      return { failure, answers: {} };
    }
    if (wantsResult && values.length > 0) {
      const shown = await shownValue(values[0]);
      // A picture may have taken long, and the cell have been stopped.
      if (this.cell === cell) this.reports.send({ type: 'result', cell: cell.id, shown });
    }
    if (wantsResult) await this.hint(cell, code, replaced());
    const answers: Record<string, ExpressionAnswer> = {};
    for (const [name, expression] of Object.entries(expressions)) {
      answers[name] = await this.answer(expression);
    }
    return { answers };
  }

  /** Shows the hints for what a cell has come to, if it still runs. */
  private async hint(cell: Cell, code: string, replaced: readonly Moment[]): Promise<void> {
    if (this.cell !== cell) return;
    const lines = code.split('\n');
    const { diagnostics = [] } = this.run.converted ?? {};
    const found = [...diagnostics, ...this.watched.strangeIndexes()].flatMap(
      (finding): Moment[] => {
        const { code, messageText: message, start, fileName } = finding;
        const line = fileName === undefined ? lines[start.line] : undefined;
        return line === undefined
          ? []
          : [{ when: 'found', code, message, line, column: start.character }];
      },
    );
    // What a package does wrong is no fault of the user's.
    const given = await hintsFor([...found, ...replaced, { when: 'ended' }]).catch(() => []);
    for (const line of given) {
      if (this.cell !== cell) return;
      const shown = shownHint(line);
      this.reports.send({ type: 'display', cell: cell.id, update: false, shown });
    }
  }

  /** The names that a cell declares and others had declared before; afterwards, those that hold other values. */
  private namedAgain(code: string): () => Moment[] {
    const { typescript } = this.watched;
    const { locals } = this.executor;
    const names = declaredNames(typescript, code).filter((name) => Object.hasOwn(locals, name));
    if (names.length === 0) return () => [];
    const from = importedNames(typescript, this.declarations);
    const before = names.map((name) => ({ name, old: locals[name], from: from.get(name) }));
    return () => {
      const held = new Set(Object.values(locals));
      return before
        .filter(({ old }) => !held.has(old))
        .map((named) => ({ when: 'replaced', ...named }));
    };
  }

  private async answer(expression: string): Promise<ExpressionAnswer> {
    const { failure, values } = await this.evaluate('expression', `(${expression})`);
    if (failure) return { status: 'error', ...failure };
    if (values.length === 0) {
      return { status: 'ok', data: { 'text/plain': 'undefined' }, metadata: {} };
    }
    const { data, metadata } = await shownValue(values[0]);
    return { status: 'ok', data, metadata };
  }

  private async evaluate(
    name: string,
    code: string,
  ): Promise<{ failure?: Failure; values: unknown[] }> {
    const run: Run = { name, values: [], errors: [] };
    this.run = run;
    try {
      await this.packages.prepare(code);
      const succeeded = await this.executor.execute(code);
      this.keepDeclarations(run, succeeded);
      if (succeeded) return { values: run.values };
    } catch (error) {
      return { failure: failureOf(error), values: [] };
    }
    const { diagnostics = [] } = run.converted ?? {};
    if (diagnostics.length > 0) {
      return { failure: failureOfFindings(diagnostics, name), values: [] };
    }
    return { failure: failureOf(run.errors[0]), values: [] };
  }

  private keepDeclarations(run: Run, succeeded: boolean): void {
    const { converted } = run;
    // Another cell may run by now, and what does not compile declares nothing.
    if (run !== this.run || !converted || converted.diagnostics.length > 0) return;
    const declarations = converted.declOutput ?? '';
    const { typescript } = this.watched;
    this.declarations = succeeded
      ? declarations
      : declarationsThatHold(typescript, declarations, this.executor.locals);
  }

  /** The executor prints findings of the compiler with a format, and what a cell throws alone. */
  private onError(values: unknown[]): void {
    if (values.length === 1) this.run.errors.push(values[0]);
    else if (!this.run.converted) this.reports.text('stderr', `${inspect(values.slice(1))}\n`);
  }

  private converter(isBrowser: boolean): Converter {
    const found = this.converters.get(isBrowser);
    if (found) return found;
    const { signals, watched } = this;
    const converter = signals.guard(() => this.tslab.createConverter({ isJS: false, isBrowser }));
    const careful = <T>(work: () => T): T =>
      signals.guard(() => {
        watched.notice();
        return work();
      });
    const made: Converter = {
      ...converter,
      convert: (_, source) => {
        const converted = careful(() => converter.convert(this.declarations, source));
        this.run.converted = converted;
        return converted;
      },
      inspect: (_, ...where) => careful(() => converter.inspect(this.declarations, ...where)),
      complete: (_, ...where) => careful(() => converter.complete(this.declarations, ...where)),
      addModule: (...values) => careful(() => converter.addModule(...values)),
    };
    this.converters.set(isBrowser, made);
    return made;
  }

  /**
   * The executor runs what it has compiled by `vm.runInThisContext`, without a name. It gets the name of
   * its cell here, and the lines of the cell; interrupts do not come by its own way, which knows of the
   * synchronous part of a cell alone.
   */
  private nameScripts(): void {
    const original = vm.runInThisContext;
    const replaced = (code: string, options?: vm.RunningCodeOptions | string): unknown => {
      const { name, converted } = this.run;
      const output = converted?.output;
      const start = output === undefined ? -1 : code.indexOf(output);
      if (output === undefined || start === -1 || start > 100) return original(code, options);
      const origin = this.watched.originOf(output);
      if (origin) {
        const lines = output.split('\n').length;
        rememberOrigin(name, (line, column) => {
          if (line > lines) return undefined;
          const found = origin(line, line === 1 ? Math.max(1, column - start) : column);
          // The converter puts a line before the cell's.
          return found && found.line > 1 ? { ...found, line: found.line - 1 } : undefined;
        });
      }
      return original(code, { filename: name, displayErrors: false });
    };
    Object.assign(vm, { runInThisContext: replaced });
  }

  /** A module that is loaded half would stay so: an interrupt waits for it. */
  private guardModules(): void {
    const { signals } = this;
    const { _load: original } = loader;
    loader._load = (...values) => signals.guard(() => original.apply(Module, values));
  }
}
