// One of several processes, which mpirun starts: it trains a tiny flow together with the others, into the
// folder `whole`; and into `halves` in two runs, of which the first stops after some steps.
import * as path from 'node:path';
import { startEngine } from '../../src/core/engine.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { joinProcesses, startedProcess } from '../../src/processes/index.js';
import { type TrainingRun, train } from '../../src/training/train.js';
import { manyRun, stopAfter } from './run.js';

async function main([folder = '', ...parts]: readonly string[]): Promise<void> {
  const started = startedProcess();
  if (!started) throw new Error('Nothing started several processes.');
  await startEngine({ engine: 'tensorflow' });
  const processes = joinProcesses(started);
  const run = async (name: string, more: Partial<TrainingRun>): Promise<void> => {
    const { validation, ...whole } = manyRun(path.join(folder, name));
    const own = processes.rank === 0 ? { validation } : { folder: undefined };
    const { model } = await train({ ...whole, ...own, parallel: processes, ...more } as TrainingRun);
    disposeModel(model);
  };
  if (parts.includes('whole')) await run('whole', {});
  if (parts.includes('first')) {
    const stop = new AbortController();
    const onStep = ({ step }: { step: number }) => {
      if (step === stopAfter) stop.abort();
    };
    await run('halves', { signal: stop.signal, onStep });
  }
  if (parts.includes('second')) await run('halves', { resume: true });
  await processes.leave();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(3);
});
