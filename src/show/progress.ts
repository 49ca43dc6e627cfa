import * as cliProgress from 'cli-progress';
import { inNotebook, newDisplay } from './display.js';
import { escapeXml } from './sharp.js';
import { formatValue } from './table.js';

/**
 * Values shown beside the bar: numbers, for example `{ loss: 3.21 }`, and in words what is being done
 * now, which the display drops when it ends.
 */
export type ProgressFields = Record<string, number | string>;

/** Shows the user how far a long piece of work has come. */
export interface Progress {
  /** Sets how much is done. It may be called often; it draws at most a few times per second. */
  update(done: number, fields?: ProgressFields): void;
  /** Ends the display with the time that the work took and a closing remark. */
  finish(summary?: string): void;
}

export interface ProgressOptions {
  /** What is being done, for example 'Training'. */
  title: string;
  /** The total number of units. */
  total: number;
  /** How many were done before by a run that is now resumed. */
  from?: number;
  /** The name of the units. Default 'steps'. */
  unit?: string;
}

/**
 * Begins a progress display, for anything that takes more than two seconds. In a notebook or a
 * terminal it is a bar that is overwritten in place, elsewhere a line on stderr every ten seconds.
 */
export function startProgress(options: ProgressOptions): Progress {
  const state = new State(options);
  if (inNotebook()) return notebookProgress(state);
  if (process.stderr.isTTY) return terminalProgress(state);
  return lineProgress(state);
}

/** A duration in words: '8 s', '3 min 20 s', '2 h 5 min'. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  const rounded = Math.round(whole / 60);
  return `${Math.floor(rounded / 60)} h ${rounded % 60} min`;
}

/** Runs `draw` at most once in `milliseconds`; calls in between are dropped. */
export function throttled(milliseconds: number, draw: () => void): () => void {
  let last = Number.NEGATIVE_INFINITY;
  return () => {
    const now = performance.now();
    if (now - last < milliseconds) return;
    last = now;
    draw();
  };
}

/** What all displays share: the state of the work, and how to put it into words. */
class State {
  done: number;
  fields: ProgressFields = {};
  private readonly begun = performance.now();
  /** What says nothing of the rest: the first one of many, which compiling is a part of. */
  private aside = { units: 0, seconds: 0 };

  constructor(private readonly options: ProgressOptions) {
    this.done = options.from ?? 0;
  }

  get title(): string {
    return this.options.title;
  }

  get total(): number {
    return this.options.total;
  }

  get seconds(): number {
    return (performance.now() - this.begun) / 1000;
  }

  get share(): number {
    return this.total > 0 ? Math.min(1, Math.max(0, this.done / this.total)) : 1;
  }

  update(done: number, fields = this.fields): void {
    const isFirst = done === (this.options.from ?? 0) + 1 && this.total > 10;
    if (isFirst && this.aside.units === 0) this.aside = { units: 1, seconds: this.seconds };
    this.done = done;
    this.fields = fields;
  }

  /** '120 of 2,000 steps · 1 min 20 s left · loss 3.210' */
  status(): string {
    const { units, seconds } = this.aside;
    const worked = this.done - (this.options.from ?? 0) - units;
    const left = ((this.seconds - seconds) / worked) * (this.total - this.done);
    return [
      `${formatValue(this.done)} of ${this.units()}`,
      ...(worked > 0 ? [`${formatDuration(left)} left`] : []),
      ...this.fieldTexts(() => true),
    ].join(' · ');
  }

  /** '2,000 steps in 3 min 20 s · loss 3.210 · saved' */
  outcome(summary: string | undefined): string {
    const part = this.done === this.total ? '' : `${formatValue(this.done)} of `;
    return [
      `${part}${this.units()} in ${formatDuration(this.seconds)}`,
      ...this.fieldTexts((value) => typeof value === 'number'),
      ...(summary === undefined ? [] : [summary]),
    ].join(' · ');
  }

  private units(): string {
    return `${formatValue(this.total)} ${this.options.unit ?? 'steps'}`;
  }

  private fieldTexts(isShown: (value: number | string) => boolean): string[] {
    return Object.entries(this.fields)
      .filter(([, value]) => isShown(value))
      .map(([name, value]) => `${name} ${formatValue(value)}`);
  }
}

/** A display that draws what the state says, and puts the outcome into words at the end. */
function shownBy(state: State, draw: () => void, end: Progress['finish']): Progress {
  return {
    update(done, fields) {
      state.update(done, fields);
      draw();
    },
    finish: end,
  };
}

function notebookProgress(state: State): Progress {
  const place = newDisplay();
  const show = (share: number, text: string) =>
    place.show({
      'text/html': barHtml(state.title, share, text),
      'text/plain': `${state.title}: ${text}`,
    });
  const draw = throttled(250, () => show(state.share, state.status()));
  return shownBy(state, draw, (summary) => show(state.share, state.outcome(summary)));
}

function barHtml(title: string, share: number, text: string): string {
  const percent = (100 * share).toFixed(1);
  return `<div style="display: flex; align-items: center; gap: 12px; font-size: 13px">
<b>${escapeXml(title)}</b>
<div style="width: 240px; height: 8px; border-radius: 4px; background: #dddddd">
<div style="width: ${percent}%; height: 8px; border-radius: 4px; background: #0072b2"></div></div>
<span>${escapeXml(text)}</span></div>`;
}

function terminalProgress(state: State): Progress {
  const bar = new cliProgress.SingleBar({
    format: '{title} {bar} {status}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    fps: 4,
    stream: process.stderr,
    clearOnComplete: true,
    // The work handles interrupts, and ends the bar when it stops.
    gracefulExit: false,
  });
  const payload = () => ({ title: state.title, status: state.status() });
  bar.start(state.total, state.done, payload());
  const draw = () => bar.update(state.done, payload());
  return shownBy(state, draw, (summary) => {
    bar.stop();
    console.error(`${state.title}: ${state.outcome(summary)}`);
  });
}

function lineProgress(state: State): Progress {
  let spoken = false;
  const speak = throttled(10_000, () => {
    // The first call comes at the beginning, when there is nothing to tell yet.
    if (spoken) console.error(`${state.title}: ${state.status()}`);
    spoken = true;
  });
  speak();
  return shownBy(state, speak, (summary) => {
    if (summary === undefined && state.seconds < 10) return;
    console.error(`${state.title}: ${state.outcome(summary)}`);
  });
}
