/**
 * Kinds of models at one cost, by the rules X1 to X4:
 *
 *     TARFLOW_RESULTS=results npx tsx test/benchmarks/peer-models.ts [--data fashion-mnist] [--only vae,gan]
 *
 * Each is trained by the learning rate that a sweep finds, and measured. Runs are in runs/peers/ and go on where
 * they were; models that results/peers/ has are left. All take about six hours on two cores, for each data set.
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { startEngine } from '../../src/core/engine.js';
import { readBytes, writeAtomically } from '../../src/core/files.js';
import { type ImageDataset, imagesTensor, loadDataset } from '../../src/data/index.js';
import { classifierNetwork, openFeatureNetwork } from '../../src/evaluation/named-network.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { type LoadedModel, loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { familyOf } from '../../src/models/registry.js';
import type { FeatureNetwork } from '../../src/pretrained/feature-network.js';
import { processorName } from '../../src/sampling/planner/machine.js';
import { saveImageGrid } from '../../src/show/image-grid.js';
import { startProgress } from '../../src/show/progress.js';
import type { Experiment } from '../../src/training/experiment.js';
import { RunFolder } from '../../src/training/run-folder.js';
import type { TrainingSettings } from '../../src/training/settings.js';
import { train } from '../../src/training/train.js';
import '../../workbook/data/emoji.js';
import { peers } from '../../workbook/experiments/peers.js';
import { testImages } from '../../workbook/notebook/dataset-images.js';
import { fashionClassifier } from '../../workbook/notebook/models.js';
import {
  type ComparedModel,
  type PeersRecord,
  readRecord,
  writeRecord,
} from '../../workbook/records/record.js';
import { resultFile } from '../../workbook/records/results-folder.js';
import { modelCost, trainingOperations } from '../../workbook/reproduction/cost.js';
import {
  type Drawing,
  distanceFrom,
  drawn,
  evaluationsOf,
  measureBits,
  measureImages,
  measureRoundTrip,
  timeSampling,
  type Yardstick,
  yardstick,
} from '../../workbook/reproduction/peer-measures.js';

const { values: options } = parseArgs({
  options: {
    data: { type: 'string', default: 'fashion-mnist' },
    only: { type: 'string' },
    /** Only takes the times of sampling again, of the models that are there: on an idle machine. */
    timings: { type: 'boolean', default: false },
    /** How this script calls itself for a training: a file with a {@link Task}. */
    task: { type: 'string' },
  },
});
const samples = 2000;
const weights = [0, 0.5, 1, 2];
const severalSeeds = ['tarflow', 'gan'];
const prefixes: Readonly<Record<string, string>> = {
  'fashion-mnist': 'peers',
  'emoji-base-32': 'peers-emoji',
};

/** A training in a process of its own, in which each thread computes a part of a batch. */
interface Task {
  experiment: Experiment;
  folder: string;
  /** Follow FD of samples at a tenth of the steps each. */
  follows: boolean;
}

async function main(): Promise<void> {
  if (options.task !== undefined) return work(JSON.parse(fs.readFileSync(options.task, 'utf8')));
  const { data: dataset, only } = options;
  const prefix = prefixes[dataset];
  if (prefix === undefined) throw new Error(`--data is one of ${Object.keys(prefixes).join(', ')}`);
  const own = peers.filter(({ name, dataset: of }) => of === dataset && name.startsWith(prefix));
  const chosen = own.filter(({ name }) => {
    return only === undefined || only.split(',').includes(name.slice(prefix.length + 1));
  });
  const { engine, version } = await startEngine();
  const file = resultFile(`peers/${dataset}.json`);
  const begun = await readRecord('peers', file);
  const data = await openData(dataset);
  const network = await openNetwork(dataset);
  const measure = await yardstick(network, data, samples);
  const record: PeersRecord = begun ?? {
    command: 'TARFLOW_RESULTS=results npx tsx test/benchmarks/peer-models.ts',
    ...{ cost: { cores: os.cpus().length }, date: '', processor: processorName() },
    versions: { engine: `${engine} (${version})`, node: process.version },
    ...{ dataset, network: network.name },
    real: await measureImages(measure, firstImages(data.test)),
    models: [],
  };
  if (options.timings) {
    for (const row of record.models) {
      if (!row.samples) continue;
      row.sampling = await samplingTimes(await modelOf(row), row.samples as Drawing);
      await writeRecord<'peers'>(file, record);
    }
    return;
  }
  const seeds = (name: string) =>
    severalSeeds.some((one) => name.endsWith(one)) ? [1, 2, 3] : [1];
  const rows = [1, 2, 3].flatMap((seed) =>
    chosen.filter(({ name }) => seeds(name).includes(seed)).map((one) => ({ one, seed })),
  );
  for (const { one, seed } of rows) {
    if (record.models.some((row) => row.model === one.name && row.seed === seed)) continue;
    // One sweep for all seeds of a model.
    const known = record.models.find(({ model }) => model === one.name)?.sweep;
    const sweep = known ?? (await swept(one, data, measure));
    const row = await trainedAndMeasured(one, seed, sweep, dataset, data, measure);
    record.models.push(row);
    record.date = new Date().toISOString();
    await writeRecord<'peers'>(file, record);
    console.log(one.name, seed, row.bits?.mean, row.samples?.FD);
  }
}

async function openData(dataset: string) {
  const [train, validation, test] = await Promise.all(
    (['train', 'validation', 'test'] as const).map((split) => loadDataset(dataset, split)),
  );
  return { train: train!, validation: validation!, test: test! };
}

async function openNetwork(dataset: string): Promise<FeatureNetwork> {
  if (dataset !== 'fashion-mnist') return openFeatureNetwork('efficientnet-lite0');
  return classifierNetwork(await fashionClassifier(), 'the classifier of clothes');
}

const firstImages = (data: ImageDataset) =>
  imagesTensor(
    data,
    Array.from({ length: Math.min(samples, data.length) }, (_, i) => i),
  );

/** Labels as often as training images have them. */
const labelsLike = ({ labels }: ImageDataset, count: number) =>
  Array.from({ length: count }, (_, i) => labels[Math.floor((i * labels.length) / count)]!);

const modelOf = ({ model, seed }: Pick<ComparedModel, 'model' | 'seed'>) =>
  loadCheckpoint(new RunFolder(runs(`${model}-seed-${seed}`)).checkpoint);

const runs = (name: string) => path.join('runs', 'peers', name);

async function trainedAndMeasured(
  experiment: Experiment,
  seed: number,
  sweep: ComparedModel['sweep'],
  dataset: string,
  data: Awaited<ReturnType<typeof openData>>,
  measure: Yardstick,
): Promise<ComparedModel> {
  const { learningRate } = sweep.reduce((best, one) => (one.value < best.value ? one : best));
  const whole = withSettings(experiment, { peakLearningRate: learningRate, seed });
  const folder = runs(`${experiment.name}-seed-${seed}`);
  const follows = severalSeeds.some((name) => experiment.name.endsWith(name));
  trainApart({ experiment: whole, folder, follows });
  const model = await modelOf({ model: experiment.name, seed });
  const { config, settings } = whole;
  const records = await new RunFolder(folder).records();
  const row: ComparedModel = {
    ...{ model: experiment.name, title: familyOf(config.kind).title(config), seed },
    parameters: modelCost(config).parameters,
    training: {
      ...{ steps: settings.steps, batchSize: settings.batchSize, learningRate },
      operations: trainingOperations(whole),
      seconds: records.reduce(
        (sum, { imagesPerSecond }) => sum + settings.batchSize / imagesPerSecond,
        0,
      ),
    },
    sweep,
    ...(follows && { course: await courseOf(folder) }),
  };
  const request = { models: { [`${experiment.name}-seed-${seed}`]: model } };
  const why = { measure: 'kinds of models', reason: 'the rules X1 to X4' };
  const test = await testImages(dataset, { ...request, ...why });
  const bits = await measureBits(model, test, Math.min(10_000, test.length));
  const roundTrip = await measureRoundTrip(model, test, Math.min(250, test.length));
  const measured = {
    ...row,
    ...(bits && { bits }),
    ...(roundTrip && { roundTrip }),
    ...(await measureSamples(model, data.train, measure)),
  };
  if (seed === 1) await drawStrip(model, measured, experiment.name);
  disposeModel(model);
  return measured;
}

/** What a tenth of the training gives by each of three learning rates. */
async function swept(
  experiment: Experiment,
  data: Awaited<ReturnType<typeof openData>>,
  { network, validation }: Yardstick,
): Promise<ComparedModel['sweep']> {
  const found: ComparedModel['sweep'] = [];
  const { peakLearningRate, steps } = experiment.settings;
  for (const factor of [0.5, 1, 2]) {
    const learningRate = peakLearningRate * factor;
    const short = Math.round(steps / 10);
    const part = { peakLearningRate: learningRate, steps: short, warmupSteps: 30 };
    const folder = runs(`${experiment.name}-sweep-${learningRate}`);
    const task = withSettings(experiment, { ...part, validateEvery: short, saveEvery: short });
    trainApart({ experiment: task, folder, follows: false });
    const last = (await new RunFolder(folder).records()).at(-1);
    let value = last?.validation?.loss ?? Number.POSITIVE_INFINITY;
    if (experiment.config.kind === 'gan') {
      const model = await loadCheckpoint(new RunFolder(folder).checkpoint);
      const images = await drawn(model, labelsLike(data.train, samples), { guidance: 0 }, 9);
      value = await distanceFrom(network, validation, images);
      images.dispose();
      disposeModel(model);
    }
    found.push({ learningRate, value });
  }
  return found;
}

function withSettings(experiment: Experiment, change: Partial<TrainingSettings>): Experiment {
  return { ...experiment, settings: { ...experiment.settings, ...change } };
}

/** Trains in another process, unless its folder has all steps. */
function trainApart(task: Task): void {
  const file = `${task.folder}.task.json`;
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify(task));
  const threads = String(os.availableParallelism());
  const env = { ...process.env, TF_NUM_INTRAOP_THREADS: '1', TF_NUM_INTEROP_THREADS: threads };
  const command = [...process.execArgv, ...process.argv.slice(1, 2), '--task', file];
  const { status } = spawnSync(process.execPath, command, { env, stdio: 'inherit' });
  if (status !== 0) throw new Error(`The training in ${task.folder} ended with ${status}`);
}

async function work({ experiment, folder, follows }: Task): Promise<void> {
  const { config, settings, dataset } = experiment;
  const done = await new RunFolder(folder).records().catch(() => []);
  if (done.length >= settings.steps) return;
  await startEngine();
  const data = await openData(dataset);
  const network = follows ? await openNetwork(dataset) : undefined;
  const measure = network && (await yardstick(network, data, samples));
  const asked = labelsLike(data.train, samples);
  const progress = startProgress({ title: path.basename(folder), total: settings.steps });
  const { model } = await train({
    ...{ family: familyOf(config.kind), config, settings, folder, experiment: experiment.name },
    ...{ data: data.train, validation: data.validation },
    resume: fs.existsSync(path.join(folder, 'run.json')),
    onStep: async ({ step, loss, validation }) => {
      progress.update(step, { loss });
      if (!measure || !validation) return;
      const now = await loadCheckpoint(new RunFolder(folder).checkpoint);
      const images = await drawn(now, asked, { guidance: 0 }, 8);
      const FD = await distanceFrom(measure.network, measure.training, images);
      const course = [...(await courseOf(folder)).filter((one) => one.step < step), { step, FD }];
      await writeAtomically(path.join(folder, 'course.json'), JSON.stringify(course));
      images.dispose();
      disposeModel(now);
    },
  });
  progress.finish();
  disposeModel(model);
}

async function courseOf(folder: string): Promise<{ step: number; FD: number }[]> {
  const file = path.join(folder, 'course.json');
  if (!fs.existsSync(file)) return [];
  return JSON.parse(new TextDecoder().decode(await readBytes(file)));
}

async function measureSamples(
  model: LoadedModel,
  train: ImageDataset,
  measure: Yardstick,
): Promise<Pick<ComparedModel, 'samples' | 'sampling'>> {
  const labels = labelsLike(train, samples);
  const few = labelsLike(train, 500);
  const quality = async (how: Drawing) => {
    const images = await drawn(model, few, how, 9);
    const found = await distanceFrom(measure.network, measure.validation, images);
    images.dispose();
    return found;
  };
  const diffuses = model.config.kind === 'diffusion';
  const guided = diffuses || model.family.blocks !== undefined;
  let how: Drawing = { guidance: 0, ...(diffuses && { rule: 'ddim' }) };
  const chosenFrom: number[] = [];
  if (guided) {
    for (const guidance of weights) chosenFrom.push(await quality({ ...how, guidance }));
    how = { ...how, guidance: weights[chosenFrom.indexOf(Math.min(...chosenFrom))]! };
  }
  if (diffuses) {
    const other: Drawing = { ...how, rule: 'heun' };
    chosenFrom.push(await quality(other));
    if (chosenFrom.at(-1)! < Math.min(...chosenFrom.slice(0, -1))) how = other;
  }
  const images = await drawn(model, labels, how, 1);
  const found = await measureImages(measure, images);
  images.dispose();
  const sampling = await samplingTimes(model, how);
  return { samples: { ...found, ...how, chosenFrom }, sampling };
}

async function samplingTimes(model: LoadedModel, how: Drawing) {
  const seconds = [
    { batch: 1, values: await timeSampling(model, how, 1, 3) },
    { batch: 250, values: await timeSampling(model, how, 250, 1) },
  ];
  return [{ how: 'as usual', evaluations: evaluationsOf(model, how), seconds }];
}

/** The first two samples of each class, in a row. */
async function drawStrip(
  model: LoadedModel,
  { samples: how }: ComparedModel,
  name: string,
): Promise<void> {
  const labels = Array.from({ length: 20 }, (_, i) => Math.floor(i / 2));
  const images = await drawn(model, labels, how as Drawing, 2);
  await saveImageGrid(images, resultFile(`peers/${name}.png`), { columns: 20 });
  images.dispose();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
