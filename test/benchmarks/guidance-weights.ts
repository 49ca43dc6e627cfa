/**
 * FD of guided samples by weight and rule, by the rule of L3:
 *
 *     TARFLOW_RESULTS=results npx tsx test/benchmarks/guidance-weights.ts
 *
 * A TarFlow of clothes, all of whose blocks are guided, and a STARFlow of emoji, whose deep block is. What
 * results/claims/guidance-weights.json has stays; all takes about an hour and a half on two cores.
 */

import { startEngine } from '../../src/core/engine.js';
import { tf, tidy } from '../../src/core/tf.js';
import { imagesTensor, loadDataset } from '../../src/data/index.js';
import { featureStatistics } from '../../src/evaluation/feature-statistics.js';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import { featuresOf } from '../../src/evaluation/image-features.js';
import { classifierNetwork } from '../../src/evaluation/named-network.js';
import { resamplingError } from '../../src/evaluation/resampling-error.js';
import { classifier, openTextEncoder, starflow, vae } from '../../src/models/index.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { decode } from '../../src/sampling/autoencode.js';
import type { Guidance } from '../../src/sampling/guidance.js';
import { sample } from '../../src/sampling/sample.js';
import { startProgress } from '../../src/show/progress.js';
import '../../workbook/data/emoji.js';
import { finiteImages } from '../../workbook/measures/class-judge.js';
import { fashionJudge } from '../../workbook/notebook/fashion-judge.js';
import { costSince } from '../../workbook/notebook/timing.js';
import { guidanceWeights } from '../../workbook/papers/measurements/guidance.js';
import { readClaim, recordClaim } from '../../workbook/records/claim.js';
import { committedCheckpoint } from '../../workbook/records/training-run.js';

const samples = 2000;
const rules = {
  product: { rule: 'product' },
  'linear, constant': { rule: 'linear', annealed: false },
  'linear, annealed': { rule: 'linear', annealed: true },
} as const satisfies Record<string, Omit<Guidance, 'weight'>>;

/** FD of samples, and the share of them that is not finite: such samples count as failures. */
interface Measured {
  FD: number;
  error: number;
  notFinite: number;
}
type Measure = (guidance: Guidance | undefined) => Promise<Measured>;

async function clothes(): Promise<Measure> {
  const flow = await loadCheckpoint(committedCheckpoint('fashion-mnist-conditional-8x2'));
  const judge = await fashionJudge();
  const label = Array.from({ length: samples }, (_, i) => i % 10);
  return async (guidance) => {
    const how = { count: samples, label, seed: 1, batchSize: 200, denoise: { sigma: 0.1 } };
    const images = await sample(flow, { ...how, ...(guidance && { guidance }) });
    const finite = finiteImages(images);
    const kept = tf.gather(images, tf.tensor1d(finite, 'int32'));
    const { FD, error } = judge.measure(
      kept,
      finite.map((i) => i % 10),
    );
    tf.dispose([images, kept]);
    return { FD, error, notFinite: 1 - finite.length / samples };
  };
}

async function emoji(): Promise<Measure> {
  const flow = await loadCheckpoint(committedCheckpoint('emoji-text-mirrored'), {
    family: starflow,
  });
  const decoder = await loadCheckpoint(committedCheckpoint('emoji-vae-noisy'), { family: vae });
  const judge = await loadCheckpoint(committedCheckpoint('emoji-judge'), { family: classifier });
  const network = classifierNetwork(judge, 'emoji judge');
  const encoder = await openTextEncoder('minilm');
  const validation = await loadDataset('emoji-base-64', 'validation');
  const all = imagesTensor(validation, [...Array(validation.length).keys()]);
  const real = featureStatistics(await featuresOf(network, all));
  all.dispose();
  const trained = new Set((await loadDataset('emoji-composed-64', 'train')).captions);
  const base = await loadDataset('emoji-base-64', 'train');
  const names = [...new Set(base.captions)].filter((name) => trained.has(name)).slice(0, 200);
  const deepest = flow.config.layersPerBlock.length - 1;
  const text = await encoder.encode(names, { entries: flow.config.text?.entries ?? 0 });
  return async (guidance) => {
    const parts: tf.Tensor4D[] = [];
    for (let seed = 101; parts.length < samples / names.length; seed++) {
      const latents = await sample(flow, {
        ...{ count: names.length, text, seed },
        ...(guidance && { guidance: { ...guidance, blocks: [deepest] } }),
      });
      const own = tf.div<tf.Tensor4D>(latents, flow.details.latents?.scale ?? 1);
      parts.push(await decode(decoder, own));
      tf.dispose([latents, own]);
    }
    const images = tf.concat(parts);
    const finite = finiteImages(images);
    const kept = tidy(() =>
      tf.clipByValue(tf.gather(images, tf.tensor1d(finite, 'int32')), -1, 1),
    ) as tf.Tensor4D;
    const features = await featuresOf(network, kept, { batchSize: 100 });
    tf.dispose([...parts, images, kept]);
    const distance = (rows: typeof features) => frechetDistance(rows, real);
    return {
      FD: distance(features),
      error: resamplingError([features], distance, { draws: 20 }),
      notFinite: 1 - finite.length / samples,
    };
  };
}

async function main(): Promise<void> {
  await startEngine();
  const before = await readClaim('guidance-weights');
  const figures: Record<string, number> = { ...before?.figures };
  const errors: Record<string, number> = { ...before?.errors };
  for (const [model, opened] of Object.entries({ clothes, emoji })) {
    const runs = guidanceWeights.flatMap((weight) =>
      // Without guidance the rules are one.
      Object.entries(weight === 0 ? { product: rules.product } : rules).map(([rule, how]) => ({
        name: `${model}, ${rule}, w = ${weight}`,
        guidance: weight === 0 ? undefined : { weight, ...how },
      })),
    );
    const left = runs.filter(({ name }) => figures[`FD, ${name}`] === undefined);
    if (left.length === 0) continue;
    const measure = await opened();
    const progress = startProgress({ title: model, total: left.length, unit: 'settings' });
    for (const [i, { name, guidance }] of left.entries()) {
      const begun = performance.now();
      const { FD, error, notFinite } = await measure(guidance);
      Object.assign(figures, { [`FD, ${name}`]: FD, [`not finite, ${name}`]: 100 * notFinite });
      errors[`FD, ${name}`] = error;
      const cost = costSince(begun);
      const seconds = Number((await readClaim('guidance-weights'))?.cost.seconds ?? 0);
      await recordClaim('guidance-weights', figures, {
        configuration: {
          ...{
            weights: [...guidanceWeights],
            clothes: 'fashion-mnist-conditional-8x2',
            emoji: 'emoji-text-mirrored',
          },
          blocks: 'clothes: all; emoji: the deep one',
        },
        ...{ errors, n: `${samples} samples`, seed: 1 },
        cost: { ...cost, seconds: seconds + cost.seconds },
      });
      progress.update(i + 1);
    }
    progress.finish();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
