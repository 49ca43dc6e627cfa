import { execFileSync, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { bestName } from '../../src/training/checkpoint.js';
import { stateName } from '../../src/training/saved-state.js';
import { sharedFolder, temporaryFolder } from '../temporary-folder.js';

const steps = 60;
const small = ['patchSize=7', 'channels=16', 'headWidth=16', 'blocks=2', 'layersPerBlock=1'];
const settings = [`steps=${steps}`, 'batchSize=64', 'saveEvery=2', 'validateEvery=5'];
const begin = ['--experiment', 'mnist-demonstration', '--mode', 'eager', '--set'];
const words = [...begin, ...small, ...settings, 'validationImages=16'];
const program = [process.execPath, path.join(__dirname, '..', '..', 'src', 'cli', 'bin.js')];

/** Loaded before the program: once the state of step 4 is kept, the run waits until `released` is there. */
const holding = (folder: string) => {
  const [held, released] = ['held', 'released'].map((name) => path.join(folder, name));
  const source = `
    import fs from 'node:fs';
    const { rename } = fs.promises;
    fs.promises.rename = async (from, to) => {
      await rename(from, to);
      if (!to.endsWith('${stateName(4)}')) return;
      fs.writeFileSync(${JSON.stringify(held)}, '');
      while (!fs.existsSync(${JSON.stringify(released)})) await new Promise((r) => setTimeout(r, 10));
    };`;
  const file = path.join(folder, 'hold.mjs');
  fs.writeFileSync(file, source);
  return ['--import', file];
};

/** What happens to the disk of $PLACE with the run in it, what a person does then, and what the run says. */
interface Fault {
  hurt: string;
  heal: string;
  says: RegExp;
  /** Without a file system of its own. */
  anywhere?: true;
}

const faults: Record<string, Fault> = {
  'whose disk gets full': {
    hurt: 'cat /dev/zero >"$PLACE/other" 2>"$OUT/other"',
    heal: 'rm "$PLACE/other"',
    says: /cannot be written \(.*(the disk is full|no space left on device)/,
  },
  'whose disk becomes read-only': {
    hurt: 'until mount -o remount,ro "$PLACE" 2>"$OUT/other"; do :; done',
    heal: 'mount -o remount,rw "$PLACE"',
    says: /cannot be written \(.*(the file system is read-only|read-only file system)/,
  },
  'whose folder is taken away': {
    hurt: 'mv "$PLACE/run" "$PLACE/away"',
    heal: 'rm -rf "$PLACE/run"; mv "$PLACE/away" "$PLACE/run"',
    says: /cannot be written \(.*(it does not exist|no such file)/,
    anywhere: true,
  },
};

/** Trains in $PLACE, is hurt at step 4, and goes on when that is healed; the first run's status is that of all. */
const script = ({ hurt, heal, anywhere }: Fault) => `
  ${anywhere ? '' : 'mount -t tmpfs -o size=32m tmpfs "$PLACE" || exit 9'}
  "$@" train --out "$PLACE/run" ${words.join(' ')} >"$OUT/said" 2>&1 & pid=$!
  until [ -e "$OUT/held" ]; do kill -0 $pid || exit 8; sleep 0.01; done
  ${hurt}
  touch "$OUT/released"
  wait $pid; status=$?
  ${heal}
  "$@" train --out "$PLACE/run" --resume >"$OUT/said-again" 2>&1 || exit 7
  cp -r "$PLACE/run" "$OUT/run"
  exit $status`;

const hasOwnDisks =
  spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;

const whole = path.join(sharedFolder(), 'whole');
beforeAll(() => {
  const [node, ...rest] = program as [string, ...string[]];
  execFileSync(node, [...rest, 'train', '--out', whole, ...words], { stdio: 'ignore' });
});

/** Steps and losses of a log. */
const losses = (folder: string) =>
  fs
    .readFileSync(path.join(folder, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map(({ step, loss, validation }) => ({ step, loss, validation }));

function expectWhole(folder: string): void {
  for (const name of [bestName, 'checkpoint.safetensors', stateName(steps), stateName(steps - 2)]) {
    const [ours, theirs] = [folder, whole].map((place) => fs.readFileSync(path.join(place, name)));
    expect(ours!.equals(theirs!), name).toBe(true);
  }
  expect(losses(folder)).toEqual(losses(whole));
}

describe.each(Object.entries(faults))('a run %s', (_, fault) => {
  const why = fault.anywhere || hasOwnDisks ? '' : ': skipped, since no disk can be made here';
  test.skipIf(why !== '')(`says so, and goes on to the same bytes${why}`, async () => {
    const [place, out] = [temporaryFolder(), temporaryFolder()];
    const [node, ...bin] = program as [string, ...string[]];
    const shell = ['bash', '-c', script(fault), 'bash', node, ...holding(out), ...bin];
    const [command, ...rest] = fault.anywhere ? shell : ['unshare', '-rm', ...shell];
    const env = { ...process.env, PLACE: place, OUT: out };
    const child = spawn(command!, rest, { env, stdio: 'ignore' });
    const status = await new Promise((resolve) => child.once('close', resolve));
    const said = fs.readFileSync(path.join(out, 'said'), 'utf8');
    expect(status, said).toBe(2);
    expect(said).toMatch(fault.says);
    expect(said).not.toMatch(/\n\s+at /);
    expectWhole(path.join(out, 'run'));
  });
});

test('a run whose clock is set back goes on to the same bytes', async () => {
  const folder = temporaryFolder();
  const run = path.join(folder, 'run');
  const [node, ...rest] = program as [string, ...string[]];
  const clock = path.join(folder, 'clock.mjs');
  // Ten years back, and a second backwards at each look.
  fs.writeFileSync(clock, 'let now = Date.now() - 3e11; Date.now = () => (now -= 1000);\n');
  const past = ['--import', clock, ...rest, 'train', '--out', run];
  const held = [...holding(folder), ...rest, 'train', '--out', run, ...words];
  const first = spawn(node, held, { stdio: 'ignore' });
  while (!fs.existsSync(path.join(folder, 'held'))) {
    expect(first.exitCode).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  first.kill('SIGKILL');
  await new Promise((resolve) => first.once('close', resolve));
  execFileSync(node, [...past, '--resume'], { stdio: 'ignore' });
  expectWhole(run);
});
