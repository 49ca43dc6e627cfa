/**
 * Each kind of peer beside a kept implementation, by the rule "no straw men" in results/rules.md:
 *
 *     TARFLOW_RESULTS=results npx tsx test/benchmarks/kept-checks.ts
 *
 * Both sides train a tenth of the cost of report 10, at the learning rate of its record, on the same images, each
 * read once. What results/claims/peers-kept.json has stays; all takes about five hours on one core.
 */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { z } from 'zod';
import { startEngine } from '../../src/core/engine.js';
import { packageRoot } from '../../src/core/package-root.js';
import { tf } from '../../src/core/tf.js';
import { type ImageDataset, loadDataset } from '../../src/data/index.js';
import { classifierNetwork } from '../../src/evaluation/named-network.js';
import { meanWithError } from '../../src/evaluation/statistics.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { familyOf } from '../../src/models/registry.js';
import type { Experiment } from '../../src/training/experiment.js';
import { RunFolder } from '../../src/training/run-folder.js';
import { train } from '../../src/training/train.js';
import { peers } from '../../workbook/experiments/peers.js';
import { fashionClassifier } from '../../workbook/notebook/models.js';
import { costSince } from '../../workbook/notebook/timing.js';
import { readClaim, recordClaim } from '../../workbook/records/claim.js';
import { readRecord } from '../../workbook/records/record.js';
import { resultFile } from '../../workbook/records/results-folder.js';
import { trainingOperations } from '../../workbook/reproduction/cost.js';
import {
  distanceFrom,
  drawn,
  type Yardstick,
  yardstick,
} from '../../workbook/reproduction/peer-measures.js';
import { peerPython, peersFolder } from './peer-environment.js';

const kinds = ['epsilon', 'v', 'rectified-flow', 'vae', 'pixelcnn', 'gan'] as const;
const folder = path.join('runs', 'kept');
const samples = 2000;
/** Steps at the end of a training whose mean loss is compared. */
const told = 40;

const answer = z.object({
  library: z.string(),
  parameters: z.number(),
  steps: z.number(),
  losses: z.array(z.number()),
});

async function main(): Promise<void> {
  await startEngine();
  fs.mkdirSync(folder, { recursive: true });
  const [train, validation, test] = await Promise.all(
    (['train', 'validation', 'test'] as const).map((split) => loadDataset('fashion-mnist', split)),
  );
  const network = classifierNetwork(await fashionClassifier(), 'the classifier of clothes');
  const measure = await yardstick(
    network,
    { train: train!, validation: validation!, test: test! },
    samples,
  );
  const record = await readRecord('peers', resultFile('peers/fashion-mnist.json'));
  const before = await readClaim('peers-kept');
  const figures: Record<string, number> = { ...before?.figures };
  const errors: Record<string, number> = { ...before?.errors };
  const found: Record<string, unknown> = { ...before?.found };
  for (const kind of kinds) {
    const known = record?.models.find(({ model }) => model === `peers-${kind}`);
    if (!known || figures[`kept, ${kind}`] !== undefined) continue;
    const begun = performance.now();
    const { learningRate } = known.training;
    const whole = peers.find(({ name }) => name === `peers-${kind}`)!;
    const steps = Math.round(whole.settings.steps / 10);
    const settings = { ...whole.settings, steps, peakLearningRate: learningRate, warmupSteps: 30 };
    const tenth = { ...whole, settings: { ...settings, validateEvery: steps, saveEvery: steps } };
    const ours = await trained(tenth, measure, train!, validation!);
    const kept = await keptOne(kind, tenth, measure, train!);
    Object.assign(figures, { [`ours, ${kind}`]: ours.mean, [`kept, ${kind}`]: kept.mean });
    Object.assign(errors, { [`ours, ${kind}`]: ours.error, [`kept, ${kind}`]: kept.error });
    found[kind] = { learningRate, steps, ...kept.about };
    const cost = costSince(begun);
    const seconds = Number((await readClaim('peers-kept'))?.cost.seconds ?? 0);
    await recordClaim('peers-kept', figures, {
      configuration: { operations: 'a tenth of those of report 10', data: 'fashion-mnist' },
      ...{ errors, found, n: `${told} steps; GAN: ${samples} samples`, seed: 1 },
      cost: { ...cost, seconds: seconds + cost.seconds },
    });
    console.log(kind, ours, kept);
  }
}

interface Measured {
  mean: number;
  error?: number;
}

/** The mean loss of our last steps, and of a GAN the distance of its samples. */
async function trained(
  { config, settings, name }: Experiment,
  measure: Yardstick,
  data: ImageDataset,
  validation: ImageDataset,
): Promise<Measured> {
  const own = path.join(folder, name);
  const family = familyOf(config.kind);
  const begun = fs.existsSync(path.join(own, 'run.json'));
  const options = { family, config, settings, folder: own, resume: begun, data, validation };
  disposeModel((await train(options)).model);
  const run = new RunFolder(own);
  if (config.kind !== 'gan') {
    return measuredBy((await run.records()).map(({ loss }) => loss));
  }
  const model = await loadCheckpoint(run.checkpoint);
  const labels = Array.from({ length: samples }, (_, i) => {
    return data.labels[Math.floor((i * data.length) / samples)]!;
  });
  const images = await drawn(model, labels, { guidance: 0 }, 1);
  disposeModel(model);
  return distanceOf(images, measure);
}

function measuredBy(losses: readonly number[]): Measured {
  const { mean, standardError } = meanWithError(losses.slice(-told));
  return { mean, error: standardError };
}

async function distanceOf(images: tf.Tensor4D, { network, training }: Yardstick) {
  const mean = await distanceFrom(network, training, images);
  images.dispose();
  return { mean };
}

/** The same of a kept implementation, in a process of Python; a GAN once by our rates and once by its own. */
async function keptOne(
  kind: (typeof kinds)[number],
  experiment: Experiment,
  measure: Yardstick,
  data: ImageDataset,
): Promise<Measured & { about: object }> {
  const { image, settings } = { ...experiment.config, settings: experiment.settings };
  const files = { images: path.join(folder, 'images.u8'), labels: path.join(folder, 'labels.u8') };
  fs.writeFileSync(files.images, data.pixels);
  fs.writeFileSync(files.labels, Uint8Array.from(data.labels));
  const { channels, height, width } = image;
  const task = {
    ...{ kind, ...files, shape: [channels, height, width], batchSize: settings.batchSize },
    operations: trainingOperations(experiment),
  };
  const ways =
    kind === 'gan'
      ? [
          { learningRate: settings.peakLearningRate, discriminatorSteps: 1 },
          { learningRate: 2e-4, discriminatorSteps: 5 },
        ]
      : [{ learningRate: settings.peakLearningRate }];
  const all: (Measured & { about: object })[] = [];
  for (const way of ways) {
    const drawings = path.join(folder, 'samples.f32');
    const file = path.join(folder, 'task.json');
    fs.writeFileSync(file, JSON.stringify({ ...task, ...way, samples: drawings }));
    const python = peerPython(packageRoot(), 'kept');
    const script = path.join(peersFolder, 'kept_models.py');
    const said = execFileSync(python, [script, file], { encoding: 'utf8' });
    const { losses, ...about } = answer.parse(JSON.parse(said.trim().split('\n').at(-1)!));
    const values = () => new Float32Array(new Uint8Array(fs.readFileSync(drawings)).buffer);
    const measured =
      kind === 'gan'
        ? await distanceOf(tf.tensor4d(values(), [samples, channels, height, width]), measure)
        : measuredBy(losses);
    all.push({ ...measured, about: { ...about, ...way } });
  }
  return all.reduce((best, one) => (one.mean < best.mean ? one : best));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
