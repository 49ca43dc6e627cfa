/**
 * S5 and S6 over the authors' kind of loop: gathers what `peers/pytorch_acceleration.py` wrote into a
 * folder, measures its samples, and writes results/acceleration/authors-loop.json:
 *
 *     TARFLOW_RESULTS=results npx tsx test/benchmarks/authors-loop.ts FOLDER
 *
 * For each flow the folder has MODEL-choice.json and MODEL-measured.json and, where samples were drawn,
 * MODEL-samples/STRATEGY.safetensors, from the same noise and labels in turn. Samples are denoised once,
 * and compared with all training drawings by the features of EfficientNet-Lite0; a number that is not
 * finite counts as grey.
 */

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { z } from 'zod';
import { startEngine } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { tf, tidy } from '../../src/core/tf.js';
import { openDataset } from '../../src/data/index.js';
import { type FeatureRows, featureStatistics } from '../../src/evaluation/feature-statistics.js';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import { featuresOf, openFeatureNetwork } from '../../src/evaluation/index.js';
import { resamplingError } from '../../src/evaluation/resampling-error.js';
import { tokenCount } from '../../src/flow/patches.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { type TarFlow, tarflow } from '../../src/models/tarflow/index.js';
import { denoise } from '../../src/sampling/index.js';
import { processorName } from '../../src/sampling/planner/machine.js';
import { startProgress } from '../../src/show/progress.js';
import {
  type AuthorsLoopFlow,
  authorsLoopRow,
  gsJacobiSetting,
  writeRecord,
} from '../../workbook/records/record.js';
import { resultFile } from '../../workbook/records/results-folder.js';
import { committedCheckpoint } from '../../workbook/records/training-run.js';

const chosenFile = z.object({ chosen: gsJacobiSetting.nullable() });
const measuredFile = z.object({
  guidance: z.number(),
  annealed: z.boolean(),
  seed: z.number(),
  threads: z.number(),
  version: z.string(),
  rows: z.array(authorsLoopRow),
});

/** The strategies with samples, the loop's first, and the names of their files. */
const sampled = { sequential: 'sequential', SeJD: 'sejd', 'GS-Jacobi': 'gs-jacobi' };

function readAs<T>(schema: z.ZodType<T>, file: string): T {
  return schema.parse(JSON.parse(fs.readFileSync(file, 'utf8')));
}

/** Features of samples of a file, denoised; and how many were not finite. */
async function featuresOfFile(
  flow: TarFlow,
  file: string,
  sigma: number,
  network: Awaited<ReturnType<typeof openFeatureNetwork>>,
): Promise<{ features: FeatureRows; notFinite: number }> {
  const { images } = (await readSafetensors(file)).tensors;
  if (!images) throw new UserError(`${file} has no images`, 'Draw them again');
  const [count = 0] = images.shape;
  const { classes } = flow.config;
  let notFinite = 0;
  const progress = startProgress({ title: path.basename(file), total: count, unit: 'images' });
  const parts: tf.Tensor4D[] = [];
  const all = tf
    .tensor(images.data as Float32Array, images.shape)
    .as4D(...(images.shape as [number, number, number, number]));
  for (let from = 0; from < count; from += 100) {
    const size = Math.min(100, count - from);
    const label = Array.from({ length: size }, (_, i) => (from + i) % classes);
    const raw = tf.slice(all, from, size);
    const values = raw.dataSync();
    const length = values.length / size;
    for (let i = 0; i < size; i++) {
      if (!values.subarray(i * length, (i + 1) * length).every(Number.isFinite)) notFinite++;
    }
    parts.push(
      tidy(() => {
        const finite = tf.where(tf.isFinite(raw), raw, tf.zerosLike(raw)) as tf.Tensor4D;
        return tf.clipByValue(denoise(flow, finite, { sigma, label }), -1, 1) as tf.Tensor4D;
      }),
    );
    raw.dispose();
    progress.update(from + size);
  }
  progress.finish();
  const clean = tf.concat(parts);
  const features = await featuresOf(network, clean);
  tf.dispose([parts, all, clean]);
  return { features, notFinite };
}

/** FD of samples by each strategy, and by how much it is above the loop's, over the same noise. */
async function qualityOf(
  model: string,
  folder: string,
): Promise<Pick<AuthorsLoopFlow, 'tokens' | 'quality'>> {
  const flow = await loadCheckpoint(committedCheckpoint(model), { family: tarflow });
  const tokens = tokenCount(flow.config);
  const { noise, place, dataset = '' } = flow.details;
  const quality: AuthorsLoopFlow['quality'] = [];
  if (fs.existsSync(folder) && noise?.kind === 'gaussian') {
    const network = await openFeatureNetwork('efficientnet-lite0');
    const data = await openDataset(place ?? dataset, 'train', { image: flow.config.image });
    const indices = Array.from({ length: data.length }, (_, i) => i);
    const real = featureStatistics(await featuresOf(network, { data, indices }));
    const distance = (rows: FeatureRows) => frechetDistance(rows, real);
    let loop: FeatureRows | undefined;
    for (const [strategy, name] of Object.entries(sampled)) {
      const file = path.join(folder, `${name}.safetensors`);
      if (!fs.existsSync(file)) continue;
      const { features, notFinite } = await featuresOfFile(flow, file, noise.sigma, network);
      loop ??= features;
      const FD = distance(features);
      quality.push({
        strategy,
        FD,
        error: resamplingError([features], distance, { draws: 40 }),
        rise: FD - distance(loop),
        riseError:
          features === loop
            ? 0
            : resamplingError([features, loop], (a, b) => distance(a) - distance(b), { draws: 40 }),
        n: features.shape[0],
        notFinite,
      });
      console.error(JSON.stringify(quality.at(-1)));
    }
  }
  disposeModel(flow);
  return { tokens, quality };
}

async function main(): Promise<void> {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new UserError('No folder came', 'Name the one of the peer');
  const engine = await startEngine();
  const begun = performance.now();
  const flows: AuthorsLoopFlow[] = [];
  let torch = '';
  for (const model of ['fashion-mnist-density', 'emoji-256-tokens', 'emoji-conditional']) {
    const of = (what: string) => path.join(folder, `${model}-${what}`);
    const { version, ...measured } = readAs(measuredFile, of('measured.json'));
    const { chosen } = readAs(chosenFile, of('choice.json'));
    torch = version;
    flows.push({ model, chosen, ...measured, ...(await qualityOf(model, of('samples'))) });
  }
  const timed = flows.flatMap(({ rows }) => rows.flatMap(({ seconds }) => seconds));
  await writeRecord<'authors loop'>(resultFile(path.join('acceleration', 'authors-loop.json')), {
    flows,
    processor: processorName(),
    versions: {
      torch,
      engine: `${engine.engine} (${engine.version})`,
      node: process.version,
    },
    cost: {
      'seconds of timing': timed.reduce((sum, seconds) => sum + seconds, 0),
      'seconds of measuring': (performance.now() - begun) / 1000,
      cores: os.availableParallelism(),
    },
    command:
      'python test/benchmarks/peers/pytorch_acceleration.py choose, measure and draw; ' +
      'TARFLOW_RESULTS=results npx tsx test/benchmarks/authors-loop.ts FOLDER',
    date: new Date().toISOString(),
  });
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
