import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { sharedFolder } from '../temporary-folder.js';
import { savedFlow, smallConfig } from '../training/small.js';
import { refused, succeeds, tarflow } from './command-line.js';

const folder = sharedFolder();
const at = (...names: string[]) => path.join(folder, ...names);
let model = '';

beforeAll(async () => {
  model = await savedFlow(folder, smallConfig, { noise: { kind: 'gaussian', sigma: 0.1 } });
  fs.mkdirSync(at('pictures'));
  fs.mkdirSync(at('run'));
  fs.symlinkSync(at('pictures'), at('elsewhere'));
  const raw = { width: 4, height: 4, channels: 1 } as const;
  for (const name of ['one', 'two']) {
    await sharp(Buffer.alloc(16, 99), { raw }).toFile(at('pictures', `${name}.png`));
  }
  const data = new Float32Array(16);
  const images = { shape: [1, 1, 4, 4], dtype: 'F32', data } as const;
  await writeSafetensors(at('images.safetensors'), { images }, {});
  fs.symlinkSync(at('images.safetensors'), at('link.safetensors'));
  for (const name of ['run.json', 'checkpoint.safetensors', 'log.jsonl', 'state-7.safetensors']) {
    fs.writeFileSync(at('run', name), 'of a run');
  }
});

/** The bytes of every file in the folder. */
function everything(): Map<string, string> {
  const names = fs.readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => fs.statSync(at(name)).isFile());
  return new Map(files.map((name) => [name, fs.readFileSync(at(name), 'base64')]));
}

test('a command writes over nothing that it reads, whatever names lead there', async () => {
  const [one, two] = [at('pictures', 'one.png'), at('pictures', 'two.png')];
  const images = at('images.safetensors');
  const way = ['interpolate', model, one, two, '--out'];
  const denoise = ['denoise', model, '--in', images, '--out'];
  const mistakes: [string[], RegExp][] = [
    [[...way, two], /two\.png would be written over, and is read\. /],
    [[...way, at('elsewhere', 'two.png')], /elsewhere.two\.png would be written over.*pictures/],
    [[...denoise, images], /images\.safetensors would be written over.*Choose another name/],
    [[...denoise, at('link.safetensors')], /link\.safetensors would be written over/],
    [[...denoise, model], /would be written over/],
    [[...denoise, path.join(folder, '.', 'pictures', '..', 'images.safetensors')], /written over/],
    [[...way, at('pictures')], /into .*pictures, which holds .*one\.png.*another folder/],
    [[...way, at('elsewhere')], /into .*elsewhere, which holds .*one\.png/],
    [['sample', model, '--out', at('run', 'log.jsonl')], /log\.jsonl is a file of a run/],
    [['sample', model, '--out', at('run', 'checkpoint.safetensors')], /is a file of a run/],
    [['sample', model, '--out', at('run', 'state-7.safetensors')], /is a file of a run/],
    [['score', model, '--data', at('pictures'), '--maps', one], /one\.png would be written over/],
  ];
  const before = everything();
  for (const [words, message] of mistakes)
    expect(await refused(tarflow(...words))).toMatch(message);
  expect(everything()).toEqual(before);
});

test('what is not read may be written over, and pictures go beside others', async () => {
  const [one, two] = [at('pictures', 'one.png'), at('pictures', 'two.png')];
  const strip = at('pictures', 'strip.png');
  for (let i = 0; i < 2; i++) {
    await succeeds(tarflow('interpolate', model, one, two, '--images', '3', '--out', strip));
  }
  await succeeds(tarflow('sample', model, '--count', '1', '--out', at('run', 'drawn.png')));
});
