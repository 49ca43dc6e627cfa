import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from 'node:worker_threads';
import { UserError } from '../../core/errors.js';
import type { SourceDescription } from '../../data/source.js';
import type { ModelConfig } from '../../flow/model.js';
import type { Batch, BatchPlan, Share } from './plan.js';

/** What the thread is given: nothing of it is large, or it is shared. */
export interface BatchThreadData {
  config: ModelConfig;
  /** Names of the objectives, which the thread looks up: functions cannot be handed over. */
  objectives: string[];
  settings: BatchPlan['settings'];
  source: SourceDescription;
  share: Share;
  /** Takes the number of a step, gives a {@link Made}. */
  port: MessagePort;
  /** How many batches were made: one number, to wait at. */
  made: Int32Array;
}

/** A batch, or why there is none: the thread does not know the kind of model, or making it failed. */
export type Made =
  | { batch: Batch }
  | { unknown: string }
  | { mistake: { problem: string; remedy: string } }
  | { failure: unknown };

/** So many batches lie ready. */
const ahead = 2;

/** Checks for a failure of the thread so often, in milliseconds, while it waits for a batch. */
const patience = 100;

/** A thread that makes the batches of the steps from `first` to before `end`, some of them ahead. */
export class BatchThread {
  private readonly worker: Worker;
  private readonly port: MessagePort;
  private readonly made = new Int32Array(new SharedArrayBuffer(4));
  private taken = 0;
  private asked: number;
  private failure: unknown;

  constructor(
    { config, objectives, settings, data }: BatchPlan,
    private readonly first: number,
    private readonly end: number,
    share: Share,
    /** Makes the batches of a family that the thread does not know. */
    private readonly make: (step: number) => Promise<Batch>,
  ) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    const { batchSize, dropLabel, flip, noise, seed } = settings;
    const workerData: BatchThreadData = {
      config,
      objectives: objectives.map(({ name }) => name),
      settings: { batchSize, dropLabel, flip, noise, seed },
      source: data.description,
      share,
      port: port2,
      made: this.made,
    };
    this.worker = startedWorker({ workerData, transferList: [port2] });
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
      const received = receiveMessageOnPort(this.port) as { message: Made } | undefined;
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
