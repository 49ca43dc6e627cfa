import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readJson } from './files.mjs';

/**
 * Seconds that each code cell took, by the notebook's file name and the cell's id.
 *
 * @typedef {Record<string, Record<string, number>>} CellTimes
 */

/** @param {boolean} short whether the runs are short ones */
const fileName = (short) => (short ? 'cell-times-short.json' : 'cell-times.json');

/**
 * The times of earlier runs.
 *
 * @param {readonly string[]} folders results folders; for a notebook that several know, the last
 *   counts
 * @param {boolean} short the times of short runs
 * @returns {CellTimes}
 */
export function readCellTimes(folders, short) {
  const files = folders.map((folder) => path.join(folder, fileName(short)));
  return Object.assign({}, ...files.map((file) => readJson(file) ?? {}));
}

/**
 * Keeps the times of a notebook's run among those of the others.
 *
 * @param {string} folder a results folder
 * @param {string} notebook its file name
 * @param {Record<string, number>} seconds by cell
 * @param {boolean} short whether the run was a short one
 */
export function saveCellTimes(folder, notebook, seconds, short) {
  const rounded = Object.entries(seconds).map(([cell, time]) => [cell, Number(time.toFixed(1))]);
  const times = { ...readCellTimes([folder], short), [notebook]: Object.fromEntries(rounded) };
  const sorted = Object.entries(times).sort(([a], [b]) => (a < b ? -1 : 1));
  mkdirSync(folder, { recursive: true });
  const text = JSON.stringify(Object.fromEntries(sorted), null, 1);
  writeFileSync(path.join(folder, fileName(short)), `${text}\n`);
}

/** Seconds of known cells after which a run is compared with the earlier one. */
const enoughSeconds = 10;

/** Estimates how long a run of notebooks still takes, from how long its cells took before. */
export class TimeLeft {
  /** @type {{ key: string, expected: number | undefined }[]} */
  #left;
  /** Of the cells that are done and were known. */
  #expected = 0;
  #taken = 0;

  /**
   * @param {CellTimes} times
   * @param {readonly { notebook: string, cell: string }[]} cells all that the run executes
   */
  constructor(times, cells) {
    this.#left = cells.map(({ notebook, cell }) => ({
      key: `${notebook} ${cell}`,
      expected: times[notebook]?.[cell],
    }));
  }

  /**
   * @param {string} notebook
   * @param {string} cell
   * @param {number} seconds that it took
   */
  done(notebook, cell, seconds) {
    const at = this.#left.findIndex(({ key }) => key === `${notebook} ${cell}`);
    const [found] = at === -1 ? [] : this.#left.splice(at, 1);
    if (found?.expected === undefined) return;
    this.#expected += found.expected;
    this.#taken += seconds;
  }

  /**
   * @param {number} [running] seconds that the present cell, the first of those left, has run for
   * @returns {string} 'about', or 'at least' where cells are left that no run has timed
   */
  text(running = 0) {
    const known = this.#left.flatMap(({ expected }) => expected ?? []);
    if (this.#left.length > 0 && known.length === 0) return 'time left unknown';
    // This machine against the one of the earlier run.
    const factor = this.#expected >= enoughSeconds ? this.#taken / this.#expected : 1;
    const present = factor * (this.#left[0]?.expected ?? 0);
    const all = factor * known.reduce((sum, seconds) => sum + seconds, 0);
    const left = all - Math.min(running, present);
    const bound = known.length < this.#left.length ? 'at least' : 'about';
    return `${bound} ${left < 60 ? `${Math.ceil(left)} s` : `${Math.round(left / 60)} min`} left`;
  }
}
