import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bestName } from '../../src/training/checkpoint.js';
import { stateName } from '../../src/training/saved-state.js';
import { temporaryFolder } from '../temporary-folder.js';

const kills = 200;
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

/** `tarflow train` in a folder, which begins or goes on, until it ends or is killed: whether it ended. */
async function trainUntil(out: string, moment: Moment | undefined): Promise<boolean> {
  const log = path.join(out, 'log.jsonl');
  const goesOn = fs.existsSync(path.join(out, 'run.json'));
  const begin = ['--experiment', 'mnist-demonstration', '--mode', 'eager', '--set', ...tiny];
  const child = spawn(
    process.execPath,
    [
      ...['--import', 'tsx', path.join(__dirname, '..', 'cli', 'tarflow.ts')],
      ...['train', '--out', out, ...(goesOn ? ['--resume'] : begin)],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
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
        if (name?.endsWith('.tmp')) child.kill('SIGKILL');
      });
      await Promise.race([ended, sleep(2000)]);
      watcher.close();
    }
    child.kill('SIGKILL');
  }
  const code = await ended;
  if (code !== null) expect(code, said).toBe(0);
  // A state that was half written is no state: nothing is reported as damaged.
  expect(said).not.toMatch(/instead|damaged/);
  return code === 0;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

// By day `saved-state` stops a save at every moment, without a process.
const atNight = test.skipIf(!process.env.TARFLOW_NIGHTLY);

atNight(
  `a run that is killed at random moments, ${kills} times, ends with the bytes of one that was not`,
  async () => {
    const folder = temporaryFolder();
    const whole = path.join(folder, 'whole');
    expect(await trainUntil(whole, undefined)).toBe(true);
    let halves = 0;
    for (let done = 0, run = 0; done < kills; run++) {
      const out = path.join(folder, `run ${run}`);
      for (let ended = false; !ended; ) {
        const moment = { after: 400 * Math.random(), writing: done % 2 === 0 };
        ended = await trainUntil(out, done < kills ? moment : undefined);
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
    console.log(`${kills} kills, ${halves} files half written`);
    expect(halves).toBeGreaterThan(kills / 4);
  },
);

/** All of a log but how fast it went; it goes over more than two epochs. */
function records(out: string): object[] {
  const lines = fs.readFileSync(path.join(out, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  const all = lines.map((line) => JSON.parse(line));
  expect(all.at(-1).epoch).toBeGreaterThan(2);
  return all.map(({ imagesPerSecond, dataShare, ...rest }) => rest);
}
