import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from 'node:worker_threads';
import { foldIn, type RandomKey, randomKey, uniform } from '../backend/random.js';
import { mixtureRows } from '../conditions/labels.js';
import { epochOrder, type ImageDataset, labelBatch, pixelBatch } from '../data/dataset.js';
import type { TarFlowConfig } from '../models/tarflow/config.js';
import { flipAtRandom } from './flip.js';
import { type Noise, noisyImages } from './noise.js';
import type { TrainingSettings } from './settings.js';

/** What the batches of a run depend on. */
export interface BatchPlan {
  config: Pick<TarFlowConfig, 'classes'>;
  settings: Pick<TrainingSettings, 'batchSize' | 'dropLabel' | 'flip' | 'noise' | 'seed'>;
  data: ImageDataset;
}

/** A training batch on the host. */
export interface Batch {
  /** Noisy images (batch, channels, height, width), row by row. */
  images: Float32Array;
  /** Mixtures of classes (batch, classes), where the model has classes. */
  classes?: Float32Array;
}

/**
 * Noisy images, and class mixtures where the model has classes, some of the labels dropped.
 *
 * @param indices of the images in the data set
 */
export function trainingBatch(
  { config, data, settings }: BatchPlan,
  indices: Int32Array,
  key: RandomKey,
): Batch {
  const pixels = pixelBatch(data, indices);
  if (settings.flip) flipAtRandom(pixels, data.image, foldIn(key, 'flip'));
  const images = noisyImages(pixels, settings.noise as Noise, foldIn(key, 'noise'));
  if (config.classes === 0) return { images };
  const labels = labelBatch(data, indices);
  const draws = uniform(foldIn(key, 'drop label'), labels.length);
  const kept = labels.map((label, i) => ((draws[i] as number) < settings.dropLabel ? -1 : label));
  return { images, classes: mixtureRows(kept, kept.length, config.classes) };
}

/**
 * Makes the batch of any step of a run, counted from 0. It depends on the seed and the step alone;
 * steps in ascending order are quickest.
 */
export function batchMaker(plan: BatchPlan): (step: number) => Batch {
  const { data, settings } = plan;
  const key = randomKey(settings.seed);
  const stepsPerEpoch = Math.floor(data.length / settings.batchSize);
  let epoch: number | undefined;
  let order: Int32Array = new Int32Array();
  return (step) => {
    if (epoch !== Math.floor(step / stepsPerEpoch)) {
      epoch = Math.floor(step / stepsPerEpoch);
      order = epochOrder(data, key, epoch);
    }
    const first = (step % stepsPerEpoch) * settings.batchSize;
    const indices = order.subarray(first, first + settings.batchSize);
    return trainingBatch(plan, indices, foldIn(foldIn(key, 'step'), step));
  };
}

/** The batches of a run, one after the other. */
export interface BatchSource {
  next(): Promise<Batch>;
  close(): Promise<void>;
}

/** A thread of its own is worth its start from so many steps on. */
const manySteps = 100;

/**
 * The batches of the steps from `first` to before `end`. In a long run a thread of its own makes
 * them while the steps before them run; they are the same numbers.
 */
export function batchSource(plan: BatchPlan, first: number, end: number): BatchSource {
  if (end - first >= manySteps) return new BatchThread(plan, first, end);
  const make = batchMaker(plan);
  let step = first;
  return { next: async () => make(step++), close: async () => {} };
}

/** What the thread is given. */
export interface BatchThreadData {
  plan: BatchPlan;
  /** Takes the number of a step, gives a batch. */
  port: MessagePort;
  /** How many batches were made: one number, to wait at. */
  made: Int32Array;
}

/** So many batches lie ready. */
const ahead = 2;

/** Checks for a failure of the thread so often, in milliseconds, while it waits for a batch. */
const patience = 100;

class BatchThread implements BatchSource {
  private readonly worker: Worker;
  private readonly port: MessagePort;
  private readonly made = new Int32Array(new SharedArrayBuffer(4));
  private taken = 0;
  private asked: number;
  private failure: Error | undefined;

  constructor(
    { config, settings, data }: BatchPlan,
    first: number,
    private readonly end: number,
  ) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    // Only what batches depend on: the rest of a run holds tensors, which cannot be handed over.
    const { batchSize, dropLabel, flip, noise, seed } = settings;
    const plan: BatchPlan = {
      config: { classes: config.classes },
      settings: { batchSize, dropLabel, flip, noise, seed },
      data: { ...data, captions: [] },
    };
    const workerData: BatchThreadData = { plan, port: port2, made: this.made };
    this.worker = startedWorker('batch-thread', { workerData, transferList: [port2] });
    this.worker.once('error', (error) => {
      this.failure = error;
    });
    this.asked = first;
    for (let i = 0; i < ahead; i++) this.ask();
    // Neither keeps the process alive when nothing else does.
    this.worker.unref();
    this.port.unref();
  }

  async next(): Promise<Batch> {
    for (;;) {
      const received = receiveMessageOnPort(this.port) as { message: Batch } | undefined;
      if (received) {
        this.taken++;
        this.ask();
        return received.message;
      }
      Atomics.wait(this.made, 0, this.taken, patience);
      // A failure of the thread is told to the event loop.
      await new Promise(setImmediate);
      if (this.failure) throw this.failure;
    }
  }

  async close(): Promise<void> {
    this.port.close();
    await this.worker.terminate();
  }

  private ask(): void {
    if (this.asked < this.end) this.port.postMessage(this.asked++);
  }
}

/** Starts a thread that runs a module of this folder: built, or as source, which tsx reads. */
function startedWorker(name: string, options: ConstructorParameters<typeof Worker>[1]): Worker {
  const built = path.join(__dirname, `${name}.js`);
  if (existsSync(built)) return new Worker(built, options);
  const source = path.join(__dirname, `${name}.ts`);
  const modules = [createRequire(source).resolve('tsx/cjs'), source];
  const script = modules.map((module) => `require(${JSON.stringify(module)});`).join(' ');
  return new Worker(script, { ...options, eval: true, execArgv: [] });
}
