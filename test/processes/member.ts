// One of several processes, which mpirun starts: it trains a tiny flow together with the others, into
// folders of a folder. Each argument has the name of one, and what of the run to do: `whole`, `first`
// (its first steps) or `second` (it goes on).
import assert from 'node:assert/strict';
import * as path from 'node:path';
import { joinProcesses, startedProcess } from '@tarflow/graph';
import koffi from 'koffi';
import { startEngine } from '../../src/core/engine.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { type TrainingRun, train } from '../../src/training/train.js';
import { manyRun, stopAfter } from './run.js';

/** How the functions of the system that allocate memory begin. */
function codeOfMemory(): number[][] {
  const system = koffi.load('libc.so.6');
  return ['brk', 'sbrk', 'mmap', 'munmap', 'madvise'].map((name) =>
    Array.from(koffi.decode(system.symbol(name), 0, koffi.array('uint8', 8))),
  );
}

async function main([folder = '', ...parts]: readonly string[]): Promise<void> {
  const started = startedProcess();
  if (!started) throw new Error('Nothing started several processes.');
  await startEngine({ engine: 'tensorflow' });
  const before = codeOfMemory();
  const processes = joinProcesses(started);
  assert.deepEqual(codeOfMemory(), before, 'MPI has changed how memory is allocated.');
  for (const part of parts) {
    const [name = '', what] = part.split(':');
    const { validation, ...run } = manyRun(path.join(folder, name));
    const own = processes.rank === 0 ? { validation } : { folder: undefined };
    const stop = new AbortController();
    const onStep = ({ step }: { step: number }): void => {
      if (what === 'first' && step === stopAfter) stop.abort();
    };
    const how = { resume: what === 'second', onStep, signal: stop.signal, parallel: processes };
    const { model } = await train({ ...run, ...own, ...how } as TrainingRun);
    disposeModel(model);
  }
  await processes.leave();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(3);
});
