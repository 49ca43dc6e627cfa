/**
 * How a run draws noise, flips and dropped labels, and from which step on, counted from 0: a batch
 * at a time, as runs did at first, or for each sample by itself. Run.json holds a list of these.
 */
export interface Draws {
  from: number;
  by: 'batch' | 'sample';
}

/**
 * What run.json says of a run's draws from now on, which are those for each sample.
 *
 * @param recorded what it said so far; a run of before that was said drew a batch at a time
 * @param step the steps done, from which the run goes on
 */
export function drawsFrom(recorded: readonly Draws[] | undefined, step: number): Draws[] {
  const before = recorded ?? [{ from: 0, by: 'batch' }];
  if (before.at(-1)?.by === 'sample') return [...before];
  return [...before.filter(({ from }) => from < step), { from: step, by: 'sample' }];
}
