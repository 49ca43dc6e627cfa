import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { writeCaptionStates } from '../../src/conditions/text/captioned-latents.js';
import { openTextEncoder } from '../../src/conditions/text/named-encoder.js';
import { normal, randomKey, tf } from '../../src/core/index.js';
import { openDataset } from '../../src/data/index.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { createModel, starflow } from '../../src/models/index.js';
import { saveCheckpoint, train } from '../../src/training/index.js';
import { checkSettings } from '../../src/training/settings.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { smallStarFlow } from '../models/starflow/cases.js';
import { writeSmallBert } from '../pretrained/small-bert.js';
import { sharedFolder } from '../temporary-folder.js';
import { smallConfig, smallSettings } from '../training/small.js';
import { expectRefused, refused, succeeds, tarflow } from './command-line.js';

const folder = sharedFolder();
const bert = `bert:${path.join(folder, 'bert')}`;
const experiment = path.join(folder, 'captions.json');
const text = { entries: 6, width: 24 };
const config = { ...smallStarFlow, text, channels: 40, headWidth: 20, layersPerBlock: [1, 1] };
const written = {
  name: 'captions',
  dataset: `latents:${path.join(folder, 'latents')}`,
  config,
  settings: {
    ...smallSettings,
    ...{ noise: { kind: 'gaussian', sigma: 0.3 }, batchSize: 4, steps: 8, warmupSteps: 1 },
    ...{ validateEvery: 4, validationImages: 4, saveEvery: 4, averageDecay: 0.9 },
  },
};
const short = ['--mode', 'eager'];

/** Latents whose captions say whether their numbers are high or low. */
async function writeLatents(split: string, count: number, place = 'latents'): Promise<void> {
  const noise = normal(randomKey(split.length), count * 16);
  const data = noise.map((value, i) => 0.2 * value + (Math.floor(i / 16) % 2 === 0 ? 1 : -1));
  const from = path.join(folder, `${split}-bare.safetensors`);
  const metadata = { name: 'high and low', scale: '2', autoencoder: 'abc' };
  await writeSafetensors(
    from,
    { latents: { dtype: 'F32', shape: [count, 1, 4, 4], data } },
    metadata,
  );
  const encoder = await openTextEncoder(bert);
  fs.mkdirSync(path.join(folder, place), { recursive: true });
  await writeCaptionStates({
    from,
    to: path.join(folder, place, `${split}.safetensors`),
    captions: Array.from({ length: count }, (_, i) => (i % 2 === 0 ? 'a red heart' : 'crying cat')),
    encoder,
    ...text,
  });
  encoder.dispose();
}

function writeExperiment(changes: object = {}): string {
  fs.writeFileSync(experiment, JSON.stringify({ ...written, ...changes }));
  return experiment;
}

async function trainInto(run: string, ...more: string[]) {
  const command = ['train', '--experiment', experiment, '--out', path.join(folder, run)];
  return tarflow(...command, ...short, ...more);
}

beforeAll(async () => {
  await writeSmallBert(path.join(folder, 'bert'));
  await writeLatents('train', 16);
  await writeLatents('validation', 4);
  writeExperiment();
  await succeeds(trainInto('run'));
});

function largestDifference(a: ArrayLike<number> = [], b: ArrayLike<number> = []): number {
  expect([a.length > 0, b.length]).toEqual([true, a.length]);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

const checkpoint = path.join(folder, 'run', 'checkpoint.safetensors');

describe('a model that reads captions', () => {
  test('is trained on latents with captions; its checkpoint knows their encoder', async () => {
    const { tensors, metadata } = await readSafetensors(checkpoint);
    const data = await readSafetensors(path.join(folder, 'latents', 'train.safetensors'));
    const { textEncoder, dataset, steps, latents } = JSON.parse(metadata.details as string);
    expect(latents).toEqual({ scale: 2, autoencoder: 'abc' });
    expect(JSON.parse(data.metadata.textEncoder as string)).toEqual(textEncoder);
    expect([textEncoder.name, dataset, steps]).toEqual([bert, 'high and low', 8]);
    expect(tensors.empty_text?.data).toEqual(data.tensors.empty_text?.data);
    expect(tensors.empty_text?.data.some((value) => value !== 0)).toBe(true);
  });

  test('is planned and compared for captions', async () => {
    const [plan, table] = ['plan.json', 'table.json'].map((name) => path.join(folder, name));
    const captions = ['--text', 'a red heart', '--text', 'crying cat'];
    const asked = [checkpoint, ...captions, '--guidance', '1', '--tolerance', '0.01', ...short];
    const once = ['--batch', '2', '--repeats', '1', '--json'];
    const before = tf.memory().numTensors;
    const planned = await succeeds(tarflow('plan', ...asked, ...once, '--out', plan!));
    const { plan: made, candidates } = JSON.parse(planned.stdout);
    expect(made).toMatchObject({ batch: 2, label: null, captioned: true });
    for (const block of candidates as { solver: { kind: string }; error: number }[][]) {
      const iterated = block.filter(({ solver }) => solver.kind !== 'sequential');
      expect(Math.min(...iterated.map(({ error }) => error))).toBeLessThan(0.01);
    }
    const compared = await succeeds(tarflow('accelerate', ...asked, ...once, '--out', table!));
    const outcome = JSON.parse(compared.stdout);
    expect(outcome.captions).toEqual(['a red heart', 'crying cat']);
    expect(outcome.command).toContain("--text 'a red heart' --text 'crying cat' --guidance 1");
    expect(outcome.tables[0].rows.at(-1).error).toBeLessThan(0.02);
    expect(tf.memory().numTensors).toBe(before);
    const image = ['--count', '2', '--plan', plan!, '--out', path.join(folder, 'planned.png')];
    const sampled = await succeeds(
      tarflow('sample', checkpoint, ...captions, '--guidance', '1', ...image),
    );
    expect(sampled.stderr).not.toContain('captions');
    const bare = await tarflow('sample', checkpoint, '--count', '2', ...image.slice(2));
    expect(bare.stderr).toContain('with captions, not no captions');
    const out = ['--plan', 'auto', '--out', path.join(folder, 'unplanned.png')];
    const remedy = /has no plan beside it.*--text 'a red heart' --text 'crying cat'/s;
    await expectRefused('sample', folder, [[checkpoint, [...captions, ...out], remedy]], []);
  });

  test('that is stopped and resumed is the same model', async () => {
    const half = path.join(folder, 'half');
    const before = tf.memory().numTensors;
    const stop = new AbortController();
    const { name, dataset } = written;
    const { model, finished } = await train({
      ...{ family: starflow, config, settings: checkSettings(written.settings), experiment: name },
      data: await openDataset(dataset, 'train'),
      validation: await openDataset(dataset, 'validation'),
      ...{ folder: half, mode: 'eager', signal: stop.signal },
      onStep: ({ step }) => {
        if (step === 5) stop.abort();
      },
    });
    disposeModel(model);
    expect(finished).toBe(false);
    await succeeds(trainInto('half', '--resume'));
    expect(tf.memory().numTensors).toBe(before);
    const resumed = await readSafetensors(path.join(half, 'checkpoint.safetensors'));
    const whole = await readSafetensors(checkpoint);
    expect(resumed).toEqual(whole);
  });

  test('is trained on images whose captions an encoder reads while they are trained on', async () => {
    const file = path.join(folder, 'emoji.json');
    const pixels = { channels: 3, height: 32, width: 32 };
    const { settings } = written;
    const ofEmoji = { ...config, image: pixels, patchSize: 8, gridSide: 4 };
    fs.writeFileSync(
      file,
      JSON.stringify({ ...written, dataset: 'emoji-composed-32', config: ofEmoji, settings }),
    );
    const before = tf.memory().numTensors;
    const command = ['train', '--experiment', file, ...short, '--text-encoder', bert];
    await succeeds(tarflow(...command, '--out', path.join(folder, 'emoji')));
    expect(tf.memory().numTensors).toBe(before);
    const trained = path.join(folder, 'emoji', 'checkpoint.safetensors');
    const { metadata } = await readSafetensors(trained);
    expect(JSON.parse(metadata.details as string).textEncoder.name).toBe(bert);
    const out = path.join(folder, 'heart.safetensors');
    await succeeds(tarflow('sample', trained, '--text', 'a red heart', '--out', out));

    expect(
      await refused(tarflow(...command.slice(0, -2), '--out', path.join(folder, 'bare'))),
    ).toContain('let an encoder read captions of the data (withCaptionStates, --text-encoder)');
    const twice = await trainInto('twice', '--text-encoder', bert);
    expect([twice.code, twice.stderr]).toEqual([
      2,
      expect.stringContaining('states of its captions'),
    ]);
    const digits = ['train', '--experiment', 'fashion-mnist-density', '--text-encoder', bert];
    const none = await tarflow(...digits, ...short, '--out', path.join(folder, 'none'));
    expect(none.stderr).toContain('a model that reads no captions');
  });

  test('shows what its captions say, after some steps', async () => {
    await succeeds(trainInto('longer', '--set', 'steps=60', 'dropLabel=0.1', 'saveEvery=60'));
    const longer = path.join(folder, 'longer', 'checkpoint.safetensors');
    const means: number[] = [];
    for (const caption of ['a red heart', 'crying cat']) {
      const out = path.join(folder, 'samples.safetensors');
      await succeeds(
        tarflow(...['sample', longer, '--count', '8', '--text', caption, '--out', out, ...short]),
      );
      const { data = [] } = (await readSafetensors(out)).tensors.images ?? {};
      means.push(Array.from(data).reduce((sum, value) => sum + value, 0) / data.length);
    }
    const [high, low] = means as [number, number];
    expect(high - low).toBeGreaterThan(0.3);
  });

  test('is sampled by captions in turn, guided, or by none', async () => {
    expectNoTensorsLeft();
    const sampled = async (name: string, ...more: string[]) => {
      const out = path.join(folder, `${name}.safetensors`);
      const { stdout } = await succeeds(
        tarflow(
          ...['sample', checkpoint, '--count', '4', '--seed', '3', '--json', '--out', out],
          ...[...short, ...more],
        ),
      );
      return { said: JSON.parse(stdout), ...(await readSafetensors(out)).tensors.images };
    };
    const both = ['--text', 'a red heart', '--text', 'crying cat'];
    const turns = await sampled('turns', ...both);
    expect(turns.said.text).toEqual(['a red heart', 'crying cat']);
    expect(turns.shape).toEqual([4, 1, 4, 4]);
    const one = await sampled('one', '--text', 'a red heart');
    // The first and the third image have this caption in both.
    expect(largestDifference(one.data?.slice(0, 16), turns.data?.slice(0, 16))).toBeLessThan(1e-4);
    expect(largestDifference(one.data?.slice(16, 32), turns.data?.slice(16, 32))).toBeGreaterThan(
      1e-3,
    );
    const [none, empty] = [await sampled('none'), await sampled('empty', '--text', '')];
    expect(largestDifference(none.data, empty.data)).toBeLessThan(1e-4);
    const guided = await sampled('guided', ...both, '--guidance', '2');
    expect(largestDifference(guided.data, turns.data)).toBeGreaterThan(1e-3);
  });

  test('makes latents of another shape', async () => {
    const out = path.join(folder, 'wide.safetensors');
    const asked = ['--text', 'a red heart', '--count', '2', '--guidance', '1', '--out', out];
    await succeeds(tarflow('sample', checkpoint, '--size', '4x7', ...asked));
    const { images } = (await readSafetensors(out)).tensors;
    expect(images?.shape).toEqual([2, 1, 4, 7]);
    expect(images?.data.every(Number.isFinite)).toBe(true);
    const bare = path.join(folder, 'one-size.safetensors');
    await saveCheckpoint(createModel({ ...smallConfig, classes: 0 }, 1), bare);
    await expectRefused(
      'sample',
      folder,
      [
        [checkpoint, ['--size', '4'], /Expected a height and a width, e\.g\. 16x32/],
        [checkpoint, ['--size', '0x4'], /size asked for is 0×4/],
        [bare, ['--size', '4x8'], /'tarflow', which takes images of 4×4 alone/],
      ],
      ['--out', path.join(folder, 'never.safetensors')],
    );
  });

  test('denoises by a caption', async () => {
    const noisy = path.join(folder, 'noisy.safetensors');
    const { code, stderr } = await tarflow(
      ...['sample', checkpoint, '--count', '2', '--text', 'crying cat', '--out', noisy, ...short],
    );
    expect(code, stderr).toBe(0);
    expectNoTensorsLeft();
    const cleaned = async (...more: string[]) => {
      const out = path.join(folder, 'clean.safetensors');
      await succeeds(tarflow('denoise', checkpoint, '--in', noisy, '--out', out, ...more));
      return (await readSafetensors(out)).tensors.images?.data;
    };
    const [cat, heart] = [
      await cleaned('--text', 'crying cat'),
      await cleaned('--text', 'a red heart'),
    ];
    expect(largestDifference(cat, heart)).toBeGreaterThan(1e-5);
    expect(largestDifference(await cleaned('--text', ''), await cleaned())).toBeLessThan(1e-5);
  });
});

describe('mistakes are named', () => {
  test('of what a sample shall show', async () => {
    const [classes, bare] = ['classes', 'bare'].map((name) =>
      path.join(folder, `${name}.safetensors`),
    );
    await saveCheckpoint(createModel(smallConfig, 1), classes as string);
    await saveCheckpoint(createModel({ ...smallConfig, classes: 0 }, 1), bare as string);
    const caption = ['--text', 'a red heart'];
    const other = path.join(folder, 'other.safetensors');
    const states = new Float32Array(2 * 6 * 5);
    await writeSafetensors(
      other,
      { states: { dtype: 'F32', shape: [2, 6, 5], data: states } },
      { captions: '["", "a red heart"]' },
    );
    await expectRefused(
      'sample',
      folder,
      [
        [classes as string, caption, /of 3 classes and reads no captions\. Take --label/],
        [bare as string, caption, /without conditions and reads no captions\. Leave --text out/],
        [checkpoint, ['--label', '1'], /is a model without classes/],
        [checkpoint, ['--text', '♡'], /Nothing in the caption '♡' is in the encoder's vocabulary/],
        [checkpoint, [...caption, '--text-encoder', 'clip'], /Unknown text encoder 'clip'/],
        [
          checkpoint,
          [...caption, '--text-encoder', `states:${other}`],
          /gives entries of 5 numbers, and .* reads 24/,
        ],
        [checkpoint, ['--guidance', '1'], /would change nothing.*, or --text/],
      ],
      ['--count', '2', '--out', path.join(folder, 'never.safetensors')],
    );
  });

  test('of an encoder that became another', async () => {
    const moved = path.join(folder, 'changed');
    await writeSmallBert(moved);
    const file = path.join(moved, 'model.safetensors');
    const { tensors } = await readSafetensors(file);
    (tensors['embeddings.LayerNorm.bias']?.data as Float32Array)[0] = 1;
    await writeSafetensors(file, tensors);
    expect(
      await refused(
        tarflow(
          ...['sample', checkpoint, '--text', 'cat', '--text-encoder', `bert:${moved}`],
          ...['--out', path.join(folder, 'never.safetensors')],
        ),
      ),
    ).toMatch(/was trained with captions read by bert:.*, whose weights are others/);
  });

  test('of data that do not fit', async () => {
    const expectRefusal = async (changes: object, message: RegExp) => {
      writeExperiment(changes);
      expect(await refused(trainInto('refused'))).toMatch(message);
    };
    const other = (shape: object) => ({ config: { ...config, text: { ...text, ...shape } } });
    await expectRefusal(
      other({ entries: 5 }),
      /The captions of high and low have 6 entries of 24 numbers\. The model reads 5 entries/,
    );
    await expectRefusal(other({ width: 16 }), /set text\.entries and text\.width/);
    fs.mkdirSync(path.join(folder, 'bare'));
    for (const split of ['train', 'validation']) {
      const file = path.join(folder, 'bare', `${split}.safetensors`);
      fs.copyFileSync(path.join(folder, `${split}-bare.safetensors`), file);
    }
    await expectRefusal(
      { dataset: `latents:${path.join(folder, 'bare')}` },
      /high and low has no captions, and the model reads them\. Expected 6 entries of 24 numbers a sample: let an encoder .*latents with a tensor text/,
    );
    const mixed = path.join(folder, 'mixed');
    fs.cpSync(path.join(folder, 'latents'), mixed, { recursive: true });
    const validation = path.join(mixed, 'validation.safetensors');
    const held = await readSafetensors(validation);
    const textEncoder = '{"name":"clip","weights":"other"}';
    await writeSafetensors(validation, held.tensors, { ...held.metadata, textEncoder });
    await expectRefusal(
      { dataset: `latents:${mixed}` },
      /encoded by bert:.*, the held-out ones by clip with other weights/,
    );
    expect(fs.existsSync(path.join(folder, 'refused'))).toBe(false);
    writeExperiment();
  });

  /** The latents again, whose files say something else of them; their folder. */
  async function latentsSaying(name: string, said: object, splits: string[]): Promise<string> {
    const other = path.join(folder, name);
    fs.cpSync(path.join(folder, 'latents'), other, { recursive: true });
    for (const split of splits) {
      const file = path.join(other, `${split}.safetensors`);
      const { tensors, metadata } = await readSafetensors(file);
      await writeSafetensors(file, tensors, { ...metadata, ...said });
    }
    return other;
  }
  const both = ['train', 'validation'];

  test('of held-out latents of another scale or autoencoder', async () => {
    const expectRefusal = async (name: string, said: object, message: RegExp) => {
      const other = await latentsSaying(name, said, ['validation']);
      expect(await refused(trainInto('refused', '--data', `latents:${other}`))).toMatch(message);
    };
    await expectRefusal(
      'held-scale',
      { scale: '0.5' },
      /The latents to train on were multiplied by 2, the held-out ones by 0\.5\. Encode the held-out ones again: `tarflow encode --scale FILE`/,
    );
    await expectRefusal(
      'held-autoencoder',
      { autoencoder: '0123456789abcdef' },
      /made by the autoencoder of SHA-256 abc, the held-out ones by that of 0123456789ab…\. Encode both/,
    );
    expect(fs.existsSync(path.join(folder, 'refused'))).toBe(false);
  });

  test('of latents unlike those that a run goes on from', async () => {
    const snapshot = path.join(folder, 'snapshot.safetensors');
    const run = path.join(folder, 'run');
    await succeeds(tarflow('snapshot', run, '--out', snapshot));
    const scaled = await latentsSaying('scaled', { scale: '3' }, both);
    const encoded = await latentsSaying('encoded', { autoencoder: 'def' }, both);
    const saved = await readSafetensors(path.join(run, 'state-8.safetensors'));
    expect(JSON.parse(saved.metadata.latents as string)).toEqual({ scale: 2, autoencoder: 'abc' });
    for (const from of [checkpoint, run, snapshot]) {
      const more = ['--data', `latents:${scaled}`, '--from', from];
      const { code, stderr } = await trainInto('refused', ...more);
      expect(code, stderr).toBe(2);
      expect(stderr).toMatch(
        /The latents of what the run begins with were multiplied by 2, the latents of high and low by 3\. Encode the data again/,
      );
      for (const other of [path.join(folder, 'latents'), encoded]) {
        const data = ['--data', `latents:${other}`, '--from', from, '--set', 'steps=1'];
        const goesOn = await succeeds(trainInto('goes-on', ...data));
        // Another autoencoder may be the same one with its decoder trained further.
        const warning =
          /begins with were made by the autoencoder of SHA-256 abc, .* by that of def/;
        expect(warning.test(goesOn.stderr)).toBe(other === encoded);
        fs.rmSync(path.join(folder, 'goes-on'), { recursive: true });
      }
    }
    expect(fs.existsSync(path.join(folder, 'refused'))).toBe(false);
  });

  test('of latents that became others before a run is resumed', async () => {
    const stopped = path.join(folder, 'stopped');
    fs.cpSync(path.join(folder, 'run'), stopped, { recursive: true });
    const scaled = await latentsSaying('rescaled', { scale: '3' }, both);
    const description = path.join(stopped, 'run.json');
    const { latents } = JSON.parse(fs.readFileSync(description, 'utf8'));
    expect(latents).toEqual({ scale: 2, autoencoder: 'abc' });
    const more = ['--set', 'steps=10', '--replan'];
    const { code, stderr } = await trainInto('stopped', ...more, '--data', `latents:${scaled}`);
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(
      /The latents of the run in .*stopped were multiplied by 2, the latents of high and low by 3/,
    );
    await succeeds(trainInto('stopped', ...more));
    expect(JSON.parse(fs.readFileSync(description, 'utf8')).latents).toEqual(latents);
  });

  test('of latents unlike those of the training, where a model reads them', async () => {
    // Latents have no bits per dimension, of whatever scale they are.
    const measured = ['--data', written.dataset, '--count', '2'];
    const images = /high and low holds latents\. Expected a data set of images/;
    await expectRefused('bpd', folder, [[checkpoint, measured, images]], []);
    const noisy = path.join(folder, 'of-another-scale.safetensors');
    await succeeds(tarflow('sample', checkpoint, '--count', '2', '--out', noisy));
    const { tensors, metadata } = await readSafetensors(noisy);
    await writeSafetensors(noisy, tensors, { ...metadata, scale: '2.5' });
    const encoded = path.join(folder, 'of-another-autoencoder.safetensors');
    await writeSafetensors(encoded, tensors, { ...metadata, autoencoder: 'def' });
    await expectRefused(
      'denoise',
      folder,
      [
        [
          checkpoint,
          ['--in', noisy],
          /The latents that .*checkpoint\.safetensors was trained on were multiplied by 2, the latents of .* by 2\.5\. Take latents of that scale/,
        ],
        [
          checkpoint,
          ['--in', encoded],
          /by the autoencoder of SHA-256 abc, .* by that of def\. Take latents by that autoencoder/,
        ],
      ],
      ['--out', path.join(folder, 'never.safetensors')],
    );
    const scaled = await latentsSaying('read-scaled', { scale: '3' }, both);
    const all = ['train', 'train+validation'].map((split) => `${scaled}/${split}.safetensors`);
    fs.copyFileSync(all[0]!, all[1]!);
    const plan = ['--data', `latents:${scaled}`, '--out', path.join(folder, 'never.json')];
    await expectRefused(
      'plan',
      folder,
      [[checkpoint, plan, /this model was trained on .* by 3/]],
      [],
    );
  });

  test('of a file with an experiment', async () => {
    const expectRefusal = async (text: string, message: RegExp) => {
      fs.writeFileSync(experiment, text);
      expect(await refused(trainInto('refused'))).toMatch(message);
    };
    await expectRefusal('{', /captions\.json is not JSON/);
    await expectRefusal('{"name":"a"}', /config is missing/);
    writeExperiment();
    expect(await refused(trainInto('refused', '--set', 'text.entries=4'))).toMatch(
      /The model reads 4 entries of 24 numbers/,
    );
  });
});
