import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSafetensors, readSafetensors } from '../../src/formats/safetensors.js';
import {
  expectRefused,
  succeeds,
  tarflow,
  temporaryFolder,
  tiny,
  unwritablePath,
} from './command-line.js';

/** A run of two steps. */
async function trained(folder: string, ...more: string[]): Promise<string> {
  const out = path.join(folder, 'run');
  const set = ['--set', ...tiny, 'steps=2', 'averageDecay=0.9'];
  const experiment = ['--experiment', 'mnist-demonstration', '--mode', 'eager'];
  await succeeds(tarflow('train', '--out', out, ...experiment, ...set, ...more));
  return out;
}

test('a snapshot has the rounded weights and mean of a run, its step, and no moments', async () => {
  const folder = temporaryFolder();
  const run = await trained(folder);
  const out = path.join(folder, 'deep', 'snapshot.safetensors');
  const { stdout } = await succeeds(tarflow('snapshot', run, '--out', out, '--json'));
  const bytes = fs.statSync(out).size;
  expect(JSON.parse(stdout)).toEqual({ snapshot: out, step: 2, steps: 2, bytes });

  const state = path.join(run, 'state-2.safetensors');
  expect(bytes).toBeLessThan(0.3 * fs.statSync(state).size);
  const [taken, whole] = [await readSafetensors(out), await readSafetensors(state)];
  const meaning = ({ config, ...rest }: Record<string, string>) => ({
    ...rest,
    config: JSON.parse(config ?? '') as unknown,
  });
  expect(meaning(taken.metadata)).toEqual(meaning(whole.metadata));
  const expected = Object.keys(whole.tensors).filter((name) => !/^(first|second)\./.test(name));
  expect(Object.keys(taken.tensors).sort()).toEqual(expected.sort());
  for (const [name, { dtype, shape, data }] of Object.entries(taken.tensors)) {
    expect(dtype).toBe(name === 'var' ? 'F32' : 'BF16');
    const exact = whole.tensors[name]!;
    expect(shape).toEqual(exact.shape);
    const far = data.findIndex((value, i) => {
      return Math.abs(value - exact.data[i]!) > 2 ** -8 * Math.abs(exact.data[i]!);
    });
    expect(far, name).toBe(-1);
  }
});

test('what is printed says of which step it is', async () => {
  const folder = temporaryFolder();
  const run = await trained(folder);
  const out = path.join(folder, 'snapshot.safetensors');
  const { stdout } = await tarflow('snapshot', run, '--out', out);
  expect(stdout).toMatch(/^Step 2; the snapshot is .*snapshot\.safetensors \(0\.\d MB\)\n$/);
  const second = await trained(path.join(folder, 'second'), '--from', out);
  expect((await tarflow('snapshot', second, '--out', out)).stdout).toMatch(
    /^Step 2, 4 with those that its run went on from; /,
  );
});

describe('mistakes', () => {
  test('folders that hold no run, and a file that cannot be written', async () => {
    const folder = temporaryFolder();
    const run = await trained(folder);
    const out = path.join(folder, 'snapshot.safetensors');
    const blocked = unwritablePath(folder, 'snapshot.safetensors');
    await expectRefused('snapshot', folder, [[folder, ['--out', out], /holds no run/]], []);
    await expectRefused(
      'snapshot',
      folder,
      [
        [path.join(folder, 'none'), ['--out', out], /none holds no run/],
        [run, ['--out', blocked], /cannot be written/],
        [run, ['--out', path.join(folder, 'o.txt')], /o\.txt\. Expected .*\.safetensors/],
      ],
      [],
    );
  });

  test('a snapshot is no checkpoint', async () => {
    const folder = temporaryFolder();
    const run = await trained(folder);
    const out = path.join(folder, 'snapshot.safetensors');
    await tarflow('snapshot', run, '--out', out);
    const file = await openSafetensors(out);
    expect(file.metadata.format).toBe('tarflow state');
    await file.close();
    const images = ['--out', path.join(folder, 'images.png')];
    const message =
      /snapshot\.safetensors is a 'tarflow state' file.*Expected a checkpoint.*checkpoint\.safetensors/;
    await expectRefused('sample', folder, [[out, images, message]], []);
  });
});
