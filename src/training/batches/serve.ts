import { workerData } from 'node:worker_threads';
import { UserError } from '../../backend/errors.js';
import { sourceOf } from '../../data/open.js';
import type { Family } from '../../flow/model.js';
import { batchMaker } from './plan.js';
import type { BatchThreadData, Made } from './thread.js';

/**
 * The work of a thread that makes batches: those that its parent asks for by the number of a step.
 *
 * @param familyOf finds a family by the kind of its models, as closures do not come across
 */
export function serveBatches(familyOf: (kind: string) => Family): void {
  const { config, objectives, settings, source, share, port, made } = workerData as BatchThreadData;
  const plan = {
    config,
    objectives: familyOf(config.kind)
      .objectives(config)
      .filter(({ name }) => objectives.includes(name)),
    settings,
    data: sourceOf(source),
  };
  const make = batchMaker(plan, share);
  const serve = async (step: number): Promise<void> => {
    const message: Made = await make(step).then((batch) => ({ batch }), told);
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

function buffersOf({ batch }: { batch: Record<string, object> }): ArrayBuffer[] {
  const arrays = Object.values(batch).flatMap((feeds) => Object.values(feeds));
  return [...new Set(arrays.map((array: Float32Array) => array.buffer as ArrayBuffer))];
}

/** An error as a message: classes do not come across. */
function told(error: unknown): Made {
  if (!(error instanceof UserError)) return { failure: error };
  return { mistake: { problem: error.problem, remedy: error.remedy } };
}
