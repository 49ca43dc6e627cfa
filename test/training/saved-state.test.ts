import * as fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import * as path from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { tf } from '../../src/core/tf.js';
import type { Leaves } from '../../src/core/tree.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { createTarFlow } from '../../src/models/tarflow/index.js';
import { saveCheckpoint, titleOfCheckpoint } from '../../src/training/checkpoint.js';
import { RunFolder } from '../../src/training/run-folder.js';
import { openStateOf, stateName } from '../../src/training/saved-state.js';
import { temporaryFolder } from '../temporary-folder.js';
import { smallConfig, smallSettings } from './small.js';

/**
 * How a machine stops: a process is killed, before it does something or halfway through a write, or
 * the power fails, and what was not synced is lost as well. Or the disk takes no more, and the process ends.
 */
type Stop = 'killed' | 'killed while it writes' | 'power cut' | keyof typeof refusals;

/** What the system says, and what a person reads. */
const refusals = {
  'disk full': { code: 'ENOSPC', says: /cannot be written \((the disk is full|ENOSPC)/ },
  'disk read-only': {
    code: 'EROFS',
    says: /cannot be written \((the file system is read-only|EROFS)/,
  },
};
const isRefusal = (stop: Stop): stop is keyof typeof refusals => stop in refusals;

/** A disk that stops working before its `stopAt`-th change, and knows what was not synced. */
class Disk {
  changes = 0;
  stopAt = Number.POSITIVE_INFINITY;
  stop: Stop = 'killed';
  /** How much of each file is safe, where that is not all of it. */
  private unsynced = new Map<string, number>();
  /** Undoes the changes of names that are not safe, the latest first. */
  private undo: (() => void)[] = [];

  /** What happens right before something is read, once. */
  meanwhile: { reads: string; happens: () => Promise<void> } | undefined;

  async willRead(what: string): Promise<void> {
    const { meanwhile } = this;
    if (meanwhile?.reads !== what) return;
    this.meanwhile = undefined;
    await meanwhile.happens();
  }

  /** To be called before a change; one of names or a sync needs no room. */
  change(halfway?: () => void): void {
    this.checkWorking();
    if (this.changes++ < this.stopAt) return;
    if (this.stop === 'disk full' && !halfway) return;
    if (this.stop === 'killed while it writes' || this.stop === 'disk full') halfway?.();
    throw this.failure();
  }

  checkWorking(): void {
    if (this.changes > this.stopAt && !isRefusal(this.stop)) throw this.failure();
  }

  private failure(): Error {
    if (!isRefusal(this.stop)) return new Error('The machine stopped.');
    const { code } = refusals[this.stop];
    return Object.assign(new Error(`${code}: refused`), { code });
  }

  willWrite(file: string): void {
    if (!this.unsynced.has(file)) this.unsynced.set(file, size(file));
  }

  /** After a write of a new file, none of it is safe. */
  didSync(file: string): void {
    if (fs.statSync(file).isDirectory()) this.undo = [];
    else this.unsynced.delete(file);
  }

  willRename(from: string, to: string): void {
    const [moved, replaced] = [fs.readFileSync(from), content(to)];
    const safe = this.unsynced.get(from);
    this.unsynced.delete(from);
    if (safe !== undefined) this.unsynced.set(to, safe);
    this.undo.unshift(() => {
      if (replaced) fs.writeFileSync(to, replaced);
      else fs.rmSync(to);
      fs.writeFileSync(from, moved);
    });
  }

  willRemove(file: string): void {
    const removed = content(file);
    if (removed) this.undo.unshift(() => fs.writeFileSync(file, removed));
    this.unsynced.delete(file);
  }

  /** The machine starts again. */
  restart(): void {
    if (this.stop === 'power cut') {
      for (const [file, safe] of this.unsynced) if (size(file) > 0) fs.truncateSync(file, safe);
      for (const undo of this.undo) undo();
    }
    this.forget();
  }

  forget(): void {
    this.changes = 0;
    this.stopAt = Number.POSITIVE_INFINITY;
    this.unsynced.clear();
    this.undo = [];
  }
}

function content(file: string): Buffer | undefined {
  return fs.existsSync(file) ? fs.readFileSync(file) : undefined;
}

function size(file: string): number {
  return content(file)?.length ?? 0;
}

const { disk } = vi.hoisted(() => ({ disk: {} as { current: Disk } }));
disk.current = new Disk();

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const open = async (file: string, flags: string): Promise<FileHandle> => {
    const writes = flags !== 'r';
    if (!writes) await disk.current.willRead(path.basename(file));
    if (writes && !fs.existsSync(file)) disk.current.change(() => {});
    else disk.current.checkWorking();
    const handle = await real.open(file, flags);
    const put = (bytes: Uint8Array, at: number | null = null): { bytesWritten: number } => {
      disk.current.willWrite(file);
      const write = (some: Uint8Array) => fs.writeSync(handle.fd, some, 0, some.length, at);
      disk.current.change(() => write(bytes.subarray(0, bytes.length / 2)));
      return { bytesWritten: write(bytes) };
    };
    return Object.assign(handle, {
      write: async (bytes: Uint8Array, offset: number, length: number, at: number | null) =>
        put(bytes.subarray(offset, offset + length), at),
      writeFile: async (content: string) => void put(Buffer.from(content)),
      sync: async () => {
        disk.current.change();
        disk.current.didSync(file);
      },
    });
  };
  const readdir = async (folder: string): Promise<string[]> => {
    await disk.current.willRead('the folder');
    return real.readdir(folder);
  };
  const changed = {
    open,
    readdir,
    rename: async (from: string, to: string) => {
      disk.current.change();
      disk.current.willRename(from, to);
      return real.rename(from, to);
    },
    rm: async (file: string, options: object) => {
      disk.current.change();
      disk.current.willRemove(file);
      return real.rm(file, options);
    },
    appendFile: async (file: string, text: string, options: object) => {
      disk.current.willWrite(file);
      disk.current.change(() => fs.appendFileSync(file, text.slice(0, text.length / 2)));
      return real.appendFile(file, text, options);
    },
  };
  return { ...real, ...changed, default: { ...real, ...changed } };
});

afterEach(() => {
  disk.current.forget();
});

const description = { data: 'made-up', config: smallConfig, settings: smallSettings };
const modes = { usual: 'eager', split: 'train' } as const;

/** Makes steps and saves the last one: a state and a checkpoint that can be told from others. */
async function save(run: RunFolder, after: number, step: number): Promise<void> {
  for (let done = after + 1; done <= step; done++) await run.append({ step: done });
  const state: Leaves = { 'parameters.a': tf.fill([3], step), 'first.a': tf.fill([3], -step) };
  try {
    await run.save(step, state, (file) =>
      writeSafetensors(
        file,
        { a: { shape: [3], dtype: 'F32', data: new Float32Array(3).fill(step) } },
        {
          format: 'tarflow',
          config: JSON.stringify(smallConfig),
          details: JSON.stringify({ steps: step }),
        },
      ),
    );
  } finally {
    tf.dispose(state);
  }
}

/** Runs that are about to save step 4: the first save, and a later one. */
const beginnings: Record<string, (folder: string) => Promise<void>> = {
  'its first step': async (folder) => {
    const run = new RunFolder(folder);
    await run.open(description, false, modes);
    for (const step of [1, 2]) await run.append({ step });
    await run.close();
  },
  'a later step': async (folder) => {
    const run = new RunFolder(folder);
    await run.open(description, false, modes);
    await save(run, 0, 2);
    await run.close();
  },
};

/** Goes on with a run, with what it logged before where that was not saved. */
async function reopened(folder: string): Promise<RunFolder & { saved?: number }> {
  // The lock of a process that was killed; here all of them are one.
  fs.rmSync(path.join(folder, 'run.lock'), { force: true });
  const run = new RunFolder(folder);
  const { saved } = await run.open(description, true, modes);
  const steps = (await run.records()).map(({ step }) => step);
  expect(steps).toEqual(Array.from({ length: saved?.step ?? 0 }, (_, i) => i + 1));
  if (!saved) {
    expect(fs.readdirSync(folder).sort()).toEqual(['log.jsonl', 'run.json', 'run.lock']);
    return Object.assign(run, {});
  }
  const { step, state, checkpointed } = saved;
  expect(Array.from(state['parameters.a']!.dataSync())).toEqual([step, step, step]);
  expect(Array.from(state['first.a']!.dataSync())).toEqual([-step, -step, -step]);
  tf.dispose(state);
  // Where the checkpoint is not of this step, it is of the one before, or not there yet.
  if (checkpointed || fs.existsSync(run.checkpoint)) {
    const of = checkpointed ? step : step - 2;
    const { tensors, metadata } = await readSafetensors(run.checkpoint);
    expect(Array.from(tensors.a!.data)).toEqual([of, of, of]);
    expect(JSON.parse(metadata.details as string)).toEqual({ steps: of });
  }
  return Object.assign(run, { saved: step });
}

describe.each(Object.keys(beginnings))('a run that stops as it saves %s', (beginning) => {
  const begin = beginnings[beginning] as (folder: string) => Promise<void>;
  const before = beginning === 'its first step' ? 0 : 2;

  async function changesOfASave(): Promise<number> {
    const folder = temporaryFolder();
    await begin(folder);
    const run = await reopened(folder);
    disk.current.forget();
    await save(run, run.saved ?? 0, 4);
    const { changes } = disk.current;
    await run.close();
    return changes;
  }

  test.each<Stop>(['killed', 'killed while it writes', 'power cut', 'disk full', 'disk read-only'])(
    '%s, whenever that is, has a state, a checkpoint and a log of one step',
    async (stop) => {
      const changes = await changesOfASave();
      expect(changes).toBeGreaterThan(10);
      const found: number[] = [];
      for (let stopAt = 0; stopAt < changes; stopAt++) {
        const folder = temporaryFolder();
        disk.current.forget();
        await begin(folder);
        const run = await reopened(folder);
        Object.assign(disk.current, { changes: 0, stopAt, stop });
        const said = isRefusal(stop) ? refusals[stop].says : /The machine stopped/;
        const failure = await save(run, before, 4).catch(String);
        // The last changes of a save need no room.
        if (failure !== undefined || stop !== 'disk full') expect(failure).toMatch(said);
        else expect(stopAt).toBeGreaterThan(changes / 2);
        disk.current.restart();

        const again = await reopened(folder);
        found.push(again.saved ?? 0);
        // And goes on, and leaves nothing behind.
        const [last, next] = [again.saved ?? 0, (again.saved ?? 0) + 2];
        await save(again, last, next);
        await again.close();
        const names = fs.readdirSync(folder).sort();
        const states = [last, next].flatMap((step) => (step > 0 ? stateName(step) : []));
        expect(names).toEqual(['checkpoint.safetensors', 'log.jsonl', 'run.json', ...states]);
      }
      // At some moment the new step becomes the valid one, for good.
      const turn = found.indexOf(4);
      expect(turn).toBeGreaterThan(0);
      expect(found).toEqual(found.map((_, at) => (at < turn ? before : 4)));
    },
  );
});

test.each([
  ['checkpoint.safetensors', 1, 4],
  ['the folder', 1, 4],
  ['state-2.safetensors', 1, 4],
  ['state-2.safetensors', 2, 6],
])(
  'who reads the last state of a run that right before %s is read saves %i times, gets the new one',
  async (reads, times, expected) => {
    const folder = temporaryFolder();
    const run = new RunFolder(folder);
    await run.open(description, false, modes);
    await save(run, 0, 2);
    const happens = async () => {
      for (let time = 1; time <= times; time++) await save(run, 2 * time, 2 * time + 2);
    };
    disk.current.meanwhile = { reads, happens };
    const { file, header } = await openStateOf(folder);
    expect(disk.current.meanwhile).toBeUndefined();
    expect(header).toMatchObject({ step: expected, steps: expected });
    expect((await file.read('parameters.a')).data).toEqual(new Float32Array(3).fill(expected));
    await file.close();
    await run.close();
  },
);

test('a model is called as its file, or as the folder of its run', () => {
  expect(titleOfCheckpoint('results/checkpoints/emoji.safetensors')).toBe('emoji');
  expect(titleOfCheckpoint(path.join('runs', 'small', 'checkpoint.safetensors'))).toBe('small');
  expect(titleOfCheckpoint('checkpoint.safetensors')).toBe(path.basename(process.cwd()));
});

test('a checkpoint is whole or not at all, whenever the machine stops', async () => {
  const folder = temporaryFolder();
  const file = path.join(folder, 'flow.safetensors');
  const flow = createTarFlow(smallConfig, 1);
  await saveCheckpoint(flow, file, { steps: 1 });
  for (let stopAt = 0, stopped = true; stopped; stopAt += 3) {
    disk.current.forget();
    Object.assign(disk.current, { stopAt, stop: 'power cut' });
    stopped = await saveCheckpoint(flow, file, { steps: 2 }).then(
      () => false,
      () => true,
    );
    disk.current.restart();
    const loaded = await loadCheckpoint(file);
    expect(loaded.details.steps).toBe(stopped ? 1 : 2);
  }
});
