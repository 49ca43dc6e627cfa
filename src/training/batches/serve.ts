import { workerData } from 'node:worker_threads';
import { UserError } from '../../core/errors.js';
import { sourceOf } from '../../data/open.js';
import type { Family, ModelConfig, Objective } from '../../flow/model.js';
import { batchMaker } from './plan.js';
import type { BatchThreadData, Made } from './thread.js';

/**
 * The work of a thread that makes batches: those that its parent asks for by the number of a step.
 *
 * @param familyOf finds a family by the kind of its models, as closures do not come across
 */
export function serveBatches(familyOf: (kind: string) => Family): void {
  const { config, objectives, settings, source, share, port, made } = workerData as BatchThreadData;
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

function buffersOf({ batch }: { batch: Record<string, object> }): ArrayBuffer[] {
  const arrays = Object.values(batch).flatMap((feeds) => Object.values(feeds));
  return [...new Set(arrays.map((array: Float32Array) => array.buffer as ArrayBuffer))];
}

/** An error as a message: classes do not come across. */
function told(error: unknown): Made {
  if (!(error instanceof UserError)) return { failure: error };
  return { mistake: { problem: error.problem, remedy: error.remedy } };
}
