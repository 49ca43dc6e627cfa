import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { findMpi } from '../../data-scripts/lib/processes.mjs';
import { bestName } from '../../src/training/checkpoint.js';
import { stateName } from '../../src/training/saved-state.js';
import { ranksOf } from '../processes/ranks.js';
import { temporaryFolder } from '../temporary-folder.js';

const steps = 150;

const tiny = [
  ...[
    'patchSize=7',
    'channels=16',
    'headWidth=16',
    'blocks=2',
    'layersPerBlock=1',
    'batchSize=128',
  ],
  ...[`steps=${steps}`, 'warmupSteps=1', 'saveEvery=2', 'validateEvery=3', 'validationImages=64'],
  ...['flip=true', 'averageDecay=0.9'],
];

/** When a process is killed: so many ms after it went on, or as it writes a file after that. */
interface Moment {
  after: number;
  writing: boolean;
}

/** How the steps of a run are made, how often it is killed, and what it may say of that. */
interface Way {
  words: readonly string[];
  kills: number;
  mayEndWith: number | null;
}

const ways: Record<string, Way> = {
  'op by op': { words: ['--mode', 'eager'], kills: 200, mayEndWith: null },
  'as one graph': { words: ['--mode', 'graph'], kills: 20, mayEndWith: null },
  // One of them is killed, and the others end and say so.
  'in two processes': { words: ['--mode', 'eager', '--processes', '2'], kills: 20, mayEndWith: 2 },
};

/** `tarflow train` in a folder, which begins or goes on, until it ends or is killed: whether it ended. */
async function trainUntil(
  out: string,
  { words, mayEndWith }: Way,
  moment: Moment | undefined,
): Promise<boolean> {
  const log = path.join(out, 'log.jsonl');
  const goesOn = fs.existsSync(path.join(out, 'run.json'));
  const begin = ['--experiment', 'mnist-demonstration', '--set', ...tiny];
  const bin = path.join(__dirname, '..', '..', 'src', 'cli', 'bin.js');
  const child = spawn(
    process.execPath,
    [bin, 'train', '--out', out, ...words, ...(goesOn ? ['--resume'] : begin)],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let isKilled = false;
  const kill = () => {
    if (isKilled || child.exitCode !== null) return;
    isKilled = true;
    // Of several processes one, whichever; mpirun ends the others.
    const all = mayEndWith === null ? [child.pid!] : ranksOf(child);
    process.kill(all[Math.floor(Math.random() * all.length)]!, 'SIGKILL');
  };
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  onTestFinished(() => void child.kill('SIGKILL'));
  const size = () => (fs.existsSync(log) ? fs.statSync(log).size : 0);
  const before = size();
  while (moment && child.exitCode === null && size() <= before) await sleep(5);
  if (moment && child.exitCode === null) {
    await sleep(moment.after);
    if (moment.writing) {
      const watcher = fs.watch(out, (_, name) => {
        if (name?.endsWith('.tmp')) kill();
      });
      await Promise.race([ended, sleep(2000)]);
      watcher.close();
    }
    kill();
  }
  const code = await ended;
  const wasKilled = isKilled && code !== 0;
  if (wasKilled) expect(code, said).toBe(mayEndWith);
  else expect(code, said).toBe(0);
  // A state that was half written is no state: nothing is reported as damaged.
  expect(said).not.toMatch(/instead|damaged/);
  return !wasKilled;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

// By day `saved-state` stops a save at every moment, without a process.
const atNight = describe.runIf(process.env.TARFLOW_NIGHTLY);

atNight.each(Object.entries(ways))('a run %s that is killed', (name, way) => {
  const { kills } = way;
  const cannot = way.mayEndWith !== null && !findMpi(process.env);
  test.skipIf(cannot)(`${kills} times ends with the bytes of one that was not`, async () => {
    const folder = temporaryFolder();
    const whole = path.join(folder, 'whole');
    expect(await trainUntil(whole, way, undefined)).toBe(true);
    let halves = 0;
    for (let done = 0, run = 0; done < kills; run++) {
      const out = path.join(folder, `run ${run}`);
      for (let ended = false; !ended; ) {
        const moment = { after: 400 * Math.random(), writing: done % 2 === 0 };
        ended = await trainUntil(out, way, done < kills ? moment : undefined);
        if (!ended) done++;
        halves += fs.readdirSync(out).filter((name) => name.endsWith('.tmp')).length;
      }
      for (const name of [
        bestName,
        'checkpoint.safetensors',
        stateName(steps),
        stateName(steps - 2),
      ]) {
        const [ours, theirs] = [out, whole].map((place) => fs.readFileSync(path.join(place, name)));
        expect(ours!.equals(theirs!), name).toBe(true);
      }
      expect(records(out)).toEqual(records(whole));
      fs.rmSync(out, { recursive: true });
    }
    // About half of the processes ended in the middle of a file.
    console.log(`${name}: ${kills} kills, ${halves} files half written`);
    expect(halves).toBeGreaterThan(kills / 8);
  });
});

/** All of a log but how fast it went; it goes over more than two epochs. */
function records(out: string): object[] {
  const lines = fs.readFileSync(path.join(out, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  const all = lines.map((line) => JSON.parse(line));
  expect(all.at(-1).epoch).toBeGreaterThan(2);
  return all.map(({ imagesPerSecond, dataShare, ...rest }) => rest);
}
