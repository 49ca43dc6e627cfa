import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { experiments, runNotes } from '../../../workbook/experiments/index.js';
import {
  type Claim,
  claims,
  clearlyBelow,
  commandOf,
  type Evidence,
  judge,
  measurements,
  measures,
  type Outcome,
  papers,
  publishedFigure,
  publishedOf,
  type Sentence,
  tableOf,
  tolerancesOf,
  trainingSetOf,
  trainingSets,
} from '../../../workbook/papers/index.js';
import { resultsFolder } from '../../../workbook/records/results-folder.js';
import { oursText } from '../../../workbook/report/markdown.js';
import { recordedEvidence } from '../../../workbook/report/results.js';

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

describe('claims', () => {
  const nothing: Evidence = {
    figure() {
      throw new Error('unused');
    },
    trainings: () => [],
    blocks: [],
  };

  test('are those of the list, each once', () => {
    const ids = [
      ...['A2', 'A3', 'A5', 'C1', 'C2', 'Table 2', 'Table 3', 'T1', 'T2', 'T3'],
      ...['P1', 'P2', 'P3', 'P4', 'X1', 'X2', 'X3', 'X4', 'X5'],
      ...['S1', 'S2', 'S3', 'S4', 'S5', 'S6', 'L1', 'L2', 'L3'],
    ];
    expect(claims.map(({ id }) => id)).toEqual(ids);
  });

  const references = <R extends object>(parts: Sentence<R> = []) =>
    parts.filter((part): part is R => typeof part === 'object');
  const words = (text: string) => text.split(/\s+/).filter((word) => /[\p{L}\d]/u.test(word));

  test.each(claims)('$id: sentences are short, and their figures are references', async (claim) => {
    const { published, ours, parts } = claim;
    for (const text of [...(published ?? []), ...(ours ?? [])]) {
      if (typeof text === 'string') expect(text).not.toMatch(/\d\.\d|\d ?%/);
    }
    for (const { table, row, measure, of } of references(published)) {
      publishedFigure(table, row, measure, of);
    }
    expect(
      words((await oursText(ours ?? [])).replaceAll(/ (±|%)/g, '$1').replaceAll('± ', '±')).length,
    ).toBeLessThanOrEqual(25);
    for (const { part, rule } of parts) {
      expect(rule).toMatch(/^[A-Z].*\.$/);
      expect(words(rule).length).toBeLessThanOrEqual(30);
      // A part is named where there are several.
      expect(part === undefined).toBe(parts.length === 1);
      expect(words(part ?? '').length).toBeLessThanOrEqual(4);
    }
  });

  test.each(claims)('$id: its figures decide it, every one of them', async (claim) => {
    const evidence = await recordedEvidence();
    const stands = references(claim.ours).map(({ measurement }) => measurement);
    const used = new Set(stands.filter((one) => typeof one === 'string'));
    for (const { holds } of claim.parts) {
      if (!holds) continue;
      const key = (id: string, name: string) => `${id}: ${name}`;
      const read = new Map<string, number>();
      const outcomeWith = (changed: ReadonlyMap<string, number>) =>
        holds({
          ...evidence,
          figure(id, name) {
            const { value, error } = evidence.figure(id, name);
            read.set(key(id, name), value);
            used.add(id);
            return { value: changed.get(key(id, name)) ?? value, error: error && 0 };
          },
        });
      outcomeWith(new Map());
      // Those that stand on trainings and on blocks have tests of their own.
      if (read.size === 0) continue;
      // In a conjunction a figure behind one that fails is not read before that one is changed.
      const extremes = [-1e6, 0, 3, 20, 100, 1e6];
      let holding: ReadonlyMap<string, number> | undefined;
      const search = (changed: ReadonlyMap<string, number>, depth: number) => {
        if (holding) return;
        if (outcomeWith(changed) === true) holding = changed;
        if (depth === 0) return;
        for (const name of [...read.keys()].filter((one) => !changed.has(one))) {
          for (const value of extremes) search(new Map([...changed, [name, value]]), depth - 1);
        }
      };
      search(new Map(), 2);
      expect(holding, 'figures with which it holds').toBeDefined();
      for (const name of read.keys()) {
        const ends = [...extremes, Number.NaN].some(
          (value) => outcomeWith(new Map([...(holding ?? []), [name, value]])) !== true,
        );
        expect(ends, `${name} can end it`).toBe(true);
      }
    }
    expect(claim.measurements).toEqual(expect.arrayContaining([...used]));
  });

  test('a verdict holds in part where one part does, and is open where figures leave it open', () => {
    const part = (outcome: Outcome) => ({ rule: 'A rule.', holds: () => outcome });
    const verdict = (...outcomes: Outcome[]) =>
      judge({ ...(claims[0] as Claim), parts: outcomes.map(part) }, nothing).verdict;
    expect([verdict(), verdict(true), verdict(true, true)]).toEqual([
      'not measured yet',
      'holds',
      'holds',
    ]);
    expect([verdict(true, false), verdict(undefined, 'in part')]).toEqual(
      Array(2).fill('holds in part'),
    );
    expect([verdict(false), verdict(undefined, false)]).toEqual(
      Array(2).fill('does not hold here'),
    );
    expect(verdict(undefined)).toBe('not at this size');
  });

  test('C1 is judged by fresh trainings alone', () => {
    const claim = claims.find(({ id }) => id === 'C1') as Claim;
    const verdict = (means: Record<string, number>) =>
      judge(claim, {
        ...nothing,
        trainings: (table, row) =>
          table === 'sizes-fresh' ? [-1, 0, 1].map((d) => (means[row] ?? Number.NaN) + d) : [],
      }).verdict;
    const names = ['4 blocks of 1 layer', '4 blocks of 2 layers', '4 blocks of 4 layers'];
    const of = (...means: number[]) =>
      Object.fromEntries([...names, '8 blocks of 1 layer'].map((name, i) => [name, means[i] ?? 0]));
    expect(verdict(of(60, 40, 20, 40))).toBe('holds');
    expect(verdict(of(60, 40, 39, 40))).toBe('holds in part');
    expect(verdict(of(60, 60, 60, 60))).toBe('not at this size');
    expect(verdict(of(60, 40, 60, 40))).toBe('does not hold here');
    expect(judge(claim, nothing).verdict).toBe('not at this size');
  });

  test('L2 is judged by pairs of six trainings', () => {
    const claim = claims.find(({ id }) => id === 'L2') as Claim;
    const verdict = (deep: number, spread: number, count = 6) =>
      judge(claim, {
        ...nothing,
        trainings: (_, row) =>
          Array.from({ length: count }, (_, i) =>
            row.startsWith('an even') ? 90 : deep + spread * i,
          ),
      }).verdict;
    expect(verdict(70, 2)).toBe('holds');
    expect(verdict(85, 4)).toBe('not at this size');
    expect(verdict(100, 2)).toBe('does not hold here');
    expect(verdict(70, 2, 3)).toBe('not at this size');
  });

  test('a figure is below another by twice the error of their difference', () => {
    const of = (value: number, error: number) => ({ value, error });
    expect(clearlyBelow(of(1, 0.3), of(2, 0.3))).toBe(true);
    expect(clearlyBelow(of(1, 0.3), of(2, 0.3), 4.3)).toBeUndefined();
    expect(clearlyBelow(of(1, 0.3), of(1.5, 0.4))).toBeUndefined();
    expect(clearlyBelow(of(2, 0.3), 1)).toBe(false);
    expect(() => clearlyBelow({ value: 1, error: undefined }, 2)).toThrow(/no standard error/);
  });
});

test('notes on committed runs are of experiments that there are', () => {
  expect(experimentNames).toEqual(expect.arrayContaining(Object.keys(runNotes)));
});

test('tolerances are known by engine and precision', () => {
  expect(tolerancesOf('tensorflow', 'float32')).toMatchObject({ exact: 0 });
  expect(tolerancesOf('tensorflow', 'tf32')).toBeUndefined();
  expect(tolerancesOf('wasm', 'float32')).toBeUndefined();
});
