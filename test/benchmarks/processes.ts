/**
 * Two processes with a thread each beside one with a thread, in turns, on the training of a committed flow:
 *
 *     TARFLOW_RESULTS=results npx tsx test/benchmarks/processes.ts [--steps 40] [--rounds 3]
 *
 * Writes processes.json: images a second of both, and what of a step goes into the exchange. On an idle
 * machine; it refuses where others keep more than a fifth of the processor busy.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { busyShare } from '../../src/cli/training-threads.js';
import { UserError } from '../../src/core/errors.js';
import { writeAtomically } from '../../src/core/files.js';
import { processorName } from '../../src/sampling/planner/machine.js';
import { median } from '../../src/sampling/planner/timing.js';
import type { StepRecord } from '../../src/training/record.js';
import { resultFile } from '../../workbook/records/results-folder.js';

const experiment = 'fashion-mnist-conditional';
/** The first steps record the graph, and fill caches. */
const warmUp = 8;

interface Timed {
  imagesPerSecond: number;
  /** Of two processes. */
  traffic?: { means: number; bytes: number; waitingSeconds: number; exchangeSeconds: number };
}

/** A training of a few steps in a new folder. */
function timed(processes: number, steps: number): Timed {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-processes-'));
  try {
    const bin = path.join(__dirname, '..', '..', 'src', 'cli', 'bin.js');
    const plan = [
      `steps=${steps}`,
      'warmupSteps=1',
      `validateEvery=${steps}`,
      'validationImages=1',
    ];
    const words = ['train', '--experiment', experiment, '--mode', 'graph', '--json'];
    const stdout = execFileSync(
      process.execPath,
      [bin, ...words, '--processes', `${processes}`, '--out', folder, '--set', ...plan],
      {
        env: { ...process.env, TF_NUM_INTRAOP_THREADS: '1', TF_NUM_INTEROP_THREADS: '1' },
        stdio: ['ignore', 'pipe', 'inherit'],
        encoding: 'utf8',
      },
    );
    const log = fs.readFileSync(path.join(folder, 'log.jsonl'), 'utf8').trimEnd().split('\n');
    const records = log.map((line): StepRecord => JSON.parse(line)).slice(warmUp);
    const { traffic } = JSON.parse(stdout);
    return { imagesPerSecond: median(records.map((record) => record.imagesPerSecond)), traffic };
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      steps: { type: 'string', default: '40' },
      rounds: { type: 'string', default: '3' },
    },
  });
  const busy = await busyShare();
  if (busy > 0.2) {
    throw new UserError(
      `Other work keeps ${Math.round(100 * busy)} % of the processor busy`,
      'Measure on an idle machine',
    );
  }
  const [steps, rounds] = [Number(values.steps), Number(values.rounds)];
  const pairs = Array.from({ length: rounds }, () => ({
    one: timed(1, steps),
    two: timed(2, steps),
  }));
  const middle = (of: (pair: (typeof pairs)[number]) => number) => median(pairs.map(of));
  const ofMean = (of: 'bytes' | 'waitingSeconds' | 'exchangeSeconds') =>
    middle(({ two: { traffic } }) => (traffic ? traffic[of] / traffic.means : Number.NaN));
  const found = {
    machine: { processor: processorName(), cores: os.availableParallelism() },
    ...{ experiment, steps, rounds },
    imagesPerSecond: {
      one: middle(({ one }) => one.imagesPerSecond),
      two: middle(({ two }) => two.imagesPerSecond),
    },
    ratio: middle(({ one, two }) => two.imagesPerSecond / one.imagesPerSecond),
    eachStep: {
      megabytesSent: ofMean('bytes') / 1e6,
      exchangeSeconds: ofMean('exchangeSeconds'),
      waitingSeconds: ofMean('waitingSeconds'),
    },
  };
  console.log(JSON.stringify(found, null, 2));
  await writeAtomically(resultFile('processes.json'), `${JSON.stringify(found, null, 2)}\n`);
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
