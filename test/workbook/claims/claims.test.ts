import { describe, expect, test } from 'vitest';
import { claims } from '../../../workbook/claims/claims.js';
import { recordedEvidence } from '../../../workbook/claims/evidence.js';
import {
  type Claim,
  clearlyBelow,
  type Evidence,
  judge,
  type Outcome,
  type Sentence,
} from '../../../workbook/claims/paper-claim.js';
import { publishedFigure } from '../../../workbook/papers/index.js';
import { oursText } from '../../../workbook/report/markdown.js';

describe('claims', () => {
  const nothing: Evidence = {
    figure() {
      throw new Error('unused');
    },
    trainings: () => [],
    blocks: [],
    paperSizes: [],
    authorsLoop: [],
    accelerations: [],
    editing: undefined,
    peers: [],
  };

  test('are those of the list, each once', () => {
    const ids = [
      ...['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'C1', 'C2', 'Table 2', 'Table 3'],
      ...['T1', 'T2', 'T3'],
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
      const extremes = [-1e6, 0, 3, 20, 100, 1e6, -1e9];
      type Changed = ReadonlyMap<string, number>;
      /** The first of changed figures with which it holds, and of which something else is so. */
      const search = (
        isSo: (found: Changed) => boolean,
        changed: Changed = new Map(),
        depth = 2,
      ): Changed | undefined => {
        if (outcomeWith(changed) === true && isSo(changed)) return changed;
        if (depth === 0) return undefined;
        for (const name of [...read.keys()].filter((one) => !changed.has(one))) {
          for (const value of extremes) {
            const found = search(isSo, new Map([...changed, [name, value]]), depth - 1);
            if (found) return found;
          }
        }
        return undefined;
      };
      const holding = search(() => true);
      expect(holding, 'figures with which it holds').toBeDefined();
      for (const name of read.keys()) {
        const ends = (found: Changed) =>
          extremes.some((value) => outcomeWith(new Map([...found, [name, value]])) !== true);
        // Where one of two is enough, it ends it without the other.
        expect(ends(holding!) || search(ends), `${name} can end it`).toBeTruthy();
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
    const rule = { rule: 'A rule.', toSettle: 'an hour' };
    expect(judge({ ...(claims[0] as Claim), parts: [rule] }, nothing).verdict).toBe(
      'not measured yet',
    );
  });

  test('a claim without its record is not measured', () => {
    const claim = claims.find(({ id }) => id === 'A1') as Claim;
    const lacking = { ...nothing, unrecorded: new Set(['foundations'] as const) };
    expect(judge(claim, lacking)).toMatchObject({ verdict: 'not measured yet' });
    expect(() => judge(claim, nothing)).toThrow();
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

  test('T1 needs every training to be worse by more than twice', async () => {
    const claim = claims.find(({ id }) => id === 'T1') as Claim;
    const { figure } = await recordedEvidence();
    const outcome = (...uniform: number[]) =>
      judge(claim, {
        ...nothing,
        figure,
        trainings: (_, row) => (row.startsWith('uniform') ? uniform : uniform.map(() => 100)),
      }).parts.map(({ outcome }) => outcome);
    expect(outcome(240, 210)).toEqual([true, true]);
    expect(outcome(240, 190)).toEqual([true, undefined]);
    expect(outcome(240, 90)).toEqual([true, false]);
    expect(outcome()).toEqual([true, undefined]);
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

  test('L1 compares latents with pixels by pairs of trainings, by both networks', async () => {
    const claim = claims.find(({ id }) => id === 'L1') as Claim;
    const { figure } = await recordedEvidence();
    const beaten = (byOne: number, byJudge: number, count = 3) =>
      judge(claim, {
        ...nothing,
        figure,
        trainings: (table, row) =>
          [100, 101, 103]
            .slice(0, count)
            .map((fd, i) =>
              row.startsWith('pixels') ? fd : fd + (table.endsWith('judge') ? byJudge : byOne) + i,
            ),
      }).parts[0]?.outcome;
    expect([beaten(-9, -9), beaten(-9, -1), beaten(9, -9)]).toEqual([true, undefined, false]);
    expect(beaten(-9, -9, 2)).toBeUndefined();
  });

  test('X5 is judged by pairs of trainings on both sets', () => {
    const claim = claims.find(({ id }) => id === 'X5') as Claim;
    const outcomes = (tarflow: number, couplings: number, photographs: number, maf: number) =>
      judge(claim, {
        ...nothing,
        trainings(table, row) {
          const photo = table.endsWith('cifar10') ? photographs : 0;
          const means: Record<string, number> = { TarFlow: tarflow + photo, MAF: maf };
          return [-0.001, 0, 0.002].map((by, i) => (means[row] ?? couplings) + by * (i + 1));
        },
      }).parts.map(({ outcome }) => outcome);
    expect(outcomes(3.0, 3.1, 0, 3.2)).toEqual([true, true]);
    expect(outcomes(3.0, 3.1, 0, 3.05)).toEqual([false, true]);
    expect(outcomes(3.0, 3.1, 0.3, 3.2)).toEqual([true, false]);
    expect(judge(claim, nothing).parts.map(({ outcome }) => outcome)).toEqual([
      undefined,
      undefined,
    ]);
  });

  test('A2 needs every training to be worse by more than twice', async () => {
    const claim = claims.find(({ id }) => id === 'A2') as Claim;
    const { figure } = await recordedEvidence();
    const verdict = (alternating: number[], others: number[]) =>
      judge(claim, {
        ...nothing,
        figure,
        trainings: (_, row) => (row.startsWith('scale and shift') ? alternating : others),
      }).verdict;
    expect(verdict([100, 110], [300, 300])).toBe('holds');
    expect(verdict([100, 160], [300, 300])).toBe('does not hold here');
    expect(verdict([], [])).toBe('does not hold here');
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
