/**
 * Inpainting and editing of test images, by the rule of P4:
 *
 *     TARFLOW_RESULTS=results npx tsx test/benchmarks/editing.ts
 *
 * Parts that results/uses/editing.json has stay; all take about half an hour on two cores.
 */

import * as os from 'node:os';
import { startEngine } from '../../src/core/engine.js';
import { tf, tidy } from '../../src/core/tf.js';
import { type ImageDataset, imagesTensor } from '../../src/data/index.js';
import { openFeatureNetwork } from '../../src/evaluation/named-network.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { classifierFeatures } from '../../src/models/classifier/family.js';
import { type LoadedModel, loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { editLatents, interpolate } from '../../src/sampling/interpolate.js';
import { type InpaintingStudy, measureInpainting } from '../../workbook/measures/inpainting.js';
import { testImages } from '../../workbook/notebook/dataset-images.js';
import { fashionClassifier } from '../../workbook/notebook/models.js';
import { type EditingRecord, readRecord, writeRecord } from '../../workbook/records/record.js';
import { resultFile } from '../../workbook/records/results-folder.js';
import { committedCheckpoint } from '../../workbook/records/training-run.js';
import '../../workbook/data/emoji.js';

const file = resultFile('uses/editing.json');
const sigma = 0.1;
const pairs = 1000;

async function main(): Promise<void> {
  const { engine, version } = await startEngine();
  const classifier = await fashionClassifier();
  const network = await openFeatureNetwork('efficientnet-lite0');
  const ofClothes = (images: tf.Tensor4D) => classifierFeatures(classifier, images).features;
  const ofEmoji = (images: tf.Tensor4D) => network.features(images);
  const record: EditingRecord = (await readRecord('editing', file)) ?? {
    command: 'TARFLOW_RESULTS=results npx tsx test/benchmarks/editing.ts',
    ...{ cost: { cores: os.cpus().length }, date: '', settings: { sigma, count: 4 } },
    versions: { engine: `${engine} (${version})`, node: process.version },
    ...{ inpainting: [], middles: [], styles: [] },
  };
  const keep = async (part: string, begun: number) => {
    record.cost[`${part}, seconds`] = Math.round((performance.now() - begun) / 1000);
    record.date = new Date().toISOString();
    await writeRecord<'editing'>(file, record);
    console.log(part, record.cost[`${part}, seconds`]);
  };
  const inpainted = async (
    where: string,
    name: string,
    dataset: string,
    study: Pick<InpaintingStudy, 'mask' | 'features'> & { images: number },
  ) => {
    if (record.inpainting.some((row) => row.where === where)) return;
    const begun = performance.now();
    const { flow, data } = await opened(name, dataset);
    const { rows, pictures } = await measureInpainting(flow, data, {
      ...{ ...study, indices: evenly(data, study.images), count: 4, sigma },
    });
    pictures.dispose();
    disposeModel(flow);
    record.inpainting.push(...rows.map((row) => ({ where, model: name, ...row })));
    await keep(where, begun);
  };
  const same = 'design/design-same-direction-seed-1';
  const below = { mask: maskOf(28, (row) => row >= 16), features: ofClothes };
  const right = (side: number) => maskOf(side, (_, column) => 2 * column >= side);
  await inpainted('clothes, exact', same, 'fashion-mnist', { ...below, images: 40 });
  const best = 'fashion-mnist-conditional-8x2';
  if (record.middles.length === 0) {
    const begun = performance.now();
    const { flow, data } = await opened(best, 'fashion-mnist');
    const likeliest = (images: tf.Tensor4D) => {
      const { logits } = classifierFeatures(classifier, images);
      return Array.from(tf.max(tf.softmax(logits), 1).dataSync());
    };
    record.middles = await middlesOf(flow, data, likeliest);
    record.styles = await stylesOf(flow, data, (images) =>
      Array.from(tf.argMax(classifierFeatures(classifier, images).logits, 1).dataSync()),
    );
    disposeModel(flow);
    await keep('edits', begun);
  }
  const clothes = { mask: right(28), features: ofClothes, images: 20 };
  await inpainted('clothes, right half', best, 'fashion-mnist', clothes);
  const emoji = { mask: right(32), features: ofEmoji, images: 12 };
  await inpainted('emoji, right half', 'emoji-256-tokens', 'emoji-base-32', emoji);
}

async function opened(name: string, dataset: string) {
  const flow = await loadCheckpoint(committedCheckpoint(name));
  const why = { measure: 'editing', reason: 'the rule of P4' };
  return { flow, data: await testImages(dataset, { models: { [name]: flow }, ...why }) };
}

const evenly = (data: ImageDataset, count: number) =>
  Array.from({ length: count }, (_, i) => Math.floor((i * data.length) / count));

function maskOf(side: number, covers: (row: number, column: number) => boolean): tf.Tensor4D {
  const values = Array.from({ length: side * side }, (_, i) =>
    Number(covers(Math.floor(i / side), i % side)),
  );
  return tf.tensor4d(values, [1, 1, side, side]);
}

/** The classifier's largest probability for the middle of pairs of images of two classes, by two ways. */
async function middlesOf(
  flow: LoadedModel,
  data: ImageDataset,
  likeliest: (images: tf.Tensor4D) => number[],
): Promise<EditingRecord['middles']> {
  const [ones, others] = [
    evenly(data, pairs),
    evenly(data, pairs + 1)
      .slice(1)
      .reverse(),
  ];
  const rows: EditingRecord['middles'] = [];
  for (const [i, one] of ones.entries()) {
    const other = others.find((index) => data.labels[index] !== data.labels[one])!;
    others.splice(others.indexOf(other), 1);
    const ends = imagesTensor(data, [one, other]);
    // The third of three is left: the way has both ends.
    const way = await interpolate(flow, ends, 3, { sigma, seed: i });
    const [noise, pixels] = tidy(() =>
      likeliest(tf.concat([tf.slice(way, 1, 1), tf.mean(ends, 0, true)])),
    );
    tf.dispose([ends, way]);
    rows.push({ images: [one, other], noise: noise!, pixels: pixels! });
  }
  return rows;
}

/** What the classifier takes images for that keep their noise and get another label. */
async function stylesOf(
  flow: LoadedModel,
  data: ImageDataset,
  guess: (images: tf.Tensor4D) => number[],
): Promise<EditingRecord['styles']> {
  const indices = evenly(data, 100);
  const from = indices.map((index) => data.labels[index]!);
  const to = from.map((label, i) => (label + 1 + (i % 9)) % 10);
  const images = imagesTensor(data, indices);
  const edited = await editLatents(flow, images, (z) => z, { from, to, sigma });
  const guesses = tidy(() => guess(tf.clipByValue(edited, -1, 1)));
  tf.dispose([images, edited]);
  return indices.map((image, i) => ({ image, from: from[i]!, to: to[i]!, guess: guesses[i]! }));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
