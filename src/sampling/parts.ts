import { counted, UserError } from '../core/errors.js';

/** One part of a work that several processes share: the first is number 1. */
export interface Part {
  number: number;
  of: number;
}

/**
 * The samples of a part: whole batches, so that they are those of one process, bit for bit.
 * @throws UserError where there are more parts than batches
 */
export function samplesOfPart(
  samples: number,
  batch: number,
  { number, of }: Part,
): { from: number; count: number } {
  const batches = Math.ceil(samples / batch);
  if (of > batches) {
    const came = `--part ${number}/${of} came for ${counted(samples, 'sample')}`;
    const problem = `${came}, which are drawn ${batch} at a time`;
    throw new UserError(problem, `Expected at most ${counted(batches, 'part')}`);
  }
  const first = (part: number): number =>
    Math.min(samples, batch * Math.floor((part * batches) / of));
  return { from: first(number - 1), count: first(number) - first(number - 1) };
}
