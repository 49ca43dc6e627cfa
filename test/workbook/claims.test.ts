import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { currentEngine, startEngine } from '../../src/backend/engine.js';
import { UserError } from '../../src/backend/errors.js';
import {
  type ClaimInput,
  readClaim,
  recordClaim,
  resultsTable,
} from '../../src/workbook/claims.js';

let folder: string;
vi.mock(import('../../src/workbook/results-folder.js'), async (original) => ({
  ...(await original()),
  resultsFolder: () => folder,
}));

beforeAll(async () => {
  await startEngine();
});
beforeEach(() => {
  vi.stubEnv('TARFLOW_QUICK', '');
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  fs.rmSync(folder, { recursive: true });
});

const claim: ClaimInput = {
  id: 'fashion-bpd',
  title: 'Likelihood on Fashion-MNIST',
  claim: 'TarFlow reaches a low number of bits per dimension.',
  figures: [
    {
      name: 'test split',
      value: 3.21,
      unit: 'bits/dim',
      published: { value: 2.99, source: 'TarFlow, Table 2 (ImageNet 64×64)' },
    },
    { name: 'seconds an image', value: 0.5, unit: 's' },
  ],
  configuration: { patchSize: 4, blocks: 4, nested: { z: 1, a: [2, { y: 1, b: 2 }] } },
  seed: 7,
  cost: { seconds: 84, cores: 2 },
  command: 'npm run workbook -- --only 02',
};
const file = () => path.join(folder, 'claims', 'fashion-bpd.json');
const withValues = (...values: (number | undefined)[]): ClaimInput => ({
  ...claim,
  figures: claim.figures.map((figure, i) => ({ ...figure, value: values[i] })),
});

describe('a recorded claim', () => {
  test('is a file of sorted keys that says what it ran on and when, and reads back', async () => {
    const recorded = await recordClaim(claim);
    expect(recorded).toMatchObject(claim);
    const engine = currentEngine();
    expect(recorded.versions).toEqual({
      tarflow: expect.stringMatching(/^\d+\.\d+\.\d+/),
      engine: `${engine.engine} (${engine.version})`,
      node: process.version,
    });
    expect(new Date(recorded.date).toISOString()).toBe(recorded.date);
    const text = fs.readFileSync(file(), 'utf8');
    expect(text.endsWith('}\n')).toBe(true);
    expect(JSON.parse(text)).toEqual(recorded);
    const sorted = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      if (!Array.isArray(value)) expect(Object.keys(value)).toEqual(Object.keys(value).sort());
      Object.values(value).forEach(sorted);
    };
    sorted(JSON.parse(text));
    expect(await readClaim('fashion-bpd')).toEqual(recorded);
    expect(fs.readdirSync(path.join(folder, 'claims'))).toEqual(['fashion-bpd.json']);
  });

  test('keeps the old value of a figure that a run did not measure', async () => {
    await recordClaim(claim);
    const second = await recordClaim({ ...withValues(undefined, 0.4), seed: 8 });
    expect(second.figures.map(({ value }) => value)).toEqual([3.21, 0.4]);
    expect(second.seed).toBe(8);
    expect(await readClaim('fashion-bpd')).toEqual(second);
  });

  test('keeps what tells of the old run when nothing was measured, but not old wording', async () => {
    const first = await recordClaim(claim);
    const second = await recordClaim({
      ...withValues(undefined, undefined),
      title: 'A better title',
      seed: 99,
      cost: { seconds: 1 },
      configuration: {},
      command: 'other',
    });
    expect(second).toEqual({ ...first, title: 'A better title' });
  });

  test('has no value, and makes none up, when none was ever measured', async () => {
    const { figures } = await recordClaim(withValues(undefined, 0.5));
    expect(figures[0]?.value).toBeUndefined();
    expect((await readClaim('fashion-bpd'))?.figures[0]).not.toHaveProperty('value');
    expect((await resultsTable())[0]).toMatchObject({ ours: null, published: 2.99 });
  });

  test('is not written in quick mode, new or old', async () => {
    vi.stubEnv('TARFLOW_QUICK', '1');
    expect(await recordClaim(claim)).toMatchObject({ id: 'fashion-bpd', seed: 7 });
    expect(fs.readdirSync(folder)).toEqual([]);
    vi.stubEnv('TARFLOW_QUICK', '');
    await recordClaim(claim);
    const before = fs.readFileSync(file(), 'utf8');
    vi.stubEnv('TARFLOW_QUICK', '1');
    expect((await recordClaim(withValues(1, 1))).figures[0]?.value).toBe(1);
    expect(fs.readFileSync(file(), 'utf8')).toBe(before);
  });
});

describe('mistakes', () => {
  test.each(['', 'Upper', '../escape', 'a b', '-a'])("the id '%s' is refused", async (id) => {
    await expect(recordClaim({ ...claim, id })).rejects.toThrow(UserError);
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  test('a value that is not finite is named, and the file stays', async () => {
    await recordClaim(claim);
    const before = fs.readFileSync(file(), 'utf8');
    await expect(recordClaim(withValues(Number.NaN, 1))).rejects.toThrow(
      /fashion-bpd: the figure 'test split' is NaN/,
    );
    expect(fs.readFileSync(file(), 'utf8')).toBe(before);
  });

  test('two figures of one name are refused', async () => {
    const figure = { name: 'same', unit: '' };
    await expect(recordClaim({ ...claim, figures: [figure, figure] })).rejects.toThrow(/twice/);
  });

  test.each(['{', '{"id": "fashion-bpd"}'])('a file that holds %s is named', async (text) => {
    fs.mkdirSync(path.dirname(file()));
    fs.writeFileSync(file(), text);
    await expect(readClaim('fashion-bpd')).rejects.toThrow(UserError);
    await expect(recordClaim(claim)).rejects.toThrow(/fashion-bpd\.json is not a recorded claim/);
    expect(fs.readFileSync(file(), 'utf8')).toBe(text);
  });
});

describe('the table of results', () => {
  test('has a row for each figure, ours and published apart', async () => {
    expect(await resultsTable()).toEqual([]);
    await recordClaim(claim);
    await recordClaim({
      ...claim,
      id: 'another',
      title: 'Another',
      figures: [{ name: 'n', value: 1, unit: '' }],
    });
    const rows = await resultsTable();
    expect(rows.map((row) => Object.values(row))).toEqual([
      ['Another', 'n', 1, null, '', claim.command],
      [
        'Likelihood on Fashion-MNIST',
        'test split (bits/dim)',
        3.21,
        2.99,
        'TarFlow, Table 2 (ImageNet 64×64)',
        claim.command,
      ],
      ['Likelihood on Fashion-MNIST', 'seconds an image (s)', 0.5, null, '', claim.command],
    ]);
    expect(Object.keys(rows[0] ?? {})).toEqual([
      'claim',
      'figure',
      'ours',
      'published',
      'source',
      'command',
    ]);
    expect(await resultsTable(['fashion-bpd'])).toEqual(rows.slice(1));
    await expect(resultsTable(['missing'])).rejects.toThrow(/'missing'/);
  });
});
