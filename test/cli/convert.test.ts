import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { forward } from '../../src/flow/index.js';
import { disposeModel, publishedConfig } from '../../src/flow/state-dict.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { openTensorFile } from '../../src/formats/tensor-file.js';
import { loadCheckpoint, readCheckpoint } from '../../src/models/load-checkpoint.js';
import { createModel } from '../../src/models/registry.js';
import { starflow } from '../../src/models/starflow/index.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import { saveCheckpoint } from '../../src/training/checkpoint.js';
import { peerPython } from '../benchmarks/peer-environment.js';
import { goldenStarFlow } from '../conformance/conform-starflow.js';
import { goldenState, readGolden } from '../conformance/golden-file.js';
import { writeTorchFile } from '../formats/torch-writer.js';
import { filledStateDict } from '../models/tarflow/state-dict.js';
import { writeSmallBert } from '../pretrained/small-bert.js';
import {
  expectRefused,
  succeeds,
  tarflow,
  temporaryFolder,
  unwritablePath,
} from './command-line.js';

const smallTarFlow: TarFlowConfig = {
  kind: 'tarflow',
  image: { channels: 3, height: 8, width: 8 },
  patchSize: 2,
  channels: 32,
  blocks: 2,
  layersPerBlock: 1,
  headWidth: 16,
  classes: 0,
  volumePreserving: false,
};

const golden = path.join(__dirname, '..', 'golden');
const published = path.join(golden, 'tf3_cond_vp_p2_c32.pth');

test('a published state dict becomes safetensors, and computes what it did', async () => {
  const to = path.join(temporaryFolder(), 'converted.safetensors');
  const { stdout } = await succeeds(tarflow('convert', published, to, '--json'));
  const { tensors } = await readSafetensors(to);
  expect(JSON.parse(stdout)).toMatchObject({ to, tensors: Object.keys(tensors).length });
  const options = { headWidth: 32, imageChannels: 3 };
  const [first, second] = await Promise.all(
    [published, to].map((file) => loadCheckpoint(file, options)),
  );
  const { channels, height, width } = first!.config.image;
  const x = tf.randomUniform<tf.Rank.R4>([2, channels, height, width], -1, 1, 'float32', 1);
  const [a, b] = [first!, second!].map((flow) => forward(flow, x));
  expect([...a!.z.dataSync()]).toEqual([...b!.z.dataSync()]);
  expect([...a!.logDet.dataSync()]).toEqual([...b!.logDet.dataSync()]);
  tf.dispose([
    x,
    ...[a, b].flatMap((result) => [
      result!.z,
      result!.logDet,
      ...result!.outputs,
      ...result!.logDets,
    ]),
  ]);
});

describe('what wraps a model', () => {
  const state = filledStateDict(smallTarFlow);
  const wrapped = (prefix: string, tensors = state) =>
    Object.fromEntries(Object.entries(tensors).map(([name, one]) => [prefix + name, one]));
  const moment = { 'optimizer.state.0.exp_avg': state.var! };

  test.each([
    ['module.', wrapped('module.')],
    ['model.', { ...wrapped('model.'), ...moment }],
    ['state_dict._orig_mod.', wrapped('state_dict._orig_mod.')],
  ])('%s is told, and taken away', async (prefix, tensors) => {
    const file = path.join(temporaryFolder(), 'wrapped.pth');
    writeTorchFile(file, tensors);
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const model = await loadCheckpoint(file, { headWidth: smallTarFlow.headWidth });
    const to = `${file}.safetensors`;
    expect((await tarflow('convert', file, to)).code).toBe(0);
    expect(model.config).toEqual(smallTarFlow);
    disposeModel(model);
    expect(Object.keys((await readSafetensors(to)).tensors).sort()).toEqual(
      Object.keys(state).sort(),
    );
    const rest = 'optimizer.state.0.exp_avg' in tensors ? '; 1 other tensors' : '';
    expect(warned.mock.calls.map(([text]) => text)).toEqual([
      expect.stringContaining(`names are read without the prefix '${prefix}'${rest}`),
    ]);
    warned.mockRestore();
  });

  test('several models are named, and one is chosen', async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, 'two.pth');
    const to = path.join(folder, 'to.safetensors');
    writeTorchFile(file, { ...wrapped('model.'), ...wrapped('ema.'), ...moment });
    await expect(loadCheckpoint(file)).rejects.toThrow(
      /holds 2 models, under 'model\.' and 'ema\.'\. Choose one: tarflow convert .* --prefix model\./,
    );
    await expectRefused(
      'convert',
      folder,
      [
        [file, [to], /holds 2 models/],
        [
          file,
          [to, '--prefix', 'mean'],
          /no model under 'mean'\. There is one under 'model\.' and 'ema\.'/,
        ],
      ],
      [],
    );
    expect((await tarflow('convert', file, to, '--prefix', 'ema')).code).toBe(0);
    expect(Object.keys((await readSafetensors(to)).tensors).length).toBe(Object.keys(state).length);
  });

  test("an optimiser's file is refused by name", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, 'adam.pth');
    const to = path.join(folder, 'to.safetensors');
    writeTorchFile(file, { 'state.0.step': state.var!, 'state.0.exp_avg': state.var! });
    await expectRefused('convert', folder, [[file, [to], /state of an optimiser/]], []);
    await expect(loadCheckpoint(file)).rejects.toThrow(/state of an optimiser.*model\.state_dict/);
  });
});

test('what a published file does not say is written into it, and checked', async () => {
  const folder = temporaryFolder();
  const config = { ...smallTarFlow, image: { channels: 1, height: 8, width: 8 }, classes: 2 };
  const file = path.join(folder, 'grey.pth');
  writeTorchFile(file, filledStateDict(config));
  const to = path.join(folder, 'grey.safetensors');
  const shape = ['--channels', '1', '--head-width', '16'];
  const told = ['--sigma', '0.1', '--classes', 'cat,dog'];
  expect((await tarflow('convert', file, to, ...shape, ...told)).code).toBe(0);
  const model = await loadCheckpoint(to);
  expect(model).toMatchObject({
    config,
    details: { noise: { kind: 'gaussian', sigma: 0.1 }, classNames: ['cat', 'dog'] },
  });
  disposeModel(model);
  const out = path.join(folder, 'other.safetensors');
  await expectRefused(
    'convert',
    folder,
    [
      [file, [out, ...shape, '--classes', 'cat'], /1 class name came for a model of 2 classes/],
      [file, [out, ...shape, '--classes', 'cat,cat'], /each of them once/],
      [file, [out, ...shape, '--sigma', '0'], /--sigma is 0/],
      [to, [out, '--sigma', '0.2'], /--sigma is 0\.2, and .*Gaussian noise, sigma 0\.1/],
      [to, [out, '--channels', '1'], /says what its model is/],
    ],
    [],
  );
});

describe('what goes back to PyTorch has all that it asks for', () => {
  test('the names, shapes and masks are those that the authors wrote', async () => {
    const to = path.join(temporaryFolder(), 'strict.safetensors');
    const own = path.join(temporaryFolder(), 'own.safetensors');
    // Written as a checkpoint of ours, which has no masks, and from there.
    const file = await openTensorFile(published);
    const model = await readCheckpoint(file, { headWidth: 32 });
    await saveCheckpoint(model, own);
    disposeModel(model);
    expect((await tarflow('convert', own, to, '--to', 'pth-names')).code).toBe(0);
    const { tensors } = await readSafetensors(to);
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(file.tensors).sort());
    for (const [name, written] of Object.entries(tensors)) {
      expect({ name, ...written }).toEqual({ name, ...(await file.read(name)) });
    }
    await file.close();
  });

  test.each(['sf1_class_c64', 'sf2_text_c32'])(
    'of the STARFlow in %s, too, without the empty caption',
    async (name) => {
      const to = path.join(temporaryFolder(), 'strict.safetensors');
      const own = path.join(temporaryFolder(), 'own.safetensors');
      const file = await readGolden(path.join(golden, `${name}.safetensors`));
      const model = goldenStarFlow(file);
      await saveCheckpoint(model, own);
      disposeModel(model);
      expect((await tarflow('convert', own, to, '--to', 'pth-names')).code).toBe(0);
      const { tensors } = await readSafetensors(to);
      const { text, headWidth, gridSide, layersPerBlock } = model.config;
      const entries = gridSide ** 2 + (text?.entries ?? 1);
      const masks = layersPerBlock.map((_, b) => [`blocks.${b}.attn_mask`, [entries, entries]]);
      const shapes = Object.entries(tensors).map(([key, { shape }]) => [key, shape]);
      expect(Object.fromEntries(shapes)).toEqual({
        ...Object.fromEntries(
          Object.entries(goldenState(file)).map(([key, { shape }]) => [key, shape]),
        ),
        ...Object.fromEntries(masks),
        'feat_rope.freqs_cos': [entries, headWidth],
        'feat_rope.freqs_sin': [entries, headWidth],
      });
      for (const [key, { data }] of Object.entries(goldenState(file))) {
        expect({ key, data: tensors[key]?.data }).toEqual({ key, data });
      }
      // From the shapes alone they are read as what they were.
      const empty = text && { empty_text: { shape: [text.entries, text.width] } };
      const known = { imageChannels: 4, headWidth };
      const { image: _, ...rest } = model.config;
      expect(publishedConfig(starflow, { ...tensors, ...empty }, to, known)).toMatchObject(rest);
    },
  );

  test.runIf(process.env.TARFLOW_NIGHTLY)(
    'PyTorch loads it strictly, and makes the same noise',
    async () => {
      const folder = temporaryFolder();
      const [own, to, pictures, json] = ['own', 'to', 'pictures', 'config'].map((name) =>
        path.join(folder, `${name}.safetensors`),
      ) as [string, string, string, string];
      const flow = createModel(smallTarFlow, 1);
      await saveCheckpoint(flow, own);
      expect((await tarflow('convert', own, to, '--to', 'pth-names')).code).toBe(0);
      const x = tf.randomUniform<tf.Rank.R4>([2, 3, 8, 8], -1, 1, 'float32', 1);
      const data = Float32Array.from(x.dataSync());
      await writeSafetensors(pictures, { images: { shape: x.shape, dtype: 'F32', data } });
      fs.writeFileSync(json, JSON.stringify(smallTarFlow));
      const script = path.join(__dirname, '..', 'models', 'tarflow', 'strict.py');
      const python = peerPython(path.join(__dirname, '..', '..'), 'pytorch');
      const told = execFileSync(python, [script, to, pictures, json], { encoding: 'utf8' });
      const { z } = forward(flow, x);
      const expected: number[] = JSON.parse(told);
      const found = [...z.dataSync()];
      expect(found.length).toBe(expected.length);
      for (const [i, value] of found.entries()) expect(value).toBeCloseTo(expected[i]!, 4);
    },
    600_000,
  );
});

test('numbers are rounded where asked, and only those with a fraction', async () => {
  const to = path.join(temporaryFolder(), 'converted.safetensors');
  const many = path.join(__dirname, '..', 'formats', 'pth', 'many.pth');
  await succeeds(tarflow('convert', many, to, '--dtype', 'BF16'));
  const { tensors } = await readSafetensors(to);
  expect(tensors.double?.dtype).toBe('BF16');
  expect(tensors.long?.dtype).toBe('I64');
  expect([...(tensors.long?.data ?? [])]).toEqual([1, -(2 ** 40)]);
});

test('mistakes are told in one message, and no file is left', async () => {
  const folder = temporaryFolder();
  const to = path.join(folder, 'to.safetensors');
  const module = path.join(__dirname, '..', 'formats', 'pth', 'whole-module.pth');
  const bert = `bert:${path.join(folder, 'bert')}`;
  await writeSmallBert(path.join(folder, 'bert'));
  const large = path.join(folder, 'large.safetensors');
  await writeSafetensors(large, {
    w: { shape: [2], dtype: 'F64', data: Float64Array.of(1, 1e300) },
  });
  await expectRefused(
    'convert',
    folder,
    [
      [path.join(folder, 'none.pth'), [to], /none\.pth/],
      [module, [to], /state dict/],
      [published, [to, '--dtype', 'F8'], /F8/],
      [published, [path.join(folder, 'to.pth')], /to\.pth\. Expected .*\.safetensors/],
      [
        published,
        [to, '--empty-text', bert],
        /a model that reads no captions\. Leave --empty-text/,
      ],
      [large, [to, '--dtype', 'BF16'], /'w'.*1e\+300.*BF16/s],
      [large, [to, '--dtype', 'F32'], /'w'.*1e\+300.*F32/s],
      [published, [unwritablePath(temporaryFolder(), 'to.safetensors')], /a-file/],
    ],
    [],
  );
});
