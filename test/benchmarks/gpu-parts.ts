import * as fs from 'node:fs';
import * as path from 'node:path';
import type { EngineReport } from '../../src/core/engine.js';
import { packageRoot } from '../../src/core/package-root.js';
import { median } from '../../src/sampling/planner/timing.js';
import { RunFolder } from '../../src/training/run-folder.js';
import { peerTitles, readBenchmarks } from '../../workbook/records/benchmarks.js';
import { type GpuReport, type PaperStrategies, readRecord } from '../../workbook/records/record.js';
import type { ConformRow } from '../conformance/conform.js';
import { publishedModels } from './published-models.js';

type Figure = GpuReport['parts'][number]['figures'][number];

/** The figures of a part, and what has to be said of it. */
export interface Found {
  figures: Figure[];
  note?: string;
}

/** One part of the report. */
export interface Part {
  name: string;
  title: string;
  /** What follows `node --import tsx`, from the project's folder; OUT stands for a folder of this part. */
  words: string[];
  env?: Record<string, string>;
  /** Whether nothing else is measured where it fails. */
  decides?: boolean;
  /** Why it cannot run here, if so. */
  lacks?: () => string | undefined;
  /** What it found, from its output and that folder. */
  found(stdout: string, folder: string): Promise<Found> | Found;
}

const cli = path.join('src', 'cli', 'bin.js');
const golden = path.join('test', 'golden');

/** The parts, in their order. */
export function gpuParts(tiny: boolean): Part[] {
  return [
    conformance('engine', 'The engine', tiny, false),
    ...(tiny ? [] : [conformance('conformance', 'Conformance with the golden files', tiny, true)]),
    ...benchmarks(tiny),
    ...accelerations(tiny),
    ...paperSizes(tiny),
    ...paperStrategies(tiny),
    ...trainings(tiny),
  ];
}

/** What `npm run conform` prints with --json. */
interface Conformance {
  engine: EngineReport;
  files: { rows: ConformRow[] }[];
}

/**
 * Conformance with golden files: of the smallest whole model, which says whether the device is used at all,
 * or of all of them.
 */
function conformance(name: string, title: string, tiny: boolean, all: boolean): Part {
  const folder = path.join(packageRoot(), golden);
  const size = (file: string) => fs.statSync(path.join(folder, file)).size;
  const files = fs
    .readdirSync(folder)
    .filter((file) => /^[ts]f.*\.safetensors$/.test(file))
    .sort((a, b) => size(a) - size(b))
    .map((file) => path.join(golden, file));
  const whole = files.filter((file) => !file.includes('_gsj'));
  return {
    ...{ name, title, decides: !all },
    // The golden files' tolerances are those of float32.
    env: { NVIDIA_TF32_OVERRIDE: '0' },
    words: ['test/conformance/run.ts', '--json', ...(all && !tiny ? files : whole.slice(0, 1))],
    found(stdout) {
      const { engine, files }: Conformance = JSON.parse(stdout);
      if (!tiny && !engine.gpu) {
        throw new Error(
          'TensorFlow computes on the processor: `npx tarflow doctor` says what is missing',
        );
      }
      const rows = files.flatMap((file) => file.rows);
      const share = Math.max(...rows.map(({ error, bound }) => error / bound));
      const conform = rows.filter(({ pass }) => pass).length;
      return {
        note: engine.version,
        figures: [
          { name: 'tensors that conform', value: conform, unit: `of ${rows.length}` },
          { name: 'largest error', value: share, unit: 'of its bound' },
        ],
      };
    },
  };
}

/** Beside PyTorch and JAX, by what is measured. */
function benchmarks(tiny: boolean): Part[] {
  const works = {
    training: '^training step',
    forward: '^forward',
    sampling: '^sampling',
    denoising: '^denoising',
  };
  return Object.entries(tiny ? { training: '^training step.*4-64-2-1' } : works).map(
    ([name, only]) => ({
      ...{ name: `benchmark-${name}`, title: `Benchmark: ${name}` },
      words: [
        'test/benchmarks/bench.ts',
        '--only',
        only,
        ...(tiny ? ['--quick'] : ['--repetitions', '9']),
      ],
      lacks: () =>
        tiny && !fs.existsSync(path.join(packageRoot(), '.venv-bench'))
          ? 'PyTorch is not installed in .venv-bench, which `npm run bench` makes'
          : undefined,
      async found(_, folder) {
        // What --quick measures is not kept.
        const machines = tiny ? [] : await readBenchmarks(path.join(folder, 'benchmarks.json'));
        const figures = machines.flatMap(({ comparison }) =>
          comparison.map(({ name, configuration, batch, precision, ratio, best }) => ({
            name: `${name}, ${configuration}, batch ${batch}, ${precision}`,
            value: ratio,
            unit: `of the time of ${peerTitles[best]}`,
          })),
        );
        return { figures };
      },
    }),
  );
}

/** Table 1: the papers' strategies on committed flows, a part for each batch. */
function accelerations(tiny: boolean): Part[] {
  const flows = [
    ['fashion-mnist-conditional-8x2', 'fashion-mnist'],
    ['emoji-256-tokens', 'emoji-base-32'],
    ['emoji-1024-tokens', 'emoji-base-64'],
  ] as const;
  const [batches, repeats] = tiny ? [[1], 1] : [[1, 8, 32, 128, 256], 3];
  return flows.slice(0, tiny ? 1 : undefined).flatMap(([flow, data]) =>
    batches.map((batch) => ({
      name: `acceleration-${flow}-${batch}`,
      title: `Strategies of the papers: ${flow}, ${batch} at once`,
      words: [
        ...[cli, 'accelerate', `results/checkpoints/${flow}.safetensors`, '--data', data],
        ...['--label', '0', '--guidance', '1', '--annealed'],
        ...['--batch', `${batch}`, '--repeats', `${repeats}`, '--out', 'OUT/table.json'],
      ],
      async found(_: string, folder: string) {
        const found = await readRecord('acceleration', path.join(folder, 'table.json'));
        const rows = (found?.tables ?? []).flatMap((table) => table.rows);
        const figures = rows.flatMap(({ strategy, speedup, milliseconds, error }) => [
          { name: strategy, value: milliseconds / 1000, unit: 's' },
          {
            name: strategy,
            value: speedup,
            unit: `× sequential, error ${error.toPrecision(2)}`,
          },
        ]);
        return { figures };
      },
    })),
  );
}

/** Blocks of the published sizes with random weights: what a pass takes, and so how many may be made. */
function paperSizes(tiny: boolean): Part[] {
  const chosen = tiny ? ['float32'] : ['float32', 'bfloat16'];
  return chosen.map((precision) => ({
    ...{ name: `paper-size-${precision}`, title: `A block of each published size, ${precision}` },
    words: [
      ...['test/benchmarks/paper-size.ts', '--precision', precision, '--rounds', tiny ? '1' : '3'],
      ...(tiny ? ['--tiny', '--batches', '1'] : ['--batches', '1,8,32']),
    ],
    async found(_, folder) {
      const found = await readRecord(
        'paper size',
        path.join(folder, 'acceleration', 'paper-size.json'),
      );
      const figures = (found?.rows ?? []).flatMap(
        ({ model, tokens, batch, loopSeconds, evaluationSeconds }) => {
          const [loop, evaluation] = [median(loopSeconds), median(evaluationSeconds)];
          const name = `${model}, ${tokens} tokens, batch ${batch}`;
          return [
            { name: `${name}: loop`, value: loop, unit: 's' },
            { name: `${name}: n*`, value: loop / evaluation, unit: 'iterations that take as long' },
          ];
        },
      );
      return { figures };
    },
  }));
}

/** Flows of the published sizes with random weights, by the papers' strategies and iterations. */
function paperStrategies(tiny: boolean): Part[] {
  // The first of them that both papers have.
  const models = publishedModels().filter(({ name }) => !tiny || name === 'afhq');
  return models.map(({ name: model, title }) => ({
    ...{
      name: `paper-strategies-${model}`,
      title: `Random weights, strategies of the papers: ${title}`,
    },
    words: [
      ...['test/benchmarks/paper-strategies.ts', '--model', model, '--out', 'OUT/strategies.json'],
      ...(tiny ? ['--tiny', '--batch', '2'] : []),
    ],
    async found(_, folder) {
      const found = await readRecord('paper strategies', path.join(folder, 'strategies.json'));
      if (!found) return { figures: [] };
      return { figures: strategyFigures(found), note: strategyNote(found) };
    },
  }));
}

/** The time of each strategy, and how many times as fast it is. */
function strategyFigures({ rows }: PaperStrategies): Figure[] {
  const loop = median(rows[0]?.seconds ?? []);
  return rows.flatMap(({ strategy, seconds, evaluations, published }, place) => {
    const time = median(seconds);
    if (place === 0) return [{ name: strategy, value: time, unit: 's' }];
    const reported =
      published === undefined ? '' : `; reported: ${published}, over its authors’ loop`;
    return [
      { name: strategy, value: time, unit: `s; evaluations by block: ${evaluations.join(' ')}` },
      { name: strategy, value: loop / time, unit: `× sequential${reported}` },
    ];
  });
}

/** What was timed, and at which batch. */
function strategyNote({ batches, timed, notes, blocks, guidance }: PaperStrategies): string {
  const { measured, published } = batches;
  return [
    measured < published ? `batch ${measured}, the papers’ is ${published}` : `batch ${measured}`,
    guidance ? `guidance ${guidance.weight}` : 'no guidance',
    timed === 'flow' ? `the whole flow of ${blocks} blocks` : `one of ${blocks} blocks`,
    ...notes,
  ].join('; ');
}

/** A short training: that it goes down, and how fast. */
function trainings(tiny: boolean): Part[] {
  const settings = tiny
    ? ['steps=3', 'batchSize=4', 'warmupSteps=1', 'validateEvery=3', 'validationImages=4']
    : ['steps=600', 'warmupSteps=60', 'validateEvery=300'];
  return ['float32', 'bfloat16'].slice(0, tiny ? 1 : 2).map((precision) => ({
    ...{
      name: `training-${precision}`,
      title: `A short training of fashion-mnist-conditional, ${precision}`,
    },
    words: [
      ...[cli, 'train', '--experiment', 'fashion-mnist-conditional', '--out', 'OUT/run', '--json'],
      ...['--set', ...settings, `precision=${precision}`],
    ],
    async found(_, folder) {
      const records = await new RunFolder(path.join(folder, 'run')).records();
      const late = records.slice(Math.floor(records.length / 2));
      const figures = [
        {
          name: 'images a second',
          value: median(late.map(({ imagesPerSecond }) => imagesPerSecond)),
          unit: '',
        },
        {
          name: 'loss at first',
          value: records[0]?.loss ?? Number.NaN,
          unit: 'nats per dimension',
        },
        {
          name: 'loss at the end',
          value: records.at(-1)?.loss ?? Number.NaN,
          unit: 'nats per dimension',
        },
      ];
      return { figures };
    },
  }));
}
