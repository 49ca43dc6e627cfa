import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import type { Acceleration } from '../../../workbook/records/record.js';
import {
  expectRefused,
  type Mistake,
  succeeds,
  tarflow,
  temporaryFolder,
  unwritablePath,
} from '../../cli/command-line.js';
import { smallFlow } from '../../flow/small-flow.js';
import { savedFlow, smallConfig } from '../../training/small.js';

const quick = ['--repeats', '1', '--mode', 'eager'];

test('a table per batch is printed, and recorded as JSON', async () => {
  const file = await savedFlow(temporaryFolder(), smallConfig, {});
  const output = path.join(path.dirname(file), 'table.json');
  const before = tf.memory().numTensors;
  const guided = ['--label', '0,1', '--guidance', '0.5', '--annealed'];
  const options = [...guided, '--batch', '1,2', '--out', output, ...quick];
  const { stdout } = await succeeds(tarflow('accelerate', file, ...options));
  expect(tf.memory().numTensors).toBe(before);
  for (const words of [
    /4 tokens, batch 1, guidance 0\.5, tolerance 0\.001.*eager/,
    /4 tokens, batch 2/,
    /CRM and IGM from its samples/,
    /strategy.*times as fast.*iterations.*fallbacks.*unconverged.*error.*mean.*deviation/,
    /sequential +\S+ +1 +– +0 +0 +0 /,
    /GS-Jacobi, published form/,
    /planned, in the order of sampling: /,
    /another seed/,
  ]) {
    expect(stdout).toMatch(words);
  }
  const recorded = JSON.parse(fs.readFileSync(output, 'utf8')) as {
    tables: Acceleration[];
    command: string;
    seed: number;
    versions: { engine: string };
  };
  expect(recorded).toMatchObject({
    checkpoint: 'checkpoint.safetensors',
    configuration: { channels: 8 },
    cost: { seconds: expect.any(Number) },
  });
  expect(recorded.tables.map(({ batch, label }) => [batch, label])).toEqual([
    [1, 0],
    [2, [0, 1]],
  ]);
  expect(recorded.tables[0]!.guidance).toEqual({ weight: 0.5, annealed: true });
  // Whatever the batch, the rest is the same.
  const [one, two] = recorded.tables.map(({ seed, execution, crmFrom, repeats, model, plan }) => ({
    ...{ seed, execution, crmFrom, repeats, model, version: plan.version, device: plan.device },
  }));
  expect(one).toEqual(two);
  expect(one).toMatchObject({ seed: recorded.seed, crmFrom: 'samples' });
  expect(recorded.versions.engine).toContain(one!.version);
  expect(recorded.command).toBe(
    `tarflow accelerate ${file} --batch 1,2 --tolerance 0.001 --repeats 1 --seed 0 --mode eager ` +
      '--label 0,1 --guidance 0.5 --annealed',
  );
});

test('labels take turns over all repeats, of which a batch may have its own', async () => {
  const file = await savedFlow(temporaryFolder(), smallConfig, {});
  const output = path.join(path.dirname(file), 'table.json');
  const rounds = ['--batch', '1,2', '--repeats', '3,1'];
  const options = ['--label', '0,1', ...rounds, '--mode', 'eager', '--out', output];
  await succeeds(tarflow('accelerate', file, ...options));
  const { tables, command } = JSON.parse(fs.readFileSync(output, 'utf8')) as Outcome;
  const used = tables.map(({ repeats, label, plan }) => ({ repeats, label, planned: plan.label }));
  expect(used).toEqual([
    { repeats: 3, label: [0, 1, 0], planned: [0, 1] },
    { repeats: 1, label: [0, 1], planned: [0, 1] },
  ]);
  expect(command).toContain('--repeats 3,1');
});

interface Outcome {
  out: string;
  data: string | null;
  tables: Acceleration[];
  command: string;
}

/** The table of a small model that says what it was trained on, as JSON, and as it was recorded. */
async function tableOf(dataset: string, ...options: string[]): Promise<Outcome> {
  const image = { channels: 1, height: 28, width: 28 };
  const file = path.join(temporaryFolder(), 'checkpoint.safetensors');
  const flow = smallFlow({ ...smallConfig, image, patchSize: 14 }, 1, 0.1);
  await saveCheckpoint(flow, file, { dataset });
  disposeModel(flow);
  const output = path.join(path.dirname(file), 'table.json');
  const more = ['--out', output, '--json', ...options, ...quick];
  const { stdout } = await succeeds(tarflow('accelerate', file, ...more));
  const { out: told, ...outcome } = JSON.parse(stdout) as Outcome;
  expect(told).toBe(output);
  expect(outcome).toEqual(JSON.parse(fs.readFileSync(output, 'utf8')));
  return { out: output, ...outcome };
}

test('CRM and IGM come from the data set asked for', async () => {
  const { data, tables, command } = await tableOf('a-secret', '--data', 'mnist-10k-subset');
  expect(data).toBe('mnist-10k-subset');
  expect(tables[0]!.crmFrom).toBe('images');
  expect(command).toContain('--data mnist-10k-subset');
});

test('they come from what the model was trained on, where that is here', async () => {
  const { data, tables, command } = await tableOf('mnist-10k-subset', '--precision', 'bfloat16');
  expect(data).toBe('mnist-10k-subset');
  expect(tables[0]!.crmFrom).toBe('images');
  expect(tables[0]!.execution).toContain('eager, bfloat16');
  expect(tables[0]!.plan.precision).toBe('bfloat16');
  expect(command).toContain('--precision bfloat16 --data mnist-10k-subset');
});

test('blocks are shown as a table; without --out the file goes below the current folder', async () => {
  const image = { channels: 1, height: 28, width: 28 };
  const folder = temporaryFolder();
  const file = path.join(folder, 'flow.safetensors');
  const flow = smallFlow({ ...smallConfig, image, patchSize: 14 }, 1, 0.1);
  await saveCheckpoint(flow, file, { dataset: 'mnist-10k-subset' });
  disposeModel(flow);
  const here = process.cwd();
  process.chdir(folder);
  try {
    const few = ['--samples', '2', '--batch', '2', '--images', '4'];
    const { stdout } = await succeeds(tarflow('blocks', file, ...few));
    const out = path.join('scratch', 'acceleration', 'blocks.json');
    const { rows } = JSON.parse(fs.readFileSync(out, 'utf8')) as { rows: { model: string }[] };
    expect(stdout).toMatch(/model +block +iterations from the latent .*CRM, % .*IGM says/);
    expect(stdout.split('\n').filter((line) => line.startsWith(file))).toHaveLength(rows.length);
    expect(stdout.trimEnd().endsWith(out)).toBe(true);
    await succeeds(tarflow('accelerate', file, ...quick));
    expect(fs.readdirSync(path.dirname(out))).toEqual(['blocks.json', 'flow.json']);
  } finally {
    process.chdir(here);
  }
});

test('they come from its own samples where it is not', async () => {
  const { data, tables, command } = await tableOf('a-secret');
  expect(data).toBe(null);
  expect(tables[0]!.crmFrom).toBe('samples');
  expect(command).not.toContain('--data');
});

test("a user's mistake exits 2 and records nothing", async () => {
  const file = await savedFlow(temporaryFolder(), smallConfig, {});
  const folder = path.dirname(file);
  const output = ['--out', path.join(folder, 'table.json')];
  const mistakes: Mistake[] = [
    [file, [...output, '--batch', '1,0'], /--batch names 0/],
    [file, [...output, '--tolerance', '-1'], /tolerance is -1/],
    [file, [...output, '--label', '9'], /no label '9'/],
    [file, [...output, '--guidance', '1'], /change nothing/],
    [file, [...output, '--data', 'mnist-10k-subset'], /images of 1×28×28.*takes 1×4×4/],
    [file, ['--out', unwritablePath(folder, 'table.json')], /cannot be written/],
    [`${file}.none`, output, /none/],
  ];
  await expectRefused('accelerate', folder, mistakes, quick);
  const repeats: Mistake[] = [
    [file, [...output, '--repeats', '3,0'], /--repeats names 0/],
    [file, [...output, '--repeats', '3,2'], /--repeats has 2 numbers, and --batch 1/],
  ];
  await expectRefused('accelerate', folder, repeats, []);
});
