import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  keepingStates,
  manyCaptions,
  openTextEncoder,
} from '../../../src/conditions/text/named-encoder.js';
import { tf } from '../../../src/core/tf.js';
import { readSafetensors, writeSafetensors } from '../../../src/formats/safetensors.js';
import type { CaptionEncoder } from '../../../src/pretrained/caption-encoder.js';
import { writeSmallBert } from '../../pretrained/small-bert.js';
import { sharedFolder } from '../../temporary-folder.js';

const folder = sharedFolder();
const states = path.join(folder, 'cache', 'text', 'states');

beforeAll(async () => {
  await writeSmallBert(folder);
});

beforeEach(() => {
  vi.stubEnv('TARFLOW_CACHE', path.join(folder, 'cache'));
  fs.rmSync(states, { recursive: true, force: true });
});

afterAll(() => {
  vi.unstubAllEnvs();
});

describe('an encoder by its name', () => {
  test('that is not known, or whose weights are not there', async () => {
    await expect(openTextEncoder('clip')).rejects.toThrow(
      "Unknown text encoder 'clip'. Expected one of minilm, bert:FOLDER, states:FILE.",
    );
    await expect(openTextEncoder('minilm')).rejects.toThrow(
      'Fetch them (84 MB) by `npx tarflow data minilm`.',
    );
    await expect(openTextEncoder(`bert:${folder}/none`)).rejects.toThrow('There is no file');
  });

  test('that is a folder with a BERT', async () => {
    const encoder = await openTextEncoder(`bert:${folder}`);
    expect(encoder).toMatchObject({ name: `bert:${folder}`, entries: 32, width: 24 });
    const text = await encoder.encode(['a red heart']);
    expect(text.shape).toEqual([1, 32, 24]);
    tf.dispose(text);
    encoder.dispose();
  });
});

describe('states of many captions', () => {
  /** An encoder that counts what is asked of it. */
  function counting(weights = 'w'): CaptionEncoder & { asked: string[][] } {
    const asked: string[][] = [];
    return {
      ...{ name: 'counting', entries: 4, width: 2, weights, asked, dispose: () => {} },
      async encode(captions, { entries = 4 } = {}) {
        asked.push([...captions]);
        const values = captions.map((caption) => new Array(entries * 2).fill(caption.length));
        return tf.tensor3d(values.flat(), [captions.length, entries, 2]);
      },
    };
  }
  const many = Array.from({ length: manyCaptions }, (_, i) => 'x'.repeat(i));

  test('are computed once, and read from the cache folder', async () => {
    const [first, second, other] = [counting(), counting(), counting('other')];
    const before = tf.memory().numTensors;
    const made = await keepingStates(first).encode([...many, 'x'], { entries: 3 });
    expect(first.asked).toEqual([many]);
    const read = await keepingStates(second).encode([...many, 'x'], { entries: 3 });
    expect(second.asked).toEqual([]);
    expect(read.shape).toEqual([manyCaptions + 1, 3, 2]);
    expect(read.dataSync()).toEqual(made.dataSync());
    expect(read.dataSync().slice(-2)).toEqual(Float32Array.of(1, 1));
    tf.dispose([made, read]);
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose(await keepingStates(second).encode(many, { entries: 2 }));
    tf.dispose(await keepingStates(other).encode(many, { entries: 3 }));
    expect([second.asked.length, other.asked.length]).toEqual([1, 1]);
    expect(fs.readdirSync(states)).toHaveLength(3);
  });

  test('are computed anew where what is kept is damaged, and where there are few', async () => {
    const encoder = counting();
    const keeping = keepingStates(encoder);
    tf.dispose(await keeping.encode(many));
    const [file] = fs.readdirSync(states) as [string];
    const kept = await readSafetensors(path.join(states, file));
    expect(kept.metadata).toEqual({ encoder: 'counting', weights: 'w' });
    fs.writeFileSync(path.join(states, file), 'damaged');
    tf.dispose(await keeping.encode(many));
    expect(encoder.asked).toHaveLength(2);
    const few = await keeping.encode(['b', 'aa', 'b']);
    expect(encoder.asked[2]).toEqual(['b', 'aa']);
    expect(few.dataSync().filter((_, i) => i % 8 === 0)).toEqual(Float32Array.of(1, 2, 1));
    expect(fs.readdirSync(states)).toHaveLength(1);
  });
});

describe('states from a file', () => {
  const file = path.join(folder, 'states.safetensors');
  const write = (captions: string | undefined, shape = [3, 2, 4]) =>
    writeSafetensors(
      file,
      { states: { dtype: 'F16', shape, data: Float32Array.from({ length: 24 }, (_, i) => i) } },
      captions === undefined ? {} : { captions },
    );

  test('are those of their captions', async () => {
    await write('["", "a cat", "a dog"]');
    const encoder = await openTextEncoder(`states:${file}`);
    expect(encoder).toMatchObject({ entries: 2, width: 4 });
    const text = await encoder.encode(['a dog', '', 'a dog'], { entries: 2 });
    expect(text.dataSync().filter((_, i) => i % 8 === 0)).toEqual(Float32Array.of(16, 0, 16));
    await expect(encoder.encode(['a bird'])).rejects.toThrow(
      expect.objectContaining({
        name: 'UnknownCaption',
        message: expect.stringContaining(
          "has no states of the caption 'a bird'. It has those of 3",
        ),
      }),
    );
    await expect(encoder.encode(['a dog'], { entries: 3 })).rejects.toThrow('Expected 2.');
  });

  test('of another form: named errors', async () => {
    const opened = () => openTextEncoder(`states:${file}`);
    await write(undefined);
    await expect(opened()).rejects.toThrow('have no list of captions for 3 states');
    await write('["a", "b", "c"]');
    await expect(opened()).rejects.toThrow('the empty one among them');
    await write('["", "b"]');
    await expect(opened()).rejects.toThrow('have 2 captions for 3 states');
    await write('["", "b", "c"]', [3, 8]);
    await expect(opened()).rejects.toThrow('are (3, 8) of F16');
    await writeSafetensors(file, { x: { dtype: 'F32', shape: [1], data: new Float32Array(1) } });
    await expect(opened()).rejects.toThrow('holds x');
  });
});
