import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { openDataset, writeLatents } from '../../../src/data/index.js';
import { testReadings } from '../../../src/evaluation/test-readings.js';
import { ability } from '../../../src/flow/model.js';
import { createModel, familyOf } from '../../../src/models/registry.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import { findExperiment } from '../../../workbook/experiments/index.js';
import { papers } from '../../../workbook/papers/index.js';
import {
  modelCost,
  type RowCost,
  rowCost,
  trainingOperations,
} from '../../../workbook/reproduction/cost.js';
import { imagesOfLatents, openSplits } from '../../../workbook/reproduction/data.js';
import { methodOf } from '../../../workbook/reproduction/measurable.js';
import type { ReproduceOptions } from '../../../workbook/reproduction/options.js';
import {
  modelsLatents,
  type Recipe,
  readsNoisyLatents,
  recipesOf,
  scales,
  tableNames,
} from '../../../workbook/reproduction/recipe.js';
import { reproduceRow } from '../../../workbook/reproduction/row.js';
import {
  isTrained,
  noiseWidths,
  threadsOfBegun,
} from '../../../workbook/reproduction/trainings.js';
import { refused, succeeds, tarflow, temporaryFolder } from '../../cli/command-line.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { pixelNetwork, tinyData, tinyExperiment, tinySettings } from './tiny.js';

const recipe = (table: string, row: string, scale: 'paper' | 'workbook'): Recipe => {
  const [found] = recipesOf(table, { scale, row });
  if (found?.kind !== 'recipe') throw new Error(`${row} of ${table} has no recipe`);
  return found;
};

// Whether the command takes tiny models on random images, whose figures mean nothing.
const rehearsal = vi.hoisted(() => ({ isOn: false }));
vi.mock(import('../../../workbook/cli/reproduce-settings.js'), async (original) => {
  const actual = await original();
  return {
    ...actual,
    settingsOf: (request) => {
      const settings = actual.settingsOf(request);
      return rehearsal.isOn ? tinySettings(settings, request) : settings;
    },
    settingsOfRow: (settings, ...more) =>
      rehearsal.isOn ? settings : actual.settingsOfRow(settings, ...more),
    networkName: (request) => (rehearsal.isOn ? 'pixels' : actual.networkName(request)),
  };
});

/** `tarflow reproduce` with tiny models. */
async function tiny(out: string, table: string, ...more: string[]) {
  rehearsal.isOn = true;
  try {
    const ledger = `${out}/ledger.jsonl`;
    const options = ['--table', table, '--out', out, '--ledger', ledger, '--repeats', '1'];
    return await tarflow('reproduce', ...options, ...more);
  } finally {
    rehearsal.isOn = false;
  }
}

const written = (out: string, table: string, scale: string) =>
  JSON.parse(fs.readFileSync(path.join(out, 'tiny', `${table}-${scale}.json`), 'utf8'));

describe('recipes', () => {
  test('are there for every row that says what was trained, at both scales', () => {
    for (const { id, rows } of papers.flatMap(({ tables }) => tables)) {
      for (const scale of ['paper', 'workbook'] as const) {
        const found = recipesOf(id, { scale });
        expect(found.map(({ row }) => row)).toEqual(rows.map(({ name }) => name));
        found.forEach((each, i) => {
          const { paper, workbook } = rows[i] as (typeof rows)[number];
          const known =
            scale === 'workbook' ? workbook !== undefined : paper?.dataset !== undefined;
          // Nothing here splits the time of a batch into parts.
          const expected = known && id !== 'selective-jacobi-time' ? 'recipe' : 'left out';
          expect(each.kind, `${id}, ${each.row}, ${scale}`).toBe(expected);
        });
      }
    }
  });

  test('train as the paper did', () => {
    const { experiment } = recipe(
      'fid-imagenet-64-conditional',
      'TarFlow 2-768-8-8, N(0, 0.05²)',
      'paper',
    );
    const { config, settings, name } = experiment(1_281_167);
    expect(name).toBe('imagenet-64-2-768-8-8-0.05');
    expect(familyOf(config.kind).title(config)).toBe('2-768-8-8');
    expect(config.classes).toBe(1000);
    expect(settings).toMatchObject({
      ...{ batchSize: 256, steps: 200 * 5004, warmupSteps: 5004, peakLearningRate: 1e-4 },
      ...{ noise: { kind: 'gaussian', sigma: 0.05 }, dropLabel: 0.1, flip: true, clipNorm: 0 },
      ...{ averageDecay: 0, weightDecay: 1e-4, precision: 'bfloat16' },
    });
    const density = recipe('likelihood', 'TarFlow 2-768-8-8', 'paper').experiment(1_281_149);
    expect(density.settings).toMatchObject({ noise: { kind: 'uniform' }, precision: 'float32' });
  });

  test('train STARFlows on latents, as many parameters as the published ones have', () => {
    const rows = [
      ['fid-imagenet-256', 'STARFlow (1.4B), latents', 1_412_255_816],
      ['text-to-image', 'STARFlow (3.8B), CC12M', 3_858_281_544],
    ] as const;
    for (const [table, row, parameters] of rows) {
      const { experiment, image, untold, sampling } = recipe(table, row, 'paper');
      const { config, settings, name } = experiment(1_281_167);
      expect(modelCost(config).parameters, row).toBe(parameters);
      expect(image).toEqual({ channels: 4, height: 32, width: 32 });
      expect(settings).toMatchObject({ noise: { sigma: 0.3 }, batchSize: 512, flip: false });
      expect(sampling).toMatchObject({ rule: 'product', denoising: 0 });
      expect(untold).toEqual(table === 'text-to-image' ? ['the number of its epochs'] : []);
      expect(name).toMatch(/^latents-32-(text-)?1-\d+-6-2-2-2-2-2-\d+-0\.3$/);
    }
    // The larger images are more tokens of the same model.
    const large = recipe('fid-imagenet-512', 'STARFlow', 'paper').experiment(1).config;
    expect(modelCost(large).parameters).toBe(1_412_255_816);
    const { rows: tokens } = ability(familyOf(large.kind), 'flow');
    expect(tokens(large)).toBe(4096);
  });

  test('name the nearest table and row', () => {
    expect(() => recipesOf('likelyhood', { scale: 'paper' })).toThrow(/Did you mean likelihood\?/);
    expect(() => recipesOf('nope', { scale: 'paper' })).toThrow(/table 'nope'\. Expected one of/);
    expect(() => recipesOf('crm', { scale: 'paper', row: 'AFHQ' })).toThrow(/AFHQ 256×256/);
  });
});

describe('what a row takes', () => {
  test.each(['latents-and-pixels', 'deep-shallow', 'likelihood-at-one-cost'])(
    'is the same for all rows of %s',
    (table) => {
      const costs = recipesOf(table, { scale: 'workbook' }).map((each) => {
        const { experiment } = each as Recipe;
        return trainingOperations(experiment(1));
      });
      expect(costs.length).toBeGreaterThan(2);
      for (const cost of costs) expect(cost / (costs[0] as number)).toBeCloseTo(1, 2);
    },
  );

  const { config } = recipe('likelihood', 'TarFlow 2-768-8-8', 'paper').experiment(1000);

  test('is counted without allocating', () => {
    const before = tf.memory().numTensors;
    const cost = modelCost(config);
    expect(tf.memory().numTensors).toBe(before);
    expect(cost.parameters).toBe(460_142_784);
    // A layer has 12 · width² weights; projections, and attention over 1,024 tokens, come on top.
    const layers = 64 * (2 * 1024 * 12 * 768 ** 2 + 4 * 1024 ** 2 * 768);
    expect(cost.passOperations / layers).toBeGreaterThan(1);
    expect(cost.passOperations / layers).toBeLessThan(1.01);
  });

  test('is nothing to train where weights are given, and twice the sampling where it is guided', () => {
    const of = recipe('likelihood', 'TarFlow 2-768-8-8', 'workbook');
    const plan = { trainings: 0, samples: 10 };
    const plain = rowCost({ row: of.row, recipe: of }, plan);
    expect(plain.training).toBeUndefined();
    const sampling = { ...of.sampling, guidance: 1 };
    const guided = rowCost({ row: of.row, recipe: { ...of, sampling } }, plan);
    expect(guided.sampling?.operations).toBe(2 * (plain.sampling?.operations ?? 0));
    const twice = rowCost({ row: of.row, recipe: of }, { ...plan, trainings: 2 });
    const { config, settings } = of.experiment(1);
    expect(twice.training?.operations).toBe(
      2 * 3 * modelCost(config).passOperations * settings.batchSize * settings.steps,
    );
  });
});

interface MadeFigure {
  measure: string;
  of?: string;
  // biome-ignore lint/suspicious/noExplicitAny: figures as JSON
  ours: any;
  never?: true;
}

/** Every figure is there but those that never can be, each of which says why. */
function expectComplete(figures: readonly MadeFigure[]): void {
  for (const { measure, of, ours, never } of figures) {
    expect(typeof ours === 'string', `${measure}, ${of}: ${JSON.stringify(ours)}`).toBe(!!never);
    if (never) expect(ours).toMatch(/^nothing here computes it$|^this model has 4 blocks, and no /);
    if (measure === 'speed-up' && of === 'sequential') expect(ours.value).toBe(1);
    if (measure === 'FID') expect(ours.floor.n).toBe(6);
  }
  expect(figures.some(({ never }) => !never)).toBe(true);
}

/** What the path of a row depends on. */
function traitsOf(each: Recipe): string[] {
  const { config } = each.experiment(1);
  return [
    config.kind,
    'text' in config && config.text ? 'captions' : 'no captions',
    modelsLatents(each) ? `latents, noisy: ${readsNoisyLatents(each)}` : 'pixels',
    `rule ${each.sampling.rule}`,
    each.strategy ? 'a published strategy' : 'no strategy',
    ...each.asked.map(({ measure, of }) => [measure, ...methodOf({ measure, of })].join(' of ')),
  ];
}

describe('tarflow reproduce', () => {
  // By day the first row of a table is run at a scale where it differs from those before in what its path
  // depends on; `npm run nightly` sets TARFLOW_NIGHTLY and runs each row. Widths of noise have a test of
  // their own, and so has a training that is followed: a tiny one saves once, which is no correlation.
  const known = new Set(['best σ']);
  const differs = (each: Recipe) => {
    const before = known.size;
    for (const trait of traitsOf(each)) known.add(trait);
    return known.size > before;
  };
  const paths = tableNames
    .filter((id) => id !== 'loss-and-distance')
    .flatMap((table) => scales.map((scale) => ({ table, scale })))
    .map(({ table, scale }) => {
      const all = recipesOf(table, { scale }).filter((each) => each.kind === 'recipe');
      const rows = process.env.TARFLOW_NIGHTLY ? all : all.slice(0, 1).filter(differs);
      return { table, scale, all, rows };
    })
    .filter(({ all, rows }) => all.length === 0 || rows.length > 0);

  test.each(paths)(
    'runs the whole path of rows of $table at the scale of the $scale',
    async ({ table, scale, all, rows }) => {
      const out = temporaryFolder();
      expectNoTensorsLeft();
      const named = rows.length < all.length ? rows.flatMap(({ row }) => ['--row', row]) : [];
      const run = tiny(out, table, '--scale', scale, ...named);
      if (all.length === 0) {
        expect(await refused(run)).toMatch(/Nothing of .* can be run/);
        return;
      }
      await succeeds(run);
      const { results } = written(out, table, scale);
      expect(results.map(({ row }: { row: string }) => row)).toEqual(rows.map(({ row }) => row));
      for (const { figures } of results) expectComplete(figures);
    },
  );

  test('succeeds where all figures are there that can be, and fails where one is missing', async () => {
    const out = temporaryFolder();
    // What this model lacks is no failure, and is said.
    const iterations = 'selective-jacobi-iterations';
    const lacking = await succeeds(tiny(out, iterations, '--row', 'CIFAR-10'));
    expect(lacking.stdout).toMatch(/this model has 4 blocks, and no block 5/);
    expect(lacking.stderr).not.toMatch(/is missing/);
    const [{ figures }] = written(out, iterations, 'workbook').results;
    expect(figures.filter(({ never }: MadeFigure) => never)).toHaveLength(2);
    // What the user's weights cannot give was asked for by the row.
    const row = ['--row', 'Gaussian noise of 0.1'];
    await succeeds(tiny(out, 'noise-kinds', ...row));
    const checkpoint = path.join(out, 'tiny/runs/design-gaussian-seed-1/checkpoint.safetensors');
    const given = await tiny(out, 'noise-kinds', ...row, '--weights', checkpoint);
    expect(given.code).toBe(1);
    expect(given.stderr).toMatch(
      /Gaussian noise of 0\.1: held-out loss is missing: these weights came without the log/,
    );
    expect(given.stderr).not.toMatch(/FID is missing/);
    const [{ figures: measured }] = written(out, 'noise-kinds', 'workbook').results;
    expect(measured.map(({ ours }: MadeFigure) => typeof ours)).toEqual(['string', 'object']);
    expect(measured.some(({ never }: MadeFigure) => never)).toBe(false);
    // A row that is not run is asked for by nobody, unless it is named.
    await refused(tiny(out, 'likelihood-fashion-mnist', '--row', 'Glow on Fashion-MNIST test'));
  });

  test('draws the samples of a distance in parts, which are put together to the same figure', async () => {
    const [out, apart] = [temporaryFolder(), temporaryFolder()];
    const row = ['--row', 'Gaussian noise of 0.1', '--samples', '7'];
    expect(await refused(tiny(out, 'noise-kinds', ...row, '--part', '1/2'))).toMatch(
      /--part came for 'Gaussian noise of 0\.1', whose model is not trained yet/,
    );
    await succeeds(tiny(out, 'noise-kinds', ...row));
    const checkpoint = path.join(out, 'tiny/runs/design-gaussian-seed-1/checkpoint.safetensors');
    const given = [...row, '--weights', checkpoint];
    const folder = path.join(apart, 'tiny/noise-kinds/gaussian-noise-of-0-1');
    const parts = () => fs.readdirSync(folder).filter((name) => name.startsWith('samples-'));
    for (const part of ['1/3', '3/3', '2/3']) {
      await succeeds(tiny(apart, 'noise-kinds', ...given, '--part', part));
    }
    expect(parts()).toHaveLength(3);
    expect(fs.existsSync(path.join(apart, 'tiny/noise-kinds-workbook.json'))).toBe(false);
    // One is lost, and drawn again by the call that measures.
    fs.rmSync(path.join(folder, parts()[1]!));
    await tiny(apart, 'noise-kinds', ...given);
    expect(parts()).toEqual([]);
    const distance = (from: string) =>
      written(from, 'noise-kinds', 'workbook').results[0].figures.find(
        ({ measure }: MadeFigure) => measure === 'FID',
      ).ours;
    expect(distance(apart).n).toBe(7);
    expect(distance(apart).value / distance(out).value).toBeCloseTo(1, 10);
  });

  test('keeps figures, writes readings of the test split down once, says what is kept or damaged', async () => {
    const out = temporaryFolder();
    const table = 'likelihood-fashion-mnist';
    await succeeds(tiny(out, table, '--row', 'MAF'));
    await succeeds(tiny(out, table, '--row', 'MAF'));
    const readings = await testReadings(path.join(out, 'ledger.jsonl'));
    expect(readings).toHaveLength(1);
    expect(readings[0]).toMatchObject({
      ...{
        model: 'fashion-mnist-maf-seed-1',
        data: 'fashion-mnist',
        measure: 'bits per dimension',
      },
      reason: "the row 'MAF' of the table 'likelihood-fashion-mnist'",
    });
    // Another draw of the noise is another figure: the test split is read again, and that is said.
    const again = await tiny(out, table, '--row', 'MAF', '--seed', '1');
    expect(again.stdout).toMatch(/read for this figure once before/);
    expect(await testReadings(path.join(out, 'ledger.jsonl'))).toHaveLength(2);
    // What is damaged is said.
    const folder = path.join(out, 'tiny/likelihood-fashion-mnist/maf');
    const [kept = ''] = fs.readdirSync(folder);
    expect(kept).toMatch(/^fashion-mnist-maf-seed-1-[0-9a-f]{16}\.json$/);
    fs.writeFileSync(path.join(folder, kept), '{');
    expect(await refused(tiny(out, table, '--row', 'MAF'))).toMatch(
      /\.json is not JSON.*its figures are measured again/,
    );
  });

  test('measures given weights of the right shape, and refuses others', async () => {
    const out = temporaryFolder();
    const table = 'likelihood-fashion-mnist';
    await succeeds(tiny(out, table, '--row', 'TarFlow'));
    const checkpoint = path.join(
      out,
      'tiny/runs/fashion-mnist-density-seed-1/checkpoint.safetensors',
    );
    const other = temporaryFolder();
    const given = await succeeds(tiny(other, table, '--row', 'TarFlow', '--weights', checkpoint));
    expect(given.stderr).toMatch(/weights are given/);
    expect(written(other, table, 'workbook').results[0].training).toBeUndefined();
    expect(fs.existsSync(path.join(other, 'tiny/runs'))).toBe(false);
    const figures = (folder: string) => written(folder, table, 'workbook').results[0].figures;
    expect(figures(other)).toEqual(figures(out));

    const wrong = createModel({ ...findExperiment('mnist-demonstration').config } as never, 1);
    const file = path.join(other, 'wrong.safetensors');
    await saveCheckpoint(wrong, file, {});
    expect(await refused(tiny(other, table, '--row', 'TarFlow', '--weights', file))).toMatch(
      /wrong\.safetensors holds a tarflow of .*; give its weights/s,
    );

    // Of the same size and another design.
    await succeeds(tiny(out, 'sizes', '--row', '4 blocks of 2 layers'));
    const base = path.join(out, 'tiny/runs/design-base-seed-1/checkpoint.safetensors');
    const shift = ['--row', 'shift only (VP)', '--weights', base];
    expect(await refused(tiny(other, 'design-ablation', ...shift))).toMatch(
      /volumePreserving false.*volumePreserving true/s,
    );
    const uniform = ['--row', 'uniform noise of one grey level', '--weights', base];
    expect((await tiny(other, 'noise-kinds', ...uniform)).stderr).toMatch(
      /Gaussian noise of 0\.1.*uniform noise/s,
    );
  });

  test('refuses mistakes in one message', async () => {
    const out = temporaryFolder();
    const mistakes: [string[], RegExp][] = [
      [[], /No --table came/],
      [['--table', 'design-ablation', '--scale', 'paper'], /Nothing of design-ablation can be run/],
      [['--table', 'likelihood', '--scale', 'paper'], /Give its folder by --data/],
      [
        ['--table', 'fid-imagenet-256', '--scale', 'paper'],
        /needs the data set latents.*written by `tarflow encode`/s,
      ],
      [
        ['--table', 'selective-jacobi', '--row', 'CIFAR-10', '--scale', 'paper', '--data', out],
        /does not say the noise of its training and the number of its epochs and.*by --row/,
      ],
      [
        ['--table', 'noise-kinds', '--data', out],
        /--data came for noise-kinds, whose data are fash/,
      ],
      [
        ['--table', 'noise-kinds', '--weights', 'a.safetensors', '--seeds', '1,2'],
        /--seeds came with --weights/,
      ],
    ];
    for (const [options, message] of mistakes) {
      expect(await refused(tarflow('reproduce', '--out', out, ...options))).toMatch(message);
    }
  });

  test('latents need an autoencoder, whose decoder takes their noise as the row leaves it', async () => {
    const out = temporaryFolder();
    const { experiment, image } = recipe('fid-imagenet-256', 'STARFlow (1.4B), latents', 'paper');
    const { classes } = experiment(1).config;
    const data = path.join(out, 'latents');
    for (const split of ['train', 'validation']) {
      const samples = 3;
      await writeLatents(path.join(data, `${split}.safetensors`), {
        latents: new Float32Array(samples * 4 * 32 * 32),
        ...{ image, labels: new Int32Array(samples), captions: undefined, name: 'zeros' },
        classes: Array.from({ length: classes }, (_, i) => `class ${i}`),
        ...{ licence: 'none', scale: 1 },
      });
    }
    const autoencoder = path.join(out, 'vae.safetensors');
    const config = {
      ...findExperiment('emoji-vae').config,
      latentChannels: 4,
      channels: [4, 4, 4],
    };
    const vae = createModel({ ...config, groups: 2, midAttention: false } as never, 1);
    await saveCheckpoint(vae, autoencoder, {});
    const judge = 'results/checkpoints/fashion-mnist-classifier.safetensors';
    const paper = ['reproduce', '--table', 'fid-imagenet-256', '--scale', 'paper', '--out', out];
    const run = (row: string, ...more: string[]) =>
      tarflow(...paper, '--data', data, '--network', `classifier:${judge}`, '--row', row, ...more);
    // Of data that are there their images are counted.
    const cost = await succeeds(run('STARFlow (1.4B), latents', '--cost'));
    expect(cost.stdout).toContain(`; 3 training images (of ${data}); `);
    expect(await refused(run('STARFlow (1.4B), latents'))).toMatch(
      /makes latents.*by --autoencoder/s,
    );
    expect(await refused(run('STARFlow (1.4B), latents', '--autoencoder', autoencoder))).toMatch(
      /leaves the noise of its latents to the decoder/,
    );
    const pixels = ['reproduce', '--table', 'likelihood-fashion-mnist', '--cost'];
    expect(await refused(tarflow(...pixels, '--out', out, '--autoencoder', autoencoder))).toMatch(
      /whose flows make images/,
    );
    expect(fs.existsSync(path.join(out, 'runs'))).toBe(false);
  });

  test('compares before it trains', async () => {
    const fresh = temporaryFolder();
    for (const options of [
      ['--network', 'inception-v3:none.pth'],
      ['--statistics', 'none.pth'],
    ]) {
      expect(await refused(tiny(fresh, 'fid-imagenet-64-conditional', ...options))).toMatch(
        /none\.pth/,
      );
      expect(fs.existsSync(path.join(fresh, 'tiny'))).toBe(false);
    }
  });

  test('fills a table row by row, in its order', async () => {
    const out = temporaryFolder();
    const table = 'deep-shallow';
    const rows = recipesOf(table, { scale: 'workbook' }).map(({ row }) => row);
    for (const row of [...rows].reverse()) {
      await succeeds(tiny(out, table, '--row', row, '--seeds', '1,2'));
    }
    const whole = written(out, table, 'workbook');
    expect(whole.results.map(({ row }: { row: string }) => row)).toEqual(rows);
    for (const { parameters, training } of whole.results) {
      expect(parameters).toBeGreaterThan(0);
      expect(training).toMatchObject({ steps: 2, batchSize: 4 });
      expect(training.operations).toBeGreaterThan(0);
    }
    // A row that is made again takes the place of what was there.
    const again = await succeeds(tiny(out, table, '--row', rows[1] as string, '--json'));
    const trainings = JSON.parse(again.stdout).results.map(
      ({ figures }: { figures: { ours: { values?: number[] } }[] }) =>
        figures[0]?.ours.values?.length ?? 1,
    );
    expect(trainings).toEqual([2, 1, 2]);
    const [first, second] = JSON.parse(again.stdout).results;
    expect(first.settings).toMatchObject({ seeds: [1, 2], seed: 0, batch: 2 });
    expect(second.settings.seeds).toEqual([1]);
    // By another network it is another table.
    const judge = 'classifier:results/checkpoints/fashion-mnist-classifier.safetensors';
    await succeeds(tiny(out, table, '--row', rows[1] as string, '--network', judge, '--cost'));
    expect(JSON.parse(again.stdout).results).toEqual(written(out, table, 'workbook').results);
    const file = path.join(out, 'tiny', `${table}-workbook.json`);
    fs.rmSync(path.join(out, 'tiny/runs'), { recursive: true });
    fs.writeFileSync(file, '{"results": 1}');
    expect(await refused(tiny(out, table, '--row', rows[0] as string))).toMatch(
      /Delete it, and its rows are filled in again/,
    );
    // That was seen before anything was trained.
    expect(fs.existsSync(path.join(out, 'tiny/runs'))).toBe(false);
  });

  test('refuses an autoencoder for rows that have their own', async () => {
    const out = temporaryFolder();
    const row = ['--table', 'latents-and-pixels', '--cost', '--out', out];
    const vae = 'results/checkpoints/emoji-vae.safetensors';
    expect(await refused(tarflow('reproduce', ...row, '--autoencoder', vae))).toMatch(
      /whose latents are those of emoji-vae-noisy.*Leave it out/s,
    );
    await succeeds(tarflow('reproduce', ...row));
    expect(fs.readdirSync(out)).toEqual([]);
  });

  test('follows a training at the steps that it saves, anew for another way of measuring', async () => {
    const out = temporaryFolder();
    const folder = path.join(out, 'tiny/loss-and-distance/tarflow-small');
    const run = async (...more: string[]) => {
      const { code, stderr } = await tiny(out, 'loss-and-distance', ...more);
      const [{ figures }] = written(out, 'loss-and-distance', 'workbook').results;
      return { code, stderr, ours: figures[0].ours };
    };
    const first = await run();
    // A tiny run saves once.
    expect(first.code, first.stderr).toBe(1);
    expect(first.ours).toMatch(/needs three points at least, and its training gave 1/);
    expect(first.stderr).toMatch(/correlation of loss and FID is missing: a correlation needs/);
    const logs = () => fs.readdirSync(folder).filter((name) => name.endsWith('.jsonl'));
    const [name = ''] = logs();
    const file = path.join(folder, name);
    const point = JSON.parse(fs.readFileSync(file, 'utf8'));
    expect(point).toMatchObject({ step: 2, n: 6, network: expect.stringMatching(/^pixels/) });
    // What was stopped between saving and measuring is measured when it goes on.
    fs.rmSync(file);
    await run();
    expect(JSON.parse(fs.readFileSync(file, 'utf8'))).toEqual(point);
    // What was stopped between writing the step down and saving it is trained anew.
    fs.rmSync(file);
    const [, named] = /^(.*)\.jsonl$/.exec(name) ?? [];
    const trained = path.join(out, 'tiny/runs', named as string);
    for (const each of fs.readdirSync(trained)) {
      if (each.endsWith('.safetensors')) fs.rmSync(path.join(trained, each));
    }
    await run();
    expect(JSON.parse(fs.readFileSync(file, 'utf8'))).toEqual(point);
    await run('--samples', '8');
    expect(logs()).toHaveLength(2);
    const { loss, distance } = point;
    const more = [1, 2, 3].map((k) => ({
      ...{ ...point, step: 2 + k, loss: loss - k, distance: distance - k ** 2 },
    }));
    fs.appendFileSync(file, more.map((each) => `${JSON.stringify(each)}\n`).join(''));
    const { ours } = await run();
    expect(ours).toMatchObject({ n: 6, network: point.network });
    expect(ours.value).toBeGreaterThan(0.9);
    expect(ours.note).toBe('by ranks 1.000, 4 points');
    const followed = [point, ...more].map(({ step, loss, distance }) => ({ step, loss, distance }));
    expect(ours.points).toEqual([followed]);
    // Each of several trainings is followed, and a figure takes them all.
    const lacking = await run('--seeds', '1,2');
    expect(lacking.ours).toMatch(/needs three points at least, and its training gave 1/);
    const second = path.join(folder, name.replace('seed-1', 'seed-2'));
    const turned = more.map((each) => ({ ...each, distance: 2 * distance - each.distance }));
    fs.appendFileSync(second, turned.map((each) => `${JSON.stringify(each)}\n`).join(''));
    const both = await succeeds(run('--seeds', '1,2'));
    expect(both.ours.values).toEqual([ours.value, expect.any(Number)]);
    expect(both.ours.values[1]).toBeLessThan(0);
    expect(both.ours.points).toMatchObject([followed, [{ step: 2 }, { step: 3 }, {}, {}]]);
    expect(both.ours.note).toMatch(/^1: by ranks 1\.000, .*; 2: by ranks -/);
  });

  test('tries widths of noise once', async () => {
    const out = temporaryFolder();
    await succeeds(tiny(out, 'noise-ablation'));
    const [{ figures }] = written(out, 'noise-ablation', 'workbook').results;
    expect(figures[0].ours.note).toMatch(/^one training of seed 1 each; Fréchet distances 0\.02: /);
    expect(figures[0].ours.floor).toBeUndefined();
    const checkpoint = path.join(
      out,
      'tiny/runs/fashion-mnist-noise-0.1-seed-1/checkpoint.safetensors',
    );
    fs.rmSync(checkpoint);
    // Kept distances ask for no model.
    await succeeds(tiny(out, 'noise-ablation'));
    expect(written(out, 'noise-ablation', 'workbook').results[0].figures).toEqual(figures);
    await tiny(out, 'noise-ablation', '--seeds', '1,2');
    const [{ figures: ofTwo }] = written(out, 'noise-ablation', 'workbook').results;
    expect(ofTwo[0].ours.note).toMatch(/^trainings of seeds 1, 2 each; Fréchet distances 0\.02: /);
    expect(fs.existsSync(path.join(out, 'tiny/runs/fashion-mnist-noise-0.2-seed-2'))).toBe(true);
  });

  test('averages over trainings of several seeds', async () => {
    const out = temporaryFolder();
    const row = ['--row', 'Gaussian noise of 0.1'];
    await succeeds(tiny(out, 'noise-kinds', ...row, '--seeds', '1,2,3'));
    const [{ figures }] = written(out, 'noise-kinds', 'workbook').results;
    const byMeasure = (name: string) =>
      figures.find(({ measure }: { measure: string }) => measure === name).ours;
    for (const name of ['held-out loss', 'FID']) {
      const { value, values, standardError } = byMeasure(name);
      expect(new Set(values).size, name).toBe(3);
      const mean = (values[0] + values[1] + values[2]) / 3;
      expect(value).toBeCloseTo(mean, 10);
      const squares = values.map((each: number) => (each - mean) ** 2);
      const variance = (squares[0] + squares[1] + squares[2]) / 2;
      expect(standardError).toBeCloseTo(Math.sqrt(variance / 3), 10);
    }
    // Each of the trainings says how much its loss still changed.
    const { convergence, values: losses } = byMeasure('held-out loss');
    expect(convergence).toHaveLength(3);
    for (const [i, { from, to, change, share, converged }] of convergence.entries()) {
      expect({ from, to }).toEqual({ from: 1, to: 2 });
      expect(share).toBeCloseTo(Math.abs(change / losses[i]), 10);
      expect(converged).toBe(share < 0.005);
    }
    expect(byMeasure('held-out loss').note).toMatch(/^1: (fell|rose) by \S+ from step 1 to 2; 2: /);
    // One seed more trains that one alone.
    const file = path.join(out, 'tiny/runs/design-gaussian-seed-1/log.jsonl');
    const log = fs.readFileSync(file, 'utf8');
    await tiny(out, 'noise-kinds', ...row, '--seeds', '1,4');
    expect(fs.readFileSync(file, 'utf8')).toBe(log);
    expect(fs.existsSync(path.join(out, 'tiny/runs/design-gaussian-seed-4'))).toBe(true);
  });

  test('goes on with a training at its step, knows when it is done, and adds up its time', async () => {
    const out = temporaryFolder();
    const asked = recipe('noise-kinds', 'Gaussian noise of 0.1', 'workbook');
    const experiment = tinyExperiment(asked.experiment(1));
    const begun: number[] = [];
    const options = (samples: number): ReproduceOptions => ({
      ...{ out, checkpoints: out, ledger: path.join(out, 'ledger.jsonl') },
      ...{ samples, batch: 2, repeats: 1, seed: 0, mode: 'eager' },
      openNetwork: async () => pixelNetwork(),
      open: (own, split) => tinyData(own, split, out),
      change: tinyExperiment,
      onBegin: ({ name }, step) => void begun.push(name === experiment.name ? step : Number.NaN),
    });
    const run = async (samples: number) =>
      reproduceRow(asked, await openSplits(asked, options(samples)), options(samples));
    expect(await isTrained(asked, experiment, options(4))).toBe(false);
    const first = await run(4);
    expect(first.seconds).toBeGreaterThan(0);
    expect(await isTrained(asked, experiment, options(4))).toBe(true);
    expect(await isTrained(asked, experiment, { out, seeds: [1, 2] })).toBe(false);
    const second = await run(6);
    expect(begun).toEqual([0, 2]);
    // Trainings on latents and followed ones have digests in their names; widths of noise have own ones.
    const runs = path.join(out, 'runs');
    const own = path.join(runs, `${experiment.name}-seed-1`);
    const [followed] = recipesOf('loss-and-distance', { scale: 'workbook' }) as [Recipe];
    const latent = recipesOf('latents-and-pixels', { scale: 'workbook' }).find(
      (each): each is Recipe => each.kind === 'recipe' && each.latents !== undefined,
    ) as Recipe;
    const longer = { ...experiment, settings: { ...experiment.settings, steps: 9 } };
    for (const [end, whose] of [
      ['', asked],
      ['-0123abcd', latent],
      ['-followed-0123abcd', followed],
    ] as const) {
      fs.renameSync(own, `${own}${end}`);
      for (const each of [asked, latent, followed]) {
        const isOwn = each === whose;
        expect(await isTrained(each, experiment, { out }), end).toBe(isOwn);
        expect(await threadsOfBegun(each, longer, { out })).toBe(isOwn ? 'divided' : undefined);
      }
      expect(await isTrained(whose, longer, { out })).toBe(false);
      fs.renameSync(`${own}${end}`, own);
    }
    const noises = recipe('noise-ablation', 'TarFlow, ablation at 64×64', 'workbook');
    for (const sigma of noiseWidths) {
      expect(await isTrained(noises, experiment, { out })).toBe(false);
      fs.cpSync(own, path.join(runs, `${experiment.name}-${sigma}-seed-1`), { recursive: true });
    }
    expect(await isTrained(noises, experiment, { out })).toBe(true);
    expect(second.seconds).toBeGreaterThan(first.seconds);
    const [name] = (fs.readdirSync(out, { recursive: true }) as string[]).filter((each) =>
      each.endsWith('working-time.json'),
    );
    const file = path.join(out, name as string);
    fs.writeFileSync(file, '{"seconds":1000}\n');
    expect((await run(6)).seconds).toBeGreaterThan(1000);
    const told = () => JSON.parse(fs.readFileSync(file, 'utf8')).seconds as number;
    const before = told();
    const stopped = { ...options(8), signal: AbortSignal.abort(new Error('stopped')) };
    await expect(reproduceRow(asked, await openSplits(asked, stopped), stopped)).rejects.toThrow();
    expect(told()).toBeGreaterThan(before);
    fs.writeFileSync(file, '{');
    await expect(run(6)).rejects.toThrow(/working-time\.json is not JSON.*Delete it/s);
  });

  test('goes on with the samples of a distance where they were stopped', async () => {
    const asked = recipe('noise-kinds', 'Gaussian noise of 0.1', 'workbook');
    const [out, whole] = [temporaryFolder(), temporaryFolder()];
    const shares: number[] = [];
    const run = async (folder: string, stopAt = 2) => {
      const controller = new AbortController();
      const options: ReproduceOptions = {
        ...{ out: folder, checkpoints: folder, ledger: path.join(folder, 'ledger.jsonl') },
        ...{ samples: 10, batch: 2, repeats: 1, seed: 0, mode: 'eager' },
        openNetwork: async () => pixelNetwork(),
        open: (own, split) => tinyData(own, split, folder),
        change: tinyExperiment,
        signal: controller.signal,
        onProgress: (share, what) => {
          if (what !== 'samples') return;
          shares.push(share);
          if (share >= stopAt) controller.abort(new Error('stopped'));
        },
      };
      return reproduceRow(asked, await openSplits(asked, options), options);
    };
    const samplesIn = (folder: string) =>
      (fs.readdirSync(folder, { recursive: true }) as string[]).filter((name) =>
        /samples-[0-9a-f]{16}\.safetensors$/.test(name),
      );
    await expect(run(out, 0.6)).rejects.toThrow('stopped');
    expect(shares).toEqual([0.2, 0.4, 0.6]);
    const [begun = ''] = samplesIn(out);
    expect(samplesIn(out)).toEqual([begun]);
    // What is damaged is made anew.
    const bytes = fs.readFileSync(path.join(out, begun));
    const copy = temporaryFolder();
    fs.cpSync(out, copy, { recursive: true });
    fs.writeFileSync(path.join(copy, begun), bytes.subarray(0, 100));
    await run(copy);
    expect(shares.splice(3)).toEqual([0.2, 0.4, 0.6, 0.8, 1]);
    const { figures } = await run(out);
    expect(shares.slice(3)).toEqual([0.8, 1]);
    expect(samplesIn(out)).toEqual([]);
    expect(figures).toEqual((await run(whole)).figures);
    expect(figures.find(({ measure }) => measure === 'FID')?.ours).toMatchObject({ n: 10 });
  });

  test('--cost tells what can be told of each row of each table without any data', async () => {
    const out = temporaryFolder();
    vi.stubEnv('TARFLOW_CACHE', path.join(out, 'no-data'));
    onTestFinished(() => void vi.unstubAllEnvs());
    for (const { id, rows } of papers.flatMap(({ tables }) => tables)) {
      for (const scale of ['paper', 'workbook'] as const) {
        const cost = ['reproduce', '--table', id, '--scale', scale, '--cost', '--out', out];
        const { stdout } = await succeeds(tarflow(...cost, '--json'));
        const told: RowCost[] = JSON.parse(stdout).rows;
        expect(told.map(({ row }) => row)).toEqual(rows.map(({ name }) => name));
        for (const [i, each] of told.entries()) {
          expectTold(each, rows[i] as (typeof rows)[number], scale);
        }
      }
    }
    expect(fs.readdirSync(out)).toEqual([]);
  });

  test('--cost is that of the whole training, or of an epoch where the paper does not say its length', async () => {
    const told = async (table: string, ...more: string[]) => {
      const cost = ['reproduce', '--table', table, '--scale', 'paper', '--cost', ...more];
      const { stdout } = await succeeds(tarflow(...cost));
      return stdout;
    };
    const [first] = (await told('fid-imagenet-256')).split('\n');
    expect(first).toMatch(
      /^STARFlow \(1\.4B\), latents: 1,410 million parameters; 1,281,167 training images \(ImageNet \(ILSVRC 2012\), arXiv 1409\.0575, from memory\); a step of 512 images: 4\.8e\+15 operations; an epoch: 1\.2e\+19 operations; training of 312 epochs, 780,624 steps: 3\.8e\+21 operations \(about [\d,]+ years\); .*; a sample 6\.3e\+12 operations \(guided\), 50,000 samples /,
    );
    for (const [table, images, epoch] of [
      ['fid-imagenet-512', '1,281,167', '5.9e+19'],
      ['text-to-image', '12,423,374', '3.1e+20'],
    ] as const) {
      const text = await told(table);
      expect(text).toContain(`${images} training images`);
      expect(text).toMatch(
        /an epoch: \S+ operations \(about .*\); the paper does not say the number of its epochs;/,
      );
      expect(text, table).toContain(`an epoch: ${epoch} `);
      expect(text).not.toMatch(/training of/);
    }
    // Batches are not told, and epochs are.
    const row = ['--row', 'ImageNet 64×64, conditional'];
    const batchless = await told('crm', ...row);
    expect(batchless).toMatch(/training of 300 epochs: \S+ operations/);
    expect(batchless).not.toMatch(/a step of/);
    expect(await told('crm', ...row, '--weights', 'some.pth')).toMatch(
      /parameters; weights are given; a sample/,
    );
    const twin = await tarflow('reproduce', '--table', 'noise-ablation', '--cost');
    expect(twin.stdout).toMatch(/5 trainings of 1,400 steps/);
  });

  test('numbers of training images are those of the data, where these are here', async () => {
    for (const table of ['gs-jacobi', 'latents-and-pixels', 'likelihood-fashion-mnist']) {
      for (const each of recipesOf(table, { scale: 'workbook' })) {
        if (each.kind === 'left out') continue;
        const { dataset, image } = imagesOfLatents(each);
        const count = await trainingImages(dataset, image);
        expect(each.training.images.count, `${table}, ${each.row}`).toBe(count);
      }
    }
  });
});

const counts = new Map<string, Promise<number>>();

function trainingImages(dataset: string, image: Recipe['image']): Promise<number> {
  const known = counts.get(dataset) ?? openDataset(dataset, 'train', { image });
  const count = Promise.resolve(known).then((each) =>
    typeof each === 'number' ? each : each.length,
  );
  counts.set(dataset, count);
  return count;
}

/** All is told of a row whose model is known, and why it is not run of every other. */
function expectTold(
  { row, leftOut, parameters, training, sampling }: RowCost,
  { paper, workbook }: (typeof papers)[number]['tables'][number]['rows'][number],
  scale: 'paper' | 'workbook',
): void {
  if (scale === 'paper' ? !paper : workbook === undefined) {
    expect(leftOut, row).toMatch(/./);
    expect(parameters).toBeUndefined();
    return;
  }
  expect(parameters, row).toBeGreaterThan(0);
  expect(sampling?.sampleOperations, row).toBeGreaterThan(0);
  if (!training) throw new Error(`Nothing is told of the training of ${row}`);
  expect(training.images.count, row).toBeGreaterThan(0);
  expect(training.epochOperations, row).toBeGreaterThan(0);
  const isLong = scale === 'workbook' || paper?.epochs !== undefined;
  expect(training.operations !== undefined, row).toBe(isLong);
  const isStep = scale === 'workbook' || paper?.batchSize !== undefined;
  expect(training.stepOperations !== undefined, row).toBe(isStep);
  if (!isLong) expect(training.untold).toContain('the number of its epochs');
}
