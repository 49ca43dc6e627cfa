import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { leaves, tf, UserError } from '../../src/core/index.js';
import { disposeModel, type Model } from '../../src/flow/index.js';
import {
  openSafetensors,
  readSafetensors,
  writeSafetensors,
} from '../../src/formats/safetensors.js';
import { createTarFlow, loadCheckpoint } from '../../src/models/index.js';
import { checkpointDetails, saveCheckpoint } from '../../src/training/checkpoint.js';
import { resultsFolder } from '../../workbook/records/results-folder.js';
import { temporaryFolder } from '../temporary-folder.js';
import { smallConfig } from './small.js';

let file: string;
beforeEach(() => {
  const folder = temporaryFolder();
  file = path.join(folder, 'model.safetensors');
});

function numbers({
  parameters,
  buffers,
}: Pick<Model, 'parameters' | 'buffers'>): Record<string, number[]> {
  const all = { ...buffers, ...leaves(parameters) };
  return Object.fromEntries(
    Object.entries(all).map(([name, leaf]) => [name, Array.from(leaf.dataSync())]),
  );
}

/** Writes a small flow, and its file again with other metadata. */
async function saved(metadata: (before: Record<string, string>) => Record<string, string>) {
  const flow = createTarFlow(smallConfig, 1);
  const expected = numbers(flow);
  await saveCheckpoint(flow, file, { steps: 3 });
  disposeModel(flow);
  const written = await readSafetensors(file);
  await writeSafetensors(file, written.tensors, metadata(written.metadata));
  return { expected, metadata: written.metadata };
}

/** What a file is refused with; nothing leaks. */
async function refusal(): Promise<string> {
  const before = tf.memory().numTensors;
  const error = await loadCheckpoint(file).catch((reason: unknown) => reason as Error);
  expect(error).toBeInstanceOf(UserError);
  expect(tf.memory().numTensors).toBe(before);
  return (error as Error).message;
}

test('a checkpoint says its kind and version, and comes back as it was', async () => {
  const { expected, metadata } = await saved((before) => before);
  expect(metadata).toMatchObject({ format: 'tarflow', version: '1' });
  const before = tf.memory().numTensors;
  const flow = await loadCheckpoint(file);
  expect(numbers(flow)).toEqual(expected);
  expect(flow.details).toEqual({ steps: 3 });
  disposeModel(flow);
  expect(tf.memory().numTensors).toBe(before);
});

describe('what other versions and libraries wrote', () => {
  test('without a version is the first one', async () => {
    const { expected } = await saved(({ version, ...rest }) => rest);
    const flow = await loadCheckpoint(file);
    expect(numbers(flow)).toEqual(expected);
  });

  test.each<Record<string, string>>([{}, { format: 'pt' }])(
    'a published state dict with metadata %j',
    async (metadata) => {
      const { expected } = await saved(() => metadata);
      const flow = await loadCheckpoint(file, { imageChannels: 1, headWidth: 4 });
      expect(flow.config).toEqual(smallConfig);
      expect(numbers(flow)).toEqual(expected);
    },
  );

  test('every committed checkpoint', async () => {
    const folder = path.join(resultsFolder(), 'checkpoints');
    const names = fs.readdirSync(folder, { recursive: true, encoding: 'utf8' });
    const flows = names.filter((name) => /(?<!classifier)\.safetensors$/.test(name));
    expect(flows.length).toBeGreaterThan(10);
    for (const name of flows) {
      const opened = await openSafetensors(path.join(folder, name));
      expect(checkpointDetails(opened).steps).toBeGreaterThan(0);
      await opened.close();
    }
  });
});

describe('a file that is not read here is refused by name', () => {
  test.each(['2', '17', 'new'])('version %s', async (version) => {
    await saved((before) => ({ ...before, version }));
    expect(await refusal()).toBe(
      `${file} is a checkpoint of version ${version}. Versions up to 1 are read here: ` +
        'take a newer release of tarflow, or write the file again with this one.',
    );
  });

  test('another kind', async () => {
    await saved((before) => ({ ...before, format: 'tarflow state' }));
    expect(await refusal()).toBe(
      `${file} is a 'tarflow state' file. Expected a checkpoint, whose format is 'tarflow'. ` +
        'Take the checkpoint.safetensors of a training run.',
    );
  });

  test('an option of the model that this version does not know', async () => {
    await saved((before) => ({
      ...before,
      config: JSON.stringify({ ...smallConfig, backgroud: 0 }),
    }));
    expect(await refusal()).toMatch(
      /model\.safetensors: the metadata 'config' has the key backgroud, which is unknown here\. The nearest one is background; known are kind, image, patchSize, /,
    );
  });

  test('a detail that this version does not know, and one of another type', async () => {
    const details = (value: unknown) => (before: Record<string, string>) => {
      return { ...before, details: JSON.stringify(value) };
    };
    await saved(details({ noise: { kind: 'gaussian', sigm: 1 } }));
    expect(await refusal()).toMatch(/'details' has the key noise\.sigm,.* is noise\.sigma;/);
    await saved(details({ steps: 'many' }));
    expect(await refusal()).toMatch(/'details' does not fit: steps is "many"/);
  });
});
