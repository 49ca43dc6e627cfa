import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
  workerData,
} from 'node:worker_threads';
import { UserError } from '../../core/errors.js';
import { sourceOf } from '../../data/open.js';
import type { SourceDescription } from '../../data/source.js';
import type { Family, ModelConfig, Objective } from '../../flow/model.js';
import { type Batch, type BatchOptions, batchMaker, type Share } from './batches.js';

/** The batches of a run, one after the other. */
export interface BatchSource {
  /** @throws what making the batch threw, as the UserError of a file that cannot be read */
  next(): Promise<Batch>;
  close(): Promise<void>;
}

/** A thread of its own is worth its start from so many steps on. */
const manySteps = 100;

/**
 * The batches of the steps from `first` to before `end`, or a process's share of each. In a long run
 * a thread of its own makes them while the steps before them run; they are the same numbers. Those of
 * a family that is not in the registry are made here.
 *
 * @throws UserError where the processes do not divide the batch
 */
export function batchSource(
  options: BatchOptions,
  first: number,
  end: number,
  share: Share = { rank: 0, size: 1 },
): BatchSource {
  const make = batchMaker(options, share);
  if (end - first >= manySteps) return new BatchThread(options, first, end, share, make);
  let step = first;
  return { next: () => make(step++), close: async () => {} };
}

/** What the thread is told: nothing of it is large, or it is shared. */
interface BatchThreadData {
  config: ModelConfig;
  /** Names of the objectives, which the thread looks up: functions cannot be handed over. */
  objectives: string[];
  settings: BatchOptions['settings'];
  source: SourceDescription;
  share: Share;
  /** Takes the number of a step, gives a {@link Made}. */
  port: MessagePort;
  /** How many batches were made: one number, to wait at. */
  made: Int32Array;
}

/** A batch, or why there is none: the thread does not know the kind of model, or making it failed. */
type Made =
  | { batch: Batch }
  | { unknown: string }
  | { mistake: { problem: string; remedy: string } }
  | { failure: unknown };

/** So many batches lie ready. */
const ahead = 2;

/** Checks for a failure of the thread so often, in milliseconds, while it waits for a batch. */
const patience = 100;

/** A thread that makes the batches of the steps from `first` to before `end`, some of them ahead. */
class BatchThread implements BatchSource {
  private readonly worker: Worker;
  private readonly port: MessagePort;
  private readonly made = new Int32Array(new SharedArrayBuffer(4));
  private taken = 0;
  private asked: number;
  private failure: unknown;

  constructor(
    { config, objectives, settings, data }: BatchOptions,
    private readonly first: number,
    private readonly end: number,
    { rank, size }: Share,
    /** Makes the batches of a family that the thread does not know. */
    private readonly make: (step: number) => Promise<Batch>,
  ) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    const { batchSize, dropLabel, flip, noise, seed } = settings;
    const threadData: BatchThreadData = {
      config,
      objectives: objectives.map(({ name }) => name),
      settings: { batchSize, dropLabel, flip, noise, seed },
      source: data.description,
      share: { rank, size },
      port: port2,
      made: this.made,
    };
    this.worker = startedWorker({ workerData: threadData, transferList: [port2] });
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
      const received: { message: Made } | undefined = receiveMessageOnPort(this.port);
      if (received) {
        const { message } = received;
        if ('mistake' in message)
          throw new UserError(message.mistake.problem, message.mistake.remedy);
        if ('failure' in message) throw message.failure;
        const step = this.first + this.taken++;
        this.ask();
        return 'unknown' in message ? this.make(step) : message.batch;
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

/**
 * Starts the thread's module: built, or as source, which tsx reads. It lies among the models, of
 * which training knows none: only its path stands here.
 */
function startedWorker(options: ConstructorParameters<typeof Worker>[1]): Worker {
  const module = path.join(__dirname, '..', '..', 'models', 'batch-thread');
  if (existsSync(`${module}.js`)) return new Worker(`${module}.js`, options);
  const source = `${module}.ts`;
  const modules = [createRequire(source).resolve('tsx/cjs'), source];
  const script = modules.map((name) => `require(${JSON.stringify(name)});`).join(' ');
  return new Worker(script, { ...options, eval: true, execArgv: [] });
}

/**
 * The work of a thread that makes batches: those that its parent asks for by the number of a step.
 *
 * @param familyOf finds a family by the kind of its models, as closures do not come across
 */
export function serveBatches(familyOf: (kind: string) => Family): void {
  const threadData: BatchThreadData = workerData;
  const { config, objectives, settings, source, share, port, made } = threadData;
  const known = knownObjectives(familyOf, config, objectives);
  const make =
    known && batchMaker({ config, objectives: known, settings, data: sourceOf(source) }, share);
  const serve = async (step: number): Promise<void> => {
    const message: Made = make
      ? await make(step).then((batch) => ({ batch }), told)
      : { unknown: config.kind };
    const buffers = 'batch' in message ? buffersOf(message) : [];
    port.postMessage(message, buffers);
    Atomics.add(made, 0, 1);
    Atomics.notify(made, 0);
  };
  // One after the other: batches arrive in the order in which they were asked for.
  let last = Promise.resolve();
  port.on('message', (step: number) => {
    last = last.then(() => serve(step));
  });
}

/** The objectives of these names; none where the family is not one of ours. */
function knownObjectives(
  familyOf: (kind: string) => Family,
  config: ModelConfig,
  names: readonly string[],
): Objective[] | undefined {
  try {
    const all = familyOf(config.kind).objectives(config);
    const found = all.filter(({ name }) => names.includes(name));
    return found.length === names.length ? found : undefined;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

function buffersOf({ batch }: { batch: Batch }): ArrayBuffer[] {
  const arrays = Object.values(batch).flatMap((feeds) => Object.values(feeds));
  return [...new Set(arrays.map((array) => array.buffer as ArrayBuffer))];
}

/** An error as a message: classes do not come across. */
function told(error: unknown): Made {
  if (!(error instanceof UserError)) return { failure: error };
  return { mistake: { problem: error.problem, remedy: error.remedy } };
}
