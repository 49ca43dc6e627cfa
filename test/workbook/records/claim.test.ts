import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { currentEngine } from '../../../src/core/engine.js';
import { UserError } from '../../../src/core/errors.js';
import { writeSafetensors } from '../../../src/formats/safetensors.js';
import { processorName } from '../../../src/sampling/planner/machine.js';
import {
  type Figures,
  readClaim,
  recordClaim,
  resultsTable,
} from '../../../workbook/records/claim.js';
import { committedCheckpoint } from '../../../workbook/records/training-run.js';
import { temporaryFolder } from '../../temporary-folder.js';

let folder: string;
vi.mock(import('../../../workbook/records/results-folder.js'), async (original) => {
  const actual = await original();
  const resultsFolder = () => path.join(folder, 'results');
  const resultToRead = (name: string) => path.join(resultsFolder(), name);
  return { ...actual, resultsFolder, resultToRead };
});

beforeEach(() => {
  vi.stubEnv('TARFLOW_QUICK', '');
  folder = temporaryFolder();
  vi.stubEnv('TARFLOW_RESULTS', path.join(folder, 'results'));
});
afterEach(() => {
  vi.unstubAllEnvs();
});

// A measurement of workbook/papers: what is recorded has to be declared there.
const id = 'bits-per-dimension';
const bits = 'bits per dimension, test split';
const figures = { [bits]: 3.21, images: 500 };
const details = {
  configuration: { patchSize: 4, blocks: 4, nested: { z: 1, a: [2, { y: 1, b: 2 }] } },
  seed: 7,
  cost: { seconds: 84, cores: 2 },
};
const file = (where = path.join(folder, 'results')) => path.join(where, 'claims', `${id}.json`);

describe('a recorded claim', () => {
  test('is a file that says what it ran on and when, and reads back', async () => {
    const recorded = await recordClaim(id, figures, details);
    expect(recorded).toMatchObject({ id, ...details, title: 'Likelihood of Fashion-MNIST' });
    expect(recorded.figures).toEqual(figures);
    const engine = currentEngine();
    expect(recorded.versions).toEqual({
      tarflow: expect.stringMatching(/^\d+\.\d+\.\d+/),
      engine: `${engine.engine} (${engine.version})`,
      node: process.version,
      precision: 'float32',
      processor: processorName(),
    });
    expect(recorded.elsewhere).toEqual([]);
    expect(new Date(recorded.date).toISOString()).toBe(recorded.date);
    const text = fs.readFileSync(file(), 'utf8');
    expect(text.endsWith('}\n')).toBe(true);
    const content = JSON.parse(text);
    expect(content.figures).toEqual(figures);
    expect(content.read).toEqual([]);
    const sorted = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      if (!Array.isArray(value)) expect(Object.keys(value)).toEqual(Object.keys(value).sort());
      Object.values(value).forEach(sorted);
    };
    sorted(content.configuration);
    sorted(content.cost);
    expect(await readClaim(id)).toEqual(recorded);
    expect(fs.readdirSync(path.join(folder, 'results', 'claims'))).toEqual([`${id}.json`]);
  });

  test('has its figures in the order of workbook/papers, whatever the order of the call', async () => {
    await recordClaim(id, { images: 500, 'standard error': 0.1, [bits]: 3 }, details);
    const { figures: written } = JSON.parse(fs.readFileSync(file(), 'utf8'));
    expect(Object.keys(written)).toEqual([bits, 'standard error', 'images']);
  });

  test('keeps the old value of a figure that a run did not compute, and says so', async () => {
    await recordClaim(id, figures, details);
    const second = await recordClaim(
      id,
      { [bits]: undefined, images: 600 },
      { ...details, seed: 8 },
    );
    expect(second.figures).toMatchObject({ [bits]: 3.21, images: 600 });
    expect(second.read).toEqual([bits]);
    expect(second.seed).toBe(8);
    expect(await readClaim(id)).toEqual(second);
  });

  test('a figure that was read is recorded, and never counts as computed', async () => {
    const read = { [bits]: 2.9, images: 100 };
    const first = await recordClaim(id, {}, { ...details, read });
    expect(first.figures).toMatchObject(read);
    expect(first.read).toEqual([bits, 'images']);
    const second = await recordClaim(id, { images: 200 }, { ...details, read });
    expect(second.figures).toMatchObject({ [bits]: 2.9, images: 200 });
    expect(second.read).toEqual([bits]);
  });

  test('keeps what tells of the old run when nothing was measured', async () => {
    const first = await recordClaim(id, figures, details);
    const other = { configuration: {}, seed: 99, cost: { seconds: 1 } };
    expect(await recordClaim(id, { [bits]: undefined }, other)).toEqual({
      ...first,
      read: [bits, 'images'],
    });
  });

  test('keeps, in a short run, figures of more samples and what tells of their run', async () => {
    const full = { [bits]: 3.21, 'standard error': 0.1, images: 500 };
    const n = { [bits]: '500 images', 'standard error': '1 training' };
    const first = await recordClaim(id, full, { ...details, n });
    const content = JSON.parse(fs.readFileSync(file(), 'utf8'));
    content.versions.engine = 'another (1.0)';
    fs.writeFileSync(file(), JSON.stringify(content));
    vi.stubEnv('TARFLOW_SHORT', '1');
    const other = { ...details, seed: 8 };
    const few = { [bits]: 3.4, 'standard error': 0.11, images: 50 };
    const short = await recordClaim(id, few, { ...other, n: { ...n, [bits]: '50 images' } });
    // A number of samples is not compared itself: it is left out with the figure that it belongs to.
    expect(short.figures).toEqual({ ...full, 'standard error': 0.11 });
    expect(short).toMatchObject({ read: [bits, 'images'], seed: details.seed, date: first.date });
    // By its engine what was computed is judged.
    expect(short.versions).toEqual(first.versions);
    const same = await recordClaim(id, { ...full, [bits]: 3.22 }, { ...other, n });
    expect(same.figures).toMatchObject({ [bits]: 3.22, images: 500 });
    expect(same).toMatchObject({ read: [], seed: 8 });
  });

  test('has no value, and makes none up, when none was ever measured', async () => {
    const { figures: recorded } = await recordClaim(id, { images: 500 }, details);
    expect(recorded).toEqual({ images: 500 });
    expect((await readClaim(id))?.figures).toEqual({ images: 500 });
    // The published one stands alone; a figure with neither has no row.
    expect((await resultsTable()).map(({ ours, published }) => [ours, published])).toEqual([
      [null, 2.958],
      [500, null],
    ]);
  });

  test('is not written in quick mode, new or old', async () => {
    vi.stubEnv('TARFLOW_QUICK', '1');
    expect(await recordClaim(id, figures, details)).toMatchObject({ id, seed: 7 });
    expect(fs.readdirSync(folder)).toEqual([]);
    vi.stubEnv('TARFLOW_QUICK', '');
    await recordClaim(id, figures, details);
    const before = fs.readFileSync(file(), 'utf8');
    vi.stubEnv('TARFLOW_QUICK', '1');
    expect((await recordClaim(id, { [bits]: 1 }, details)).figures[bits]).toBe(1);
    expect(fs.readFileSync(file(), 'utf8')).toBe(before);
  });

  test('goes to the folder of the run where it has one, and is read from there first', async () => {
    await recordClaim(id, figures, details);
    const before = fs.readFileSync(file(), 'utf8');
    const run = path.join(folder, 'run');
    vi.stubEnv('TARFLOW_RESULTS', run);
    await recordClaim(id, { [bits]: 5 }, details);
    // Not the 5 of this run: what was not computed is what is committed.
    const again = await recordClaim(id, { images: 1 }, details);
    expect(again.figures).toMatchObject({ [bits]: 3.21, images: 1 });
    expect(await readClaim(id)).toEqual(again);
    expect((await resultsTable([id])).map(({ ours }) => ours)).toEqual([3.21, 1]);
    expect(fs.readFileSync(file(), 'utf8')).toBe(before);
    expect(fs.existsSync(file(run))).toBe(true);
  });
});

describe('standard errors and numbers', () => {
  test('stand with their figures, one text for all but counts, and stay with them', async () => {
    const spread = { errors: { [bits]: 0.01 }, n: '500 images' };
    const recorded = await recordClaim(id, figures, { ...details, ...spread });
    expect(recorded).toMatchObject({ errors: { [bits]: 0.01 }, n: { [bits]: '500 images' } });
    expect(recorded.n).not.toHaveProperty('images');
    const content = JSON.parse(fs.readFileSync(file(), 'utf8'));
    expect([content.errors, content.n]).toEqual([{ [bits]: 0.01 }, { [bits]: '500 images' }]);
    expect(await readClaim(id)).toEqual(recorded);
    // When nothing is measured, they tell of the run that measured.
    const again = await recordClaim(id, { [bits]: undefined }, details);
    const kept = { errors: { [bits]: 0.01 }, n: { [bits]: '500 images' } };
    expect(again).toMatchObject(kept);
    // So does that of a figure which keeps its value, where another one is measured.
    const other = await recordClaim(id, { images: 600 }, { ...details, errors: {}, n: {} });
    expect(other).toMatchObject({ figures: { [bits]: 3.21 }, ...kept });
    const stray = { errors: { [bits]: 9 }, n: { [bits]: 'none' } };
    const unmeasured = await recordClaim(
      id,
      { [bits]: undefined, images: 1 },
      { ...details, ...stray },
    );
    expect(unmeasured).toMatchObject(kept);
    const byName = { read: { [bits]: 3 }, n: { [bits]: '7 images' } };
    expect((await recordClaim(id, {}, { ...details, ...byName })).n).toMatchObject({
      [bits]: '7 images',
    });
  });

  test('of an unknown figure, or not finite, are refused', async () => {
    // @ts-expect-error A misspelt figure does not compile.
    const wrong = recordClaim(id, figures, { ...details, errors: { pictures: 1 } });
    await expect(wrong).rejects.toThrow(/has no figure 'pictures'/);
    // @ts-expect-error
    const counted = recordClaim(id, figures, { ...details, n: { pictures: '1' } });
    await expect(counted).rejects.toThrow(/has no figure 'pictures'/);
    const infinite = recordClaim(id, figures, { ...details, errors: { [bits]: Number.NaN } });
    await expect(infinite).rejects.toThrow(/is NaN/);
  });
});

describe('measured again on another kind of processor', () => {
  /** Makes the recorded claim one of another processor. */
  const movedTo = (processor: string) => {
    const content = JSON.parse(fs.readFileSync(file(), 'utf8'));
    content.versions.processor = processor;
    fs.writeFileSync(file(), JSON.stringify(content));
  };

  test('keeps what that one had where it differs by more than its tolerance', async () => {
    await recordClaim(id, { ...figures, 'standard error': 0.5 }, details);
    movedTo('first');
    const near = 0.5 * (1 + 5e-6);
    const second = await recordClaim(
      id,
      { [bits]: 3.22, images: 500, 'standard error': near },
      details,
    );
    expect(second.elsewhere).toEqual([{ processor: 'first', figures: { [bits]: 3.21 } }]);
    expect(await readClaim(id)).toEqual(second);
    movedTo('second');
    const third = await recordClaim(
      id,
      { [bits]: 3.23, images: 501, 'standard error': 0.5 },
      details,
    );
    expect(third.elsewhere).toEqual([
      { processor: 'first', figures: { [bits]: 3.21 } },
      { processor: 'second', figures: { [bits]: 3.22, images: 500 } },
    ]);
    // Back on the first, whose own values need no second place.
    movedTo('third');
    const content = JSON.parse(fs.readFileSync(file(), 'utf8'));
    content.elsewhere[0].processor = processorName();
    fs.writeFileSync(file(), JSON.stringify(content));
    const fourth = await recordClaim(
      id,
      { [bits]: 3.21, images: 500, 'standard error': 0.5 },
      details,
    );
    expect(fourth.elsewhere.map(({ processor }) => processor)).toEqual(['second', 'third']);
  });

  test('of another configuration is refused in results/; what was found may change', async () => {
    await recordClaim(id, figures, { ...details, found: { best: 1 } });
    const before = fs.readFileSync(file(), 'utf8');
    const configuration = { ...details.configuration, blocks: 2, nested: { z: 1 } };
    const changed = recordClaim(id, figures, { ...details, configuration });
    await expect(changed).rejects.toThrow(
      `The configuration of '${id}' is not that of the record (blocks was 4 and is 2; nested.a was [2,{"b":2,"y":1}] and is absent). Undo the change, or delete ${file()}, and the claim is recorded anew.`,
    );
    expect(fs.readFileSync(file(), 'utf8')).toBe(before);
    const again = await recordClaim(id, figures, { ...details, found: { best: 2 } });
    expect((await readClaim(id))?.found).toEqual({ best: 2 });
    expect(again.configuration).toEqual(details.configuration);
  });

  test('keeps nothing of another configuration or seed, of itself, or of what was only read', async () => {
    await recordClaim(id, figures, details);
    expect((await recordClaim(id, { ...figures, [bits]: 4 }, details)).elsewhere).toEqual([]);
    movedTo('first');
    const before = fs.readFileSync(file(), 'utf8');
    const otherSeed = await recordClaim(id, { ...figures, [bits]: 4 }, { ...details, seed: 8 });
    expect(otherSeed.elsewhere).toEqual([]);
    // Another configuration is refused in `results/`, and compared with nothing elsewhere.
    fs.writeFileSync(file(), before);
    vi.stubEnv('TARFLOW_RESULTS', path.join(folder, 'reproduction'));
    const changed = { ...details, configuration: {} };
    expect((await recordClaim(id, { ...figures, [bits]: 4 }, changed)).elsewhere).toEqual([]);
    vi.stubEnv('TARFLOW_RESULTS', path.join(folder, 'results'));
    for (const versions of [{ tarflow: '0.0.1' }, { engine: 'wasm (0)' }, { precision: 'tf32' }]) {
      const content = JSON.parse(before);
      Object.assign(content.versions, versions);
      fs.writeFileSync(file(), JSON.stringify(content));
      expect((await recordClaim(id, { ...figures, [bits]: 4 }, details)).elsewhere).toEqual([]);
    }
    fs.writeFileSync(file(), before);
    const read = await recordClaim(id, { images: 500 }, { ...details, read: { [bits]: 5 } });
    expect(read.elsewhere).toEqual([]);
  });

  test('tells the weights of one name apart', async () => {
    const model = committedCheckpoint('twins/a');
    committedCheckpoint('nowhere');
    fs.mkdirSync(path.dirname(model), { recursive: true });
    const train = (seed: number) =>
      writeSafetensors(model, { w: { dtype: 'F32', shape: [1], data: Float32Array.of(seed) } });
    await train(1);
    const first = await recordClaim(id, figures, details);
    const digest = createHash('sha256').update(fs.readFileSync(model)).digest('hex');
    expect(first.weights).toEqual({ 'twins/a': digest.slice(0, 16) });
    movedTo('first');
    const before = fs.readFileSync(file(), 'utf8');
    const kept = [{ processor: 'first', figures: { [bits]: 3.21 } }];
    const again = await recordClaim(id, { ...figures, [bits]: 4 }, details);
    expect(again.elsewhere).toEqual(kept);
    expect(await readClaim(id)).toEqual(again);
    await train(2);
    fs.writeFileSync(file(), before);
    expect((await recordClaim(id, { ...figures, [bits]: 4 }, details)).elsewhere).toEqual([]);
    // A claim from before weights were written down is compared without them.
    const { weights: _, ...content } = JSON.parse(before);
    fs.writeFileSync(file(), JSON.stringify(content));
    expect((await recordClaim(id, { ...figures, [bits]: 4 }, details)).elsewhere).toEqual(kept);
  });
});

describe('mistakes', () => {
  test('a measurement that workbook/papers does not know is refused', async () => {
    // @ts-expect-error
    await expect(recordClaim('02-unknown', {}, details)).rejects.toThrow(UserError);
    // @ts-expect-error
    await expect(readClaim('../escape')).rejects.toThrow(/There is no measurement '..\/escape'/);
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  // Names that a cell puts together are no literals.
  const named = (name: string): Figures => ({ [name]: 1 });
  test.each([
    ['computed', named('pictures'), {}],
    ['read', {}, named('pictures')],
  ])('a figure that workbook/papers does not know is refused, %s', async (_how, computed, read) => {
    const recording = recordClaim(id, computed, { ...details, read });
    await expect(recording).rejects.toThrow(/has no figure 'pictures'/);
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  test('a value that is not finite is named, and the file stays', async () => {
    await recordClaim(id, figures, details);
    const before = fs.readFileSync(file(), 'utf8');
    await expect(recordClaim(id, { images: Number.NaN }, details)).rejects.toThrow(
      /bits-per-dimension: the figure 'images' is NaN/,
    );
    expect(fs.readFileSync(file(), 'utf8')).toBe(before);
  });

  test.each(['{', '{"id": "fashion-bpd"}'])('a file that holds %s is named', async (text) => {
    fs.mkdirSync(path.dirname(file()), { recursive: true });
    fs.writeFileSync(file(), text);
    await expect(readClaim(id)).rejects.toThrow(UserError);
    await expect(recordClaim(id, figures, details)).rejects.toThrow(
      /Delete it and run the notebook/,
    );
    expect(fs.readFileSync(file(), 'utf8')).toBe(text);
  });
});

describe('the table of results', () => {
  test('has a row for each figure, ours and published apart', async () => {
    expect(await resultsTable()).toEqual([]);
    await recordClaim('emoji-quality', { 'in class, denoised': 1 }, details);
    const recorded = await recordClaim(id, figures, details);
    const rows = await resultsTable();
    expect(rows.map((row) => Object.values(row))).toEqual([
      [
        'Samples of emoji in pixels',
        'in class, denoised (%)',
        1,
        null,
        '',
        'npm run workbook -- --only reports/05',
      ],
      [
        'Likelihood of Fashion-MNIST',
        'bits per dimension, test split (bits/dim)',
        3.21,
        2.958,
        expect.stringContaining('Nalisnick et al. 2019'),
        recorded.command,
      ],
      ['Likelihood of Fashion-MNIST', 'images', 500, null, '', recorded.command],
    ]);
    expect(Object.keys(rows[0] ?? {})).toEqual([
      'claim',
      'figure',
      'ours',
      'published',
      'source',
      'command',
    ]);
    expect(await resultsTable([id])).toEqual(rows.slice(1));
    await expect(resultsTable(['denoising'])).rejects.toThrow(/'denoising'/);
  });
});
