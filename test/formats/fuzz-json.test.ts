import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect } from 'vitest';
import { drawingOf } from '../../src/cli/sample-parts.js';
import { openStates } from '../../src/conditions/text/states-file.js';
import { openLatents, writeLatents } from '../../src/data/latents/latent-file.js';
import { sizeOf } from '../../src/data/source.js';
import { readStatistics, writeStatistics } from '../../src/evaluation/statistics-file.js';
import { withSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { withTensorFile } from '../../src/formats/tensor-file.js';
import { readExperiment } from '../../src/models/experiments.js';
import { readDescription } from '../../src/models/load-checkpoint.js';
import { loadBert } from '../../src/pretrained/bert.js';
import { readWordPieces } from '../../src/pretrained/word-pieces.js';
import { readPlan } from '../../src/sampling/planner/plan-file.js';
import { checkpointMetadata } from '../../src/training/checkpoint.js';
import { parseDescription } from '../../src/training/run-description.js';
import { RunFolder } from '../../src/training/run-folder.js';
import { stateHeader } from '../../src/training/saved-state.js';
import { reference, writeSmallBert } from '../pretrained/small-bert.js';
import { somePlan } from '../sampling/some-plan.js';
import { agrees, type Format, fuzz, written } from './fuzzing.js';
import { withoutSums } from './safetensors-parts.js';

const origin = { name: 'bert:small', address: 'nowhere' };
const ramp = (length: number) => Float32Array.from({ length }, (_, i) => i / 7 - 3);
const run = fs.readFileSync(path.join(__dirname, 'run.json'));
const { config, settings } = JSON.parse(run.toString());
const json = (value: unknown) => Buffer.from(JSON.stringify(value, undefined, 2));

/** What was read of a JSON text, where it agrees with that. */
function agreed(found: unknown, bytes: Uint8Array): string {
  expect(agrees(found, JSON.parse(Buffer.from(bytes).toString()))).toBe(true);
  return JSON.stringify(found);
}

/** JSON in the metadata of a file, and its tensors. */
function metadataOf(bytes: Uint8Array, name: string): unknown {
  const start = 8 + Number(Buffer.from(bytes).readBigUInt64LE());
  const header = JSON.parse(Buffer.from(bytes.subarray(8, start)).toString());
  return JSON.parse(header.__metadata__[name]);
}

/** A file of ours without sums, so that what it says is read though it is damaged. */
const unsealed = (write: (file: string) => Promise<void>) => async (file: string) =>
  withoutSums(await written(write)(file));

const texts: Record<string, Format> = {
  'descriptions of runs': {
    sample: () => run,
    async read(file, bytes) {
      return agreed(parseDescription(Buffer.from(bytes).toString(), file), bytes);
    },
  },
  'plans of sampling': {
    sample: () =>
      json({
        ...somePlan,
        ...{ model: '0123456789abcdef', label: [0, 3] },
        guidance: { weight: 1.5, on: 'a', blocks: [0] },
        solvers: [{ kind: 'sequential' }, { kind: 'jacobi', tolerance: 1e-3 }],
      }),
    async read(file, bytes) {
      return agreed(await readPlan(file), bytes);
    },
  },
  experiments: {
    sample: () => json({ name: 'mine', dataset: 'folder:mypics', config, settings }),
    async read(file, bytes) {
      return agreed(await readExperiment(file), bytes);
    },
  },
  'logs of runs': {
    sample(file) {
      fs.mkdirSync(`${file}.run`);
      fs.symlinkSync(file, path.join(`${file}.run`, 'log.jsonl'));
      const records = [1, 2, 3, 4].map((step) =>
        JSON.stringify({ step, epoch: step / 4, loss: 1.5, validation: { loss: 2 } }),
      );
      return Buffer.from(records.join('\n'));
    },
    async read(file, bytes) {
      const records = await new RunFolder(`${file}.run`).records();
      for (const record of records) expect(Number.isInteger(record.step)).toBe(true);
      const lines = Buffer.from(bytes).toString().split('\n').filter(Boolean);
      const whole = lines.slice(0, records.length).map((line) => JSON.parse(line));
      expect(records).toEqual(whole);
      expect(lines.length - records.length).toBeLessThanOrEqual(1);
      return JSON.stringify(records);
    },
    growing: true,
  },
  'configurations of BERT': {
    async sample(file) {
      await writeSmallBert(`${file}.bert`);
      fs.rmSync(path.join(`${file}.bert`, 'config.json'));
      fs.symlinkSync(file, path.join(`${file}.bert`, 'config.json'));
      return json(reference.config);
    },
    async read(file, bytes) {
      const { entries, width, dispose } = await loadBert(`${file}.bert`, origin);
      dispose();
      expect(
        agrees(entries, JSON.parse(Buffer.from(bytes).toString()).max_position_embeddings),
      ).toBe(true);
      return `${entries} ${width}`;
    },
  },
  'vocabularies of BERT': {
    sample: () => fs.readFileSync(path.join(__dirname, '..', 'pretrained', 'tokenizer.json')),
    async read(file) {
      const tokens = (await readWordPieces(file))('a red heart', 16);
      expect(tokens.length).toBeLessThanOrEqual(16);
      expect(tokens.every(Number.isInteger)).toBe(true);
      return tokens.join();
    },
  },
};

const files: Record<string, Format> = {
  checkpoints: {
    sample: unsealed((file) =>
      writeSafetensors(
        file,
        { weight: { dtype: 'F32', shape: [2], data: ramp(2) } },
        checkpointMetadata(config, {
          noise: { kind: 'gaussian', sigma: 0.1 },
          classNames: ['a', 'b'],
          latents: { scale: 0.5 },
          steps: 7,
        }),
      ),
    ),
    async read(file, bytes) {
      const found = await withTensorFile(file, async (open) => readDescription(open));
      expect(agrees(found.config, metadataOf(bytes, 'config'))).toBe(true);
      return JSON.stringify([found.family.kind, found.config, found.details]);
    },
  },
  'states of training': {
    sample: unsealed((file) =>
      writeSafetensors(
        file,
        { weight: { dtype: 'F32', shape: [2], data: ramp(2) } },
        {
          ...{ format: 'tarflow state', version: '1', step: '5', steps: '6' },
          ...{ config: JSON.stringify(config), latents: '{"scale":0.5}' },
        },
      ),
    ),
    async read(file, bytes) {
      const found = await withSafetensors(file, async (open) => stateHeader(open));
      for (const name of ['config', 'step', 'steps'] as const) {
        expect(agrees(found[name], metadataOf(bytes, name))).toBe(true);
      }
      return JSON.stringify(found);
    },
  },
  latents: {
    sample: unsealed((file) =>
      writeLatents(file, {
        ...{ latents: ramp(24), image: { channels: 2, height: 2, width: 2 } },
        ...{ labels: Int32Array.of(0, 1, -1), classes: ['a', 'b'], captions: ['x', 'y', 'z'] },
        ...{ name: 'few', licence: 'none', scale: 0.5 },
      }),
    ),
    async read(file) {
      const data = await openLatents(file, 'train');
      const { labels, classes, image, length } = data;
      expect(labels.every((label) => label >= -1 && label < classes.length)).toBe(true);
      const batch = await data.read([0, length - 1]);
      expect(batch.values.length).toBe(2 * sizeOf(image));
      return JSON.stringify([labels, classes, image, batch]);
    },
  },
  'statistics of features': {
    sample: unsealed((file) =>
      writeStatistics(file, {
        count: 9,
        mean: Float64Array.of(1, 2),
        covariance: Float64Array.of(1, 0.5, 0.5, 2),
      }),
    ),
    async read(file) {
      const { count, mean, covariance } = await readStatistics(file);
      expect(covariance.length).toBe(mean.length ** 2);
      expect([...mean, ...covariance].every(Number.isFinite)).toBe(true);
      return `${count}: ${mean}; ${covariance}`;
    },
  },
  'states of captions': {
    sample: unsealed((file) =>
      writeSafetensors(
        file,
        { states: { dtype: 'F16', shape: [2, 2, 3], data: ramp(12) } },
        { captions: '["","a red heart"]' },
      ),
    ),
    async read(file) {
      const encoder = await openStates(file, 'states:file');
      const states = await encoder.encode(['']);
      expect(states.shape).toEqual([1, encoder.entries, encoder.width]);
      return `${states.shape}: ${states.dataSync()}`;
    },
  },
  'parts of samples': {
    sample: unsealed((file) =>
      writeSafetensors(
        file,
        { images: { dtype: 'F32', shape: [1, 1, 1, 2], data: ramp(2) } },
        { samples: JSON.stringify({ part: { number: 1, of: 2, drawing: 'abc' } }) },
      ),
    ),
    async read(file) {
      const drawing = await drawingOf(file);
      expect(['string', 'undefined']).toContain(typeof drawing);
      return `${drawing}`;
    },
  },
};

fuzz({ ...texts, ...files });
