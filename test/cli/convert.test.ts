import * as path from 'node:path';
import { expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { forward } from '../../src/flow/index.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { writeSmallBert } from '../pretrained/small-bert.js';
import { expectRefused, tarflow, temporaryFolder, unwritablePath } from './command-line.js';

const golden = path.join(__dirname, '..', 'golden');
const published = path.join(golden, 'tf3_cond_vp_p2_c32.pth');

test('a published state dict becomes safetensors, and computes what it did', async () => {
  const to = path.join(temporaryFolder(), 'converted.safetensors');
  const { code, stdout } = await tarflow('convert', published, to, '--json');
  expect(code).toBe(0);
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

test('numbers are rounded where asked, and only those with a fraction', async () => {
  const to = path.join(temporaryFolder(), 'converted.safetensors');
  const many = path.join(__dirname, '..', 'formats', 'pth', 'many.pth');
  const { code } = await tarflow('convert', many, to, '--dtype', 'BF16');
  expect(code).toBe(0);
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
