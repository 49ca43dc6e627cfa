import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { testReadings } from '../../src/evaluation/index.js';
import { savedAutoencoder, savedFlow, smallConfig } from '../training/small.js';
import { expectRefused, type Mistake, succeeds, tarflow, temporaryFolder } from './command-line.js';

const image = { channels: 1, height: 28, width: 28 };
const config = { ...smallConfig, image, patchSize: 7, classes: 0 };
const details = { noise: { kind: 'uniform' as const } };
const digits = 'mnist-10k-subset';

test('a table, a row for each image, and maps', async () => {
  const folder = temporaryFolder();
  const file = await savedFlow(folder, config, details);
  const at = (name: string) => path.join(folder, name);
  fs.mkdirSync(at('a,b'));
  const picture = { width: 40, height: 30, channels: 3, background: 'red' } as const;
  await sharp({ create: picture }).toFile(path.join(at('a,b'), 'red.png'));
  const sets = ['--data', `${digits}/validation`, '--against', at('a,b'), '--count', '6'];
  const more = ['--reference', `${digits}/train`, '--background', file];
  const before = tf.memory().numTensors;
  const json = ['--out', at('scores.json'), '--maps', at('maps.png'), '--json'];
  const { stdout } = await succeeds(tarflow('score', file, ...sets, ...more, ...json));
  const { table, reference } = JSON.parse(stdout);
  expect(reference).toBeGreaterThan(1);
  // Five scores of each set; how well they tell it from the first, which the first has not.
  expect(table).toHaveLength(10);
  expect(table[0]).toMatchObject({ set: `${digits}/validation`, score: 'bitsPerDimension' });
  expect(table[0]).not.toHaveProperty('auroc');
  expect(table[5]).toMatchObject({ set: at('a,b'), auroc: { value: expect.any(Number) } });
  const ratios = table.filter(({ score }: { score: string }) => score === 'likelihoodRatio');
  for (const { mean } of ratios) expect(mean.value).toBeCloseTo(0, 6);
  const { images } = JSON.parse(fs.readFileSync(at('scores.json'), 'utf8'));
  expect(images).toHaveLength(7);
  expect(images[0]).toMatchObject({ image: 0, class: expect.stringMatching(/^\d$/) });
  // Evenly from first to last.
  expect(images[5].image).toBeGreaterThan(100);
  expect((await sharp(at('maps.png')).metadata()).format).toBe('png');

  const csv = await succeeds(tarflow('score', file, ...sets, '--out', at('scores.csv')));
  expect(csv.stdout).toMatch(/bitsPerDimension +\d+\.\d{3} ± \d/);
  const lines = fs.readFileSync(at('scores.csv'), 'utf8').trimEnd().split('\n');
  expect(lines[0]).toBe('set,image,file,class,bitsPerDimension,complexityCorrected,scoreNorm');
  expect(lines).toHaveLength(8);
  expect(lines[7]).toMatch(/^".*a,b",0,red.png,,/);
  expect(tf.memory().numTensors).toBe(before);
});

test('a reading of a test split is written down', async () => {
  const folder = temporaryFolder();
  const file = await savedFlow(folder, config, details);
  const ledger = path.join(folder, 'ledger.jsonl');
  const options = ['--data', `${digits}/test`, '--count', '2', '--ledger', ledger];
  await succeeds(tarflow('score', file, ...options, '--reason', 'a test'));
  expect(await testReadings(ledger)).toMatchObject([
    { data: 'mnist-10k-subset', measure: 'anomaly scores', reason: 'a test' },
  ]);
});

test("a user's mistake exits 2, names the thing, and leaves nothing", async () => {
  const folder = temporaryFolder();
  const file = await savedFlow(folder, config, details);
  fs.mkdirSync(path.join(folder, 'small'));
  const small = await savedFlow(path.join(folder, 'small'), smallConfig, details);
  const autoencoder = await savedAutoencoder(folder);
  const data = ['--data', `${digits}/validation`, '--count', '2'];
  fs.mkdirSync(path.join(folder, 'pictures'));
  fs.writeFileSync(path.join(folder, 'pictures', 'broken.png'), 'no picture');
  const mistakes: Mistake[] = [
    [file, [], /does not say what it was trained on/],
    [file, ['--data', digits], /There are no images 'mnist-10k-subset'/],
    [file, ['--data', 'nowhere'], /There are no images 'nowhere'/],
    [file, ['--data', `${digits}/test`], /--reason/],
    [file, [...data, '--reason', 'why'], /--reason came without a test split/],
    [file, [...data, '--out', path.join(folder, 'scores.txt')], /ends in \.csv or \.json/],
    [file, [...data, '--maps', path.join(folder, 'maps.jpg')], /ends in \.png/],
    [file, [...data, '--background', small], /takes 1×4×4/],
    [file, ['--data', path.join(folder, 'pictures')], /broken\.png/],
    [autoencoder, data, /no density/],
  ];
  await expectRefused('score', folder, mistakes, []);
});
