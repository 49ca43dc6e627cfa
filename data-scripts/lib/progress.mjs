import { folderSize, formatBytes } from './files.mjs';

/**
 * Shows what set-up is doing: on a terminal one line that is rewritten, elsewhere (a log) one line
 * per tenth.
 */
export class Progress {
  #title = '';
  #started = 0;
  #lastTenth = -1;

  /** @param {NodeJS.WriteStream} stream */
  constructor(stream = process.stdout) {
    this.stream = stream;
  }

  /** @param {string} title */
  start(title) {
    this.#title = title;
    this.#started = performance.now();
    this.#lastTenth = -1;
    this.stream.write(this.stream.isTTY ? `  ${title} …` : `  ${title} …\n`);
  }

  /**
   * @param {number} done bytes
   * @param {number | undefined} total bytes, undefined when unknown
   */
  update(done, total) {
    const fraction = total === undefined ? undefined : Math.min(done / total, 1);
    const amount =
      fraction === undefined
        ? formatBytes(done)
        : `${Math.floor(100 * fraction)} % of ${formatBytes(total ?? 0)}`;
    if (this.stream.isTTY) {
      this.stream.write(`\r\u001b[2K  ${this.#title} … ${amount}`);
      return;
    }
    // Without a known total a tenth is 20 MB.
    const tenth = Math.floor(fraction === undefined ? done / 2e7 : 10 * fraction);
    if (tenth <= this.#lastTenth) return;
    this.#lastTenth = tenth;
    this.stream.write(`  ${this.#title} … ${amount}\n`);
  }

  /**
   * Shows how far a work of several parts is: on a terminal always, in a log once per tenth.
   *
   * @param {number} part from 1, the one that is being worked on
   * @param {number} count
   * @param {string} text
   */
  part(part, count, text) {
    if (this.stream.isTTY) {
      this.stream.write(`\r\u001b[2K  ${this.#title} … ${text}`);
      return;
    }
    const tenth = Math.floor((10 * (part - 1)) / count);
    if (tenth <= this.#lastTenth) return;
    this.#lastTenth = tenth;
    this.stream.write(`  ${this.#title} … ${text}\n`);
  }

  /** Shows the time that the present work takes, on a terminal only: a log needs no clock. */
  tick() {
    if (!this.stream.isTTY) return;
    this.stream.write(`\r\u001b[2K  ${this.#title} … ${formatSeconds(this.#seconds())}`);
  }

  #seconds() {
    return (performance.now() - this.#started) / 1000;
  }

  finish() {
    const seconds = this.#seconds();
    const start = this.stream.isTTY ? '\r\u001b[2K' : '';
    this.stream.write(`${start}✓ ${this.#title} (${formatSeconds(seconds)})\n`);
  }

  fail() {
    const start = this.stream.isTTY ? '\r\u001b[2K' : '';
    this.stream.write(`${start}✗ ${this.#title}\n`);
  }

  /** @param {string} text */
  note(text) {
    this.stream.write(`${text}\n`);
  }
}

/**
 * Shows how a folder grows while a downloader that has no progress of its own fills it.
 *
 * @template T
 * @param {Progress} progress
 * @param {string} folder
 * @param {number | undefined} total bytes
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function watchGrowth(progress, folder, total, work) {
  const before = folderSize(folder);
  const timer = setInterval(() => progress.update(folderSize(folder) - before, total), 500);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** @param {number} seconds */
export function formatSeconds(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
