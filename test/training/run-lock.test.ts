import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FolderLocked, lockFolder } from '../../src/training/run-lock.js';
import { temporaryFolder } from '../temporary-folder.js';

function newLock(): { file: string; folder: string } {
  const folder = temporaryFolder();
  return { file: path.join(folder, 'run.lock'), folder };
}

function files({ folder }: { folder: string }): string[] {
  return fs.readdirSync(folder);
}

function written({ file }: { file: string }): { pid: number; host: string; started?: string } {
  return JSON.parse(fs.readFileSync(file, 'utf8'));
}

/** The lines that a process prints, one by one. */
function lines({ stdout }: ChildProcessWithoutNullStreams): () => Promise<string> {
  let text = '';
  let arrived = () => {};
  stdout.on('data', (part) => {
    text += part;
    arrived();
  });
  return async () => {
    for (;;) {
      const end = text.indexOf('\n');
      if (end >= 0) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        return line;
      }
      await new Promise<void>((resolve) => {
        arrived = resolve;
      });
    }
  };
}

/** A process that is about to take a lock. */
async function holder({ file, folder }: { file: string; folder: string }) {
  const program = path.join(__dirname, 'lock-holder.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, file, folder]);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const next = lines(child);
  onTestFinished(() => void child.kill('SIGKILL'));
  expect(await next()).toBe('ready');
  return {
    pid: child.pid as number,
    lock: (): Promise<string> => {
      child.stdin.write('now\n');
      return next();
    },
    kill: (): Promise<void> => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}

test('a lock is there while it is held, and goes with its release', async () => {
  const lock = newLock();
  const release = await lockFolder(lock.file, lock.folder);
  expect(written(lock)).toMatchObject({ pid: process.pid, host: os.hostname() });
  expect(files(lock)).toEqual(['run.lock']);
  await expect(lockFolder(lock.file, lock.folder)).rejects.toThrow(
    `${lock.folder} is in use by this process ${process.pid}`,
  );
  await release();
  expect(files(lock)).toEqual([]);
  await (await lockFolder(lock.file, lock.folder))();
});

test('a lock that somebody deleted and another took is not released', async () => {
  const lock = newLock();
  const release = await lockFolder(lock.file, lock.folder);
  const other = JSON.stringify({ ...written(lock), pid: 1 });
  fs.writeFileSync(lock.file, other);
  await release();
  expect(fs.readFileSync(lock.file, 'utf8')).toBe(other);
});

test('a live process keeps others out; once it is killed, its lock is free at once', async () => {
  const lock = newLock();
  const other = await holder(lock);
  expect(await other.lock()).toBe('locked');
  const refused = await lockFolder(lock.file, lock.folder).catch((error) => error);
  expect(refused).toBeInstanceOf(FolderLocked);
  expect(refused.message).toBe(
    `${lock.folder} is in use by process ${other.pid}. ` +
      'Wait until it ends, stop it, or choose another folder.',
  );
  expect(written(lock).pid).toBe(other.pid);

  await other.kill();
  expect(files(lock)).toEqual(['run.lock']);
  const release = await lockFolder(lock.file, lock.folder);
  expect(written(lock).pid).toBe(process.pid);
  expect(files(lock)).toEqual(['run.lock']);
  await release();
  expect(files(lock)).toEqual([]);
});

test('of several processes that find the lock of a killed one, one alone gets it', async () => {
  const lock = newLock();
  const killed = await holder(lock);
  expect(await killed.lock()).toBe('locked');
  await killed.kill();
  const others = await Promise.all([holder(lock), holder(lock), holder(lock)]);
  const answers = await Promise.all(others.map((other) => other.lock()));
  const winners = others.filter((_, i) => answers[i] === 'locked');
  expect(winners.map(({ pid }) => pid)).toEqual([written(lock).pid]);
  expect(answers.filter((answer) => answer.startsWith('FolderLocked: '))).toHaveLength(2);
});

describe('a lock that is left over is taken over', () => {
  const linux = test.skipIf(!fs.existsSync('/proc/self/stat'));

  async function takenOver(lock: { file: string; folder: string }): Promise<void> {
    const release = await lockFolder(lock.file, lock.folder);
    expect(written(lock).pid).toBe(process.pid);
    await release();
    expect(files(lock)).toEqual([]);
  }

  linux(
    "of a process whose number another one has by now, that of this test's parent",
    async () => {
      const lock = newLock();
      const owner = { pid: process.ppid, host: os.hostname() };
      fs.writeFileSync(lock.file, JSON.stringify({ ...owner, started: '1' }));
      await takenOver(lock);
      // Without a time, as other systems write it, the number has to do.
      fs.writeFileSync(lock.file, JSON.stringify(owner));
      await expect(lockFolder(lock.file, lock.folder)).rejects.toThrow(`process ${process.ppid}`);
    },
  );

  linux('of a process that was killed and whose parent has not noticed', async () => {
    const lock = newLock();
    const program = path.join(__dirname, 'lock-holder.ts');
    // The shell becomes a program that never waits for its child.
    const script = 'echo now | "$0" --import tsx "$@" & exec sleep 1000';
    const parent = spawn('sh', ['-c', script, process.execPath, program, lock.file, lock.folder]);
    onTestFinished(() => void parent.kill('SIGKILL'));
    const next = lines(parent);
    expect([await next(), await next()]).toEqual(['ready', 'locked']);
    const { pid } = written(lock);
    process.kill(pid, 'SIGKILL');
    const state = () => fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0];
    while (state() !== 'Z') await new Promise((resolve) => setTimeout(resolve, 5));
    await takenOver(lock);
  });

  test.each([
    ['that was never written', ''],
    ['that is damaged', '{"pid": 7, "ho'],
    ['that holds something else', '[]'],
  ])('%s', async (_, text) => {
    const lock = newLock();
    fs.writeFileSync(lock.file, text);
    await takenOver(lock);
  });

  test('also where the process that was about to take it over was killed, too', async () => {
    const lock = newLock();
    const dead = spawn(process.execPath, ['--version']);
    await new Promise((resolve) => dead.once('exit', resolve));
    const owner = JSON.stringify({ pid: dead.pid, host: os.hostname(), started: '1' });
    fs.writeFileSync(lock.file, owner);
    fs.writeFileSync(`${lock.file}~`, owner);
    await takenOver(lock);
  });
});

test('a lock of another machine is not touched, and the error says how to free it', async () => {
  const lock = newLock();
  const owner = JSON.stringify({ pid: 12, host: 'elsewhere', started: '1' });
  fs.writeFileSync(lock.file, owner);
  await expect(lockFolder(lock.file, lock.folder)).rejects.toThrow(
    `${lock.folder} is locked by process 12 on elsewhere, and this is ${os.hostname()}, which ` +
      `cannot tell whether that still runs. If it does not, delete ${lock.file};`,
  );
  expect(fs.readFileSync(lock.file, 'utf8')).toBe(owner);
});
