import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { experiments, runNotes } from '../../../workbook/experiments/index.js';
import {
  commandOf,
  measurements,
  measures,
  papers,
  publishedFigure,
  publishedOf,
  tableOf,
  tolerancesOf,
  trainingSetOf,
  trainingSets,
} from '../../../workbook/papers/index.js';
import { resultsFolder } from '../../../workbook/records/results-folder.js';

const tables = papers.flatMap((paper) => paper.tables);
const experimentNames = experiments.map(({ name }) => name);
const repeated = (names: readonly string[]) => names.filter((name, i) => names.indexOf(name) !== i);

describe('tables of the papers', () => {
  test('have names of their own, and so have their rows and figures', () => {
    expect(repeated(tables.map(({ id }) => id))).toEqual([]);
    for (const { id, rows } of tables) {
      expect(repeated(rows.map(({ name }) => name)), id).toEqual([]);
      for (const { name, published, measures: ours = [] } of rows) {
        const figures = published.map(({ measure, of }) => `${measure} ${of}`);
        expect(repeated(figures), `${id}, ${name}`).toEqual([]);
        expect(published.length + ours.length, `${id}, ${name}`).toBeGreaterThan(0);
      }
    }
  });

  test('say of every figure what it measures and where it stands', () => {
    for (const { measure, value, source } of tables.flatMap(({ rows }) =>
      rows.flatMap(({ published }) => published),
    )) {
      expect(measures).toHaveProperty([measure]);
      expect(Number.isFinite(value)).toBe(true);
      expect(source.work).toMatch(/^arXiv \d{4}\.\d{5}$|^\w+ et al\. \d{4}$/);
      expect(source.place).not.toBe('');
    }
  });

  test('name twins at workbook scale that there are', () => {
    for (const row of tables.flatMap(({ rows }) => rows)) {
      if (row.workbook !== undefined) expect(experimentNames).toContain(row.workbook);
      // What a paper trained, in patches that fill its images.
      if (row.paper) expect(row.paper.side % row.paper.patchSize).toBe(0);
    }
  });

  test('say how many images every model that a paper trained had, and where that stands', () => {
    const scales = tables.flatMap(({ rows }) => rows).flatMap(({ paper }) => paper ?? []);
    expect(scales.length).toBeGreaterThan(10);
    const used = scales.map((paper) => {
      const set = trainingSetOf(paper);
      expect(set.images, paper.data).toBeGreaterThan(10_000);
      expect(set.source.work).toMatch(/^arXiv \d{4}\.\d{4,5}$|^Krizhevsky 2009$/);
      // Latents are of the images of a set.
      expect(paper.dataset === 'latents').toBe(paper.encoded !== undefined);
      return set;
    });
    expect(new Set(used)).toEqual(new Set(Object.values(trainingSets)));
  });

  test('speed-ups are those of their times', () => {
    for (const { name, published } of [
      ...tableOf('gs-jacobi').rows,
      ...tableOf('selective-jacobi').rows,
    ]) {
      const times = published.filter(({ measure }) => /^time/.test(measure));
      for (const { of, value } of published.filter(({ measure }) => measure === 'speed-up')) {
        const [sequential, accelerated] = ['sequential', of].map(
          (method) => times.find((figure) => figure.of === method)?.value ?? Number.NaN,
        ) as [number, number];
        // Printed with one or two decimals; and 2.51 stands beside times whose ratio is 2.45.
        const ratio = sequential / accelerated;
        expect(Math.abs(ratio / value - 1), `${name}, ${of}`).toBeLessThan(0.07);
      }
    }
  });

  test('shares of CRM add up to a hundred', () => {
    for (const { name, published } of tableOf('crm').rows) {
      const sum = published.reduce((total, { value }) => total + value, 0);
      expect(Math.abs(sum - 100), name).toBeLessThan(0.1);
    }
  });

  test('a figure that is not there is an error', () => {
    expect(() => tableOf('none')).toThrow(/none/);
    expect(() => publishedFigure('likelihood', 'GPT', 'bits per dimension')).toThrow(/0 figures/);
    expect(() => publishedFigure('likelihood', 'Glow', 'FID')).toThrow(/0 figures/);
  });
});

describe('measurements', () => {
  const committed = fs.readdirSync(path.join(resultsFolder(), 'claims')).sort();

  test('are those whose files lie in results/claims', () => {
    expect(committed).toEqual(measurements.map(({ id }) => `${id}.json`).sort());
  });

  test.each(measurements)('$id has a file with figures of those names alone', async (one) => {
    expect(one.id).toMatch(/^(\d\d-)?[a-z]+(-[a-z]+)*$/);
    expect(repeated(one.figures.map(({ name }) => name))).toEqual([]);
    const file = path.join(resultsFolder(), 'claims', `${one.id}.json`);
    const { title, command, figures, read } = JSON.parse(fs.readFileSync(file, 'utf8'));
    expect({ title, command }).toEqual({ title: one.title, command: commandOf(one) });
    for (const figure of one.figures) publishedOf(figure);
    const names = one.figures.map(({ name }) => name);
    const recorded = Object.keys(figures);
    expect(recorded).toEqual(names.filter((name) => recorded.includes(name)));
    expect(recorded).toEqual(expect.arrayContaining(read));
  });
});

test('a time is never judged', () => {
  for (const { id, figures } of measurements) {
    for (const { name, unit, agreement } of figures) {
      const isTime =
        /^(s|ms|images\/s|×)$/.test(unit) || /times as fast|time of|time \//.test(name);
      if (isTime) expect(agreement, `${id}, ${name}`).toBe('timing');
    }
  }
});

test('notes on committed runs are of experiments that there are', () => {
  expect(experimentNames).toEqual(expect.arrayContaining(Object.keys(runNotes)));
});

test('tolerances are known by engine and precision', () => {
  expect(tolerancesOf('tensorflow', 'float32')).toMatchObject({ exact: 0 });
  expect(tolerancesOf('tensorflow', 'tf32')).toBeUndefined();
  expect(tolerancesOf('wasm', 'float32')).toBeUndefined();
});
