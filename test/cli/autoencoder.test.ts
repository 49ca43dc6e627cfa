import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { openTextEncoder } from '../../src/conditions/text/named-encoder.js';
import { tf } from '../../src/core/tf.js';
import { openDataset } from '../../src/data/index.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import {
  type HostTensor,
  readSafetensors,
  writeSafetensors,
} from '../../src/formats/safetensors.js';
import { createModel, type VaeConfig } from '../../src/models/index.js';
import { saveCheckpoint } from '../../src/training/checkpoint.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { writeSmallBert } from '../pretrained/small-bert.js';
import { smallConfig } from '../training/small.js';
import {
  expectRefused,
  type Mistake,
  refused,
  succeeds,
  tarflow,
  temporaryFolder,
} from './command-line.js';

/** A small autoencoder of Fashion-MNIST, which is quick to read. */
const config = {
  ...{ kind: 'vae', image: { channels: 1, height: 28, width: 28 }, classes: 0 },
  ...{ channels: [4, 8], resnetsPerLevel: 1, groups: 2, latentChannels: 2, midAttention: false },
  loss: { trained: 'all', kl: 0, squares: 0, features: 0 },
};

const judge = path.join('results', 'checkpoints', 'fashion-mnist-classifier.safetensors');

async function checkpointIn(folder: string, dataset = 'fashion-mnist'): Promise<string> {
  const { image } = (await openDataset(dataset, 'validation')) as { image: VaeConfig['image'] };
  const model = createModel({ ...config, image }, 1);
  const file = path.join(folder, 'vae.safetensors');
  await saveCheckpoint(model, file, { dataset });
  disposeModel(model);
  return file;
}

test('an experiment is trained by its name', async () => {
  const out = path.join(temporaryFolder(), 'run');
  const small = ['latentChannels=2', 'midAttention=false', 'loss.features=0', 'groups=16'];
  const short = ['steps=1', 'batchSize=2', 'validationImages=2', 'validateEvery=1', 'saveEvery=1'];
  const { stdout } = await succeeds(
    tarflow(
      ...['train', '--experiment', 'emoji-vae', '--out', out, '--mode', 'eager'],
      ...['--set', ...small, ...short, 'warmupSteps=0'],
    ),
  );
  expect(stdout).toMatch(/held-out loss \d\.\d{4} \(absoluteError .*, kl .*, psnr .*\)/);
});

test('latents are written, read as a data set, and decoded; the autoencoder is measured', async () => {
  const folder = temporaryFolder();
  expectNoTensorsLeft();
  const checkpoint = await checkpointIn(folder);
  const latents = path.join(folder, 'latents');
  const file = (split: string) => path.join(latents, `${split}.safetensors`);
  const encoded = await succeeds(
    tarflow(...['encode', checkpoint, '--out', file('train'), '--count', '20', '--json']),
  );
  const { scale, image } = JSON.parse(encoded.stdout);
  expect(image).toEqual({ channels: 2, height: 14, width: 14 });
  const data = await openDataset(`latents:${latents}`, 'train');
  expect(data.length).toBe(20);
  expect(data.classes).toHaveLength(10);
  const { values } = await data.read(Array.from({ length: 20 }, (_, i) => i));
  const mean = (values as Float32Array).reduce((sum, value) => sum + value, 0) / values.length;
  const square = (values as Float32Array).reduce((sum, value) => sum + (value - mean) ** 2, 0);
  expect(square / values.length).toBeCloseTo(1, 3);

  const held = ['encode', checkpoint, '--split', 'validation', '--count', '3'];
  const second = await succeeds(tarflow(...held, '--out', file('validation'), '--json'));
  expect(JSON.parse(second.stdout).scale).toBe(scale);

  const out = path.join(folder, 'decoded.safetensors');
  const decoded = await succeeds(
    tarflow('decode', checkpoint, '--in', file('validation'), '--out', out),
  );
  expect(decoded.stderr).not.toMatch(/deviation|another autoencoder/);
  const far = path.join(folder, 'far.safetensors');
  const { tensors } = await readSafetensors(file('validation'));
  const wide = (tensors.latents as HostTensor).data.map((value) => 10 * Number(value));
  await writeSafetensors(far, { latents: { ...(tensors.latents as HostTensor), data: wide } });
  const warned = await tarflow('decode', checkpoint, '--in', far, '--scale', '1', '--out', out);
  expect(warned.stderr).toMatch(/have a deviation of 1?\d(\.\d+)?, where .*--scale 1/);
  expect((await readSafetensors(out)).tensors.images?.shape).toEqual([3, 1, 28, 28]);
  const pictures = path.join(folder, 'pictures');
  await tarflow('decode', checkpoint, '--in', file('train'), file('validation'), '--out', pictures);
  expect(fs.readdirSync(pictures)).toHaveLength(23);

  const measured = await succeeds(
    tarflow(...['autoencoder', checkpoint, '--count', '8', '--network', 'none', '--json']),
  );
  const quality = JSON.parse(measured.stdout);
  expect(quality).toMatchObject({
    images: 8,
    data: 'fashion-mnist',
    split: 'validation',
    noise: 0,
  });
  const noisy = await tarflow(
    ...['autoencoder', checkpoint, '--count', '8', '--network', 'none', '--noise', '0.3'],
    ...['--scale', file('train')],
  );
  const flow = createModel({ ...smallConfig, image: { ...image } }, 1);
  const score = path.join(folder, 'flow.safetensors');
  await saveCheckpoint(flow, score, { latents: { scale } });
  disposeModel(flow);
  // Samples say what their flow was trained on.
  const [drawn, shown] = ['drawn', 'shown'].map((name) => path.join(folder, `${name}.safetensors`));
  await succeeds(tarflow('sample', score, '--count', '2', '--out', drawn!));
  expect((await readSafetensors(drawn!)).metadata.scale).toBe(String(scale));
  const told = await succeeds(
    tarflow('decode', checkpoint, '--in', drawn!, '--out', shown!, '--json'),
  );
  expect(JSON.parse(told.stdout).scale).toBe(scale);
  const about = [
    ...['autoencoder', checkpoint, '--count', '8', '--network', 'none', '--noise', '0.3'],
    ...['--scale', file('train'), '--json'],
  ];
  const unlike = [...about.slice(0, -3), '--scale', String(2 * scale), '--denoise', score];
  expect(await refused(tarflow(...unlike))).toMatch(
    /flow\.safetensors was trained on were multiplied by .*those here/,
  );
  // A decoder may have been trained on: it is said, and they are decoded.
  const samples = await readSafetensors(drawn!);
  await writeSafetensors(drawn!, samples.tensors, { ...samples.metadata, autoencoder: 'abc' });
  const other = await succeeds(tarflow('decode', checkpoint, '--in', drawn!, '--out', shown!));
  expect(other.stderr).toMatch(/another autoencoder \(SHA-256 abc…\) than .*vae\.safetensors/);
  const denoised = JSON.parse((await tarflow(...about, '--denoise', score)).stdout);
  expect(denoised).toMatchObject({ noise: 0.3, denoise: score, images: 8 });
  expect(denoised.psnr).not.toBe(JSON.parse((await tarflow(...about)).stdout).psnr);
  expect(noisy.stdout).toMatch(/PSNR -?\d+\.\d\d ± \d.* dB \(8 images .*noise of 0\.3/);
});

test('captions go along, and their states where an encoder is named', async () => {
  const folder = temporaryFolder();
  const before = tf.memory().numTensors;
  const checkpoint = await checkpointIn(folder, 'emoji-composed-32');
  const bert = `bert:${path.join(folder, 'bert')}`;
  await writeSmallBert(path.join(folder, 'bert'));
  const out = path.join(folder, 'latents', 'train.safetensors');
  const asked = ['encode', checkpoint, '--count', '5', '--text-encoder', bert, '--out', out];
  const { code, stderr } = await tarflow(...asked, '--entries', '7');
  expect(code, stderr).toBe(0);
  expect(fs.readdirSync(path.dirname(out))).toEqual(['train.safetensors']);
  const data = await openDataset(`latents:${path.dirname(out)}`, 'train');
  expect(data.text).toMatchObject({ entries: 7, width: 24 });
  const { captions } = await (await openDataset('emoji-composed-32', 'train')).read([0, 3]);
  const read = await data.read([0, 3]);
  expect(read.captions).toEqual(captions);
  const encoder = await openTextEncoder(bert);
  const encoded = await encoder.encode(captions as string[], { entries: 7 });
  const expected = await encoded.data();
  read.text?.states.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i] as number, 2);
  });
  expect(read.text?.states).toHaveLength(2 * 7 * 24);
  encoded.dispose();
  encoder.dispose();
  expect(tf.memory().numTensors).toBe(before);

  // Refused before anything is encoded, and where it fails afterwards the latents stay.
  const late = path.join(folder, 'late', 'train.safetensors');
  const long = ['encode', checkpoint, '--count', '5', '--out', late, '--text-encoder'];
  const refused = await tarflow(...long, bert, '--entries', '1000');
  expect([refused.code, fs.existsSync(late)]).toEqual([2, false]);
  const states = path.join(folder, 'states.safetensors');
  const data32 = Float32Array.from({ length: 14 }, (_, i) => i);
  await writeSafetensors(
    states,
    { states: { dtype: 'F32', shape: [1, 7, 2], data: data32 } },
    { captions: JSON.stringify(['']) },
  );
  const unknown = await tarflow(...long, `states:${states}`);
  expect(unknown.stderr).toMatch(/no states of the caption/);
  expect(unknown.code).toBe(2);
  expect(fs.readdirSync(path.dirname(late))).toEqual(['train.safetensors']);
  expect((await openDataset(`latents:${path.dirname(late)}`, 'train')).length).toBe(5);
  expect(tf.memory().numTensors).toBe(before);
});

test('images are left out and mirrored by their class and caption', async () => {
  const folder = temporaryFolder();
  const checkpoint = await checkpointIn(folder, 'emoji-composed-32');
  const out = path.join(folder, 'latents', 'train.safetensors');
  const asked = ['encode', checkpoint, '--count', '60', '--out', out, '--scale', '1', '--json'];
  const { stdout } = await succeeds(
    tarflow(
      ...[
        ...asked,
        '--except',
        'SKIN tone',
        '--mirror',
        '--mirror-except',
        '^(Flags|Symbols):|left',
      ],
    ),
  );
  const first = Array.from({ length: 60 }, (_, i) => i);
  const source = await openDataset('emoji-composed-32', 'train');
  const { captions = [], labels } = await source.read(first);
  const kept = first.filter((i) => !captions[i]?.includes('skin tone'));
  const turned = kept.filter((i) => {
    const name = source.classes[labels[i] as number] ?? '';
    return !['Flags', 'Symbols'].includes(name) && !captions[i]?.includes('left');
  });
  expect(kept.length).toBeLessThan(60);
  expect(turned.length).toBeLessThan(kept.length);
  const images = kept.length + turned.length;
  expect(JSON.parse(stdout)).toMatchObject({ images, mirrored: turned.length });
  expect((await readSafetensors(out)).metadata).toMatchObject({
    except: 'SKIN tone',
    mirror: 'all except ^(Flags|Symbols):|left',
  });
  const data = await openDataset(`latents:${path.dirname(out)}`, 'train');
  const read = await data.read(Array.from({ length: images }, (_, i) => i));
  expect(read.captions).toEqual([...kept, ...turned].map((i) => captions[i]));
  expect([...read.labels]).toEqual([...kept, ...turned].map((i) => labels[i]));
});

test('Control-C while images are encoded exits 130, and leaves no file', async () => {
  const folder = temporaryFolder();
  const checkpoint = await checkpointIn(folder);
  const listeners = process.listenerCount('SIGINT');
  const out = path.join(folder, 'latents', 'train.safetensors');
  const running = tarflow('encode', checkpoint, '--count', '20000', '--out', out);
  while (process.listenerCount('SIGINT') === listeners) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  process.emit('SIGINT');
  const { code, stderr } = await running;
  expect(code, stderr).toBe(130);
  expect(stderr).toMatch(/tarflow: This was stopped\. Do the same again/);
  expect(stderr).not.toMatch(/bug/);
  expect(fs.existsSync(out)).toBe(false);
});

test('mistakes are told, and leave nothing behind', async () => {
  const folder = temporaryFolder();
  const checkpoint = await checkpointIn(folder);
  const flow = createModel(smallConfig, 1);
  const other = path.join(folder, 'flow.safetensors');
  await saveCheckpoint(flow, other, { dataset: 'fashion-mnist' });
  const out = ['--out', path.join(folder, 'some', 'validation.safetensors')];
  await expectRefused(
    'encode',
    folder,
    [
      [checkpoint, ['--split', 'validation'], /without the scale.*--split train first/],
      [checkpoint, ['--split', 'foo'], /Unknown split 'foo'/],
      [checkpoint, ['--scale', 'wide'], /--scale is 'wide'/],
      [checkpoint, ['--scale', checkpoint], /does not say by what/],
      [checkpoint, ['--data', 'emoji-base-64'], /Images of 3×64×64/],
      [checkpoint, ['--text-encoder', 'minilm'], /fashion-mnist has no captions/],
      [checkpoint, ['--except', '('], /\( is no regular expression/],
      [checkpoint, ['--except', '.'], /--except leaves none of/],
      [checkpoint, ['--mirror-except', 'left'], /--mirror-except came without --mirror/],
      [checkpoint, ['--entries', '7'], /--entries came without --text-encoder/],
      [other, [], /no encoder and decoder/],
    ],
    out,
  );
  const picture = [checkpoint, ['--out', path.join(folder, 'e.png')], /e\.png\. Expected .*\.safe/];
  await expectRefused('encode', folder, [picture as Mistake], []);
  await expectRefused(
    'autoencoder',
    folder,
    [
      [checkpoint, ['--noise', '0.3'], /--noise came without --scale.*Give --scale/],
      [checkpoint, ['--noise', '-1'], /--noise is -1/],
      [checkpoint, ['--denoise', other], /--denoise came without --noise/],
      [checkpoint, ['--scale', '2'], /--scale came without --noise/],
      [checkpoint, ['--real', 'emoji-base-32/train'], /--real came with --network none\. Leave/],
      [checkpoint, ['--split', 'test'], /--reason/],
    ],
    ['--count', '2', '--network', 'none'],
  );
  await expectRefused(
    'autoencoder',
    folder,
    [
      [checkpoint, ['--count', '2', '--real', 'fashion-mnist'], /came without a split/],
      [checkpoint, ['--count', '1'], /two images or more.*--network none/],
    ],
    ['--network', `classifier:${judge}`],
  );
  // What cannot be measured is no reading of the test split.
  const ledger = path.join(folder, 'ledger.jsonl');
  const read = ['--split', 'test', '--reason', 'a test', '--ledger', ledger, '--count', '2'];
  const missing = ['--noise', '0.1', '--scale', '1', '--denoise', path.join(folder, 'none')];
  await refused(tarflow('autoencoder', checkpoint, ...read, '--network', 'none', ...missing));
  expect(fs.existsSync(ledger)).toBe(false);
  const noScale = path.join(folder, 'samples.safetensors');
  await tarflow('sample', other, '--count', '1', '--out', noScale);
  await expectRefused(
    'decode',
    folder,
    [
      [checkpoint, ['--in', noScale], /Neither .*samples.* says what .*--scale/],
      [checkpoint, ['--in', noScale, '--scale', '2'], /Latents of \d channels?.*latents of 2/],
      [checkpoint, ['--in', checkpoint], /no tensor 'images'/],
    ],
    out,
  );
});
