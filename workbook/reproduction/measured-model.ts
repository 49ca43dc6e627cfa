import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import * as path from 'node:path';
import type { Conditioned } from '../../src/conditions/context.js';
import { currentEngine } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { foldIn, normal, randomKey, uniform } from '../../src/core/random.js';
import { tf, tidy } from '../../src/core/tf.js';
import { type DataSource, imagesTensor } from '../../src/data/index.js';
import {
  type FeatureRows,
  type FeatureStatistics,
  RunningStatistics,
} from '../../src/evaluation/feature-statistics.js';
import { featuresOf, keptStatistics } from '../../src/evaluation/image-features.js';
import { readStatistics, type StoredStatistics } from '../../src/evaluation/statistics-file.js';
import { weightsDigest } from '../../src/evaluation/test-readings.js';
import type { Model } from '../../src/flow/model.js';
import { blocksOf } from '../../src/flow/model.js';
import type { FeatureNetwork } from '../../src/pretrained/feature-network.js';
import { decode } from '../../src/sampling/autoencode.js';
import type { Guidance } from '../../src/sampling/guidance.js';
import { type Part, samplesOfPart } from '../../src/sampling/parts.js';
import { sample } from '../../src/sampling/sample.js';
import { publishedJacobi } from '../../src/sampling/solvers/published/published.js';
import type { Solver } from '../../src/sampling/solvers/solvers.js';
import { namedSolvers, selectiveJacobi } from '../../src/sampling/solvers/strategies.js';
import { convergenceRankingMetric } from '../../src/sampling/study/metrics.js';
import type { Noise } from '../../src/training/batches/index.js';
import {
  accelerationStrategies,
  measureAcceleration,
  sequentialPlan,
} from '../acceleration/measure.js';
import { finiteImages } from '../measures/class-judge.js';
import type { Acceleration } from '../records/record.js';
import type { Splits } from './data.js';
import { methodOf } from './measurable.js';
import type { LatentDecoder, ReproduceOptions, SharedStatistics } from './options.js';
import { paperGuidance } from './paper-experiment.js';
import { PartialSamples, samplesPrefix } from './partial-work.js';
import type { Recipe } from './recipe.js';

/** Largest error of an iteration that is not the published one, as a share of the data range. */
const defaultTolerance = 1e-3;

/** A model of a row, and what its measures take. */
export interface ModelParts {
  flow: Model;
  recipe: Recipe;
  splits: Splits;
  options: ReproduceOptions;
  /** Of the training. */
  noise: Noise;
  /** The images that latents were made of; absent: the latents are decoded to have some. */
  real?: (() => Promise<Splits>) | undefined;
  /** What decodes samples, where latents are modelled. */
  decoder?: (() => Promise<LatentDecoder>) | undefined;
  /** Where samples are written while they are made, so that what is stopped goes on. */
  folder: string;
}

/** A model that is measured: what several measures share is made once. */
export class MeasuredModel {
  private table: Promise<Acceleration> | undefined;
  private ranking: Promise<{ shares: number[]; images: number }> | undefined;
  private opened: Promise<FeatureNetwork> | undefined;

  private readonly shared: SharedStatistics;

  constructor(readonly parts: ModelParts) {
    this.shared = parts.options.shared ?? new Map();
  }

  /** Whether samples are compared with images as they were, and not as an autoencoder decodes them. */
  get knowsRealImages(): boolean {
    return !this.decodesReal || this.parts.options.statistics !== undefined;
  }

  /** Whether the images of {@link real} are latents, which are decoded. */
  get decodesReal(): boolean {
    return this.decodes && this.parts.real === undefined;
  }

  /** What samples are compared with. */
  async real(): Promise<Splits> {
    return this.parts.real ? this.parts.real() : this.parts.splits;
  }

  /** Whether samples are latents, which are decoded. */
  get decodes(): boolean {
    return this.parts.decoder !== undefined;
  }

  /** The network by whose features images are compared, opened at the first call. */
  network(): Promise<FeatureNetwork> {
    this.opened ??= this.parts.options.openNetwork();
    return this.opened;
  }

  /** As the papers measure: annealed, or by the product of Gaussians; undefined without guidance. */
  guidance(): Guidance | undefined {
    return paperGuidance(this.parts.recipe.sampling);
  }

  /**
   * The accelerated strategies that are asked for by the papers' names, as published: GS-Jacobi by the
   * lists that were tuned for this model, or else of their form; the others stop where no number changes
   * by 0.5.
   */
  private strategies(images: tf.Tensor4D): Record<string, Solver | readonly Solver[]> {
    const { flow, recipe } = this.parts;
    const { strategy } = recipe;
    const asked = recipe.asked.flatMap(methodOf);
    const makers: Record<string, () => Solver | readonly Solver[]> = {
      'GS-Jacobi': () =>
        strategy === undefined
          ? accelerationStrategies(flow, images, defaultTolerance)['GS-Jacobi, published form']
          : namedSolvers(flow, strategy),
      'Jacobi in all blocks': () => blocksOf(flow).map((block) => publishedJacobi(block)),
      SeJD: () => selectiveJacobi(flow, { published: true }),
    };
    return Object.fromEntries(
      Object.entries(makers)
        .filter(([method]) => asked.includes(method))
        .map(([method, make]) => [method, make()]),
    );
  }

  /** The acceleration table of this model, measured at the first call. */
  acceleration(): Promise<Acceleration> {
    this.table ??= this.measureTable();
    return this.table;
  }

  private async measureTable(): Promise<Acceleration> {
    const { flow, options } = this.parts;
    const { batch, repeats, seed, mode, signal, onProgress } = options;
    const images = await this.metricImages();
    try {
      return await measureAcceleration(flow, {
        batch,
        repeats,
        seed,
        images,
        strategies: this.strategies(images),
        // No method of the papers is a plan of ours, which takes longer than all of them to make.
        plan: sequentialPlan(flow, { batch, mode }),
        label: this.labels(batch * repeats),
        guidance: this.guidance(),
        signal,
        mode,
        onProgress: (share, now) => onProgress?.(share, `acceleration: ${now}`),
      });
    } finally {
      images.dispose();
    }
  }

  /** Up to a thousand training images without noise, as the metrics of GS-Jacobi take. */
  async metricImages(): Promise<tf.Tensor4D> {
    const { train } = this.parts.splits;
    const count = Math.min(1000, train.length);
    const step = Math.floor(train.length / count);
    return imagesTensor(
      train,
      Array.from({ length: count }, (_, i) => i * step),
    );
  }

  /** Shares of the Convergence Ranking Metric in per cent, by block, over so many images. */
  convergenceShares(): Promise<{ shares: number[]; images: number }> {
    this.ranking ??= this.metricImages().then((images) => {
      try {
        const found = convergenceRankingMetric(this.parts.flow, images);
        return { shares: found.map(({ share }) => 100 * share), images: images.shape[0] };
      } finally {
        images.dispose();
      }
    });
    return this.ranking;
  }

  /**
   * Classes drawn uniformly, or as training images have them, one per sample; undefined for a model or
   * samples without.
   */
  labels(count: number): Int32Array | undefined {
    const { classes } = this.parts.flow.config;
    const { unlabelled, labelledAsTrained } = this.parts.recipe.sampling;
    if (classes === 0 || unlabelled) return undefined;
    const { labels: trained } = this.parts.splits.train;
    const choices = labelledAsTrained ? trained : Int32Array.from({ length: classes }, (_, i) => i);
    const drawn = uniform(foldIn(randomKey(this.parts.options.seed), 'labels'), count);
    const last = choices.length - 1;
    return Int32Array.from(
      drawn,
      (value) => choices[Math.min(last, Math.floor(value * choices.length))] as number,
    );
  }

  /** The states of held-out captions, in turn, for samples; undefined for a model that reads none. */
  private async captions(first: number, count: number): Promise<tf.Tensor3D | undefined> {
    const { text: reads } = this.parts.flow.config as Conditioned;
    if (!reads) return undefined;
    const { validation } = this.parts.splits;
    const indices = Array.from({ length: count }, (_, i) => (first + i) % validation.length);
    const { text } = await validation.read(indices);
    if (text) return tf.tensor3d(text.states, [count, reads.entries, reads.width]);
    throw new UserError(
      `${validation.name} (${validation.split}) has no states of captions`,
      'Encode it with --text-encoder',
    );
  }

  /** New images in the data's range: of pixels, or of latents by their decoder. */
  private async images(made: tf.Tensor4D): Promise<tf.Tensor4D> {
    if (!this.parts.decoder) return tf.clipByValue(made, -1, 1);
    const decoder = await this.parts.decoder();
    const { mode, signal } = this.parts.options;
    const latents = tf.div<tf.Tensor4D>(made, decoder.scale);
    const decoding = decode(decoder.autoencoder, latents, { mode, signal });
    const decoded = await decoding.finally(() => latents.dispose());
    return tidy(() => {
      const clipped = tf.clipByValue(decoded, -1, 1);
      decoded.dispose();
      return clipped;
    });
  }

  /** Mean and covariance of real images' features: of a file, or of all training images. */
  async realStatistics(): Promise<StoredStatistics> {
    const file = this.parts.options.statistics;
    if (file !== undefined) return this.once(file, () => readStatistics(file));
    const { train } = await this.real();
    return this.statisticsOf(train, train.length, 'real images');
  }

  /** Mean and covariance of the features of a split's first images, of those of {@link real}. */
  async statisticsOf(data: DataSource, count: number, what: string): Promise<StoredStatistics> {
    const network = await this.network();
    const decoded =
      this.parts.decoder && this.decodesReal
        ? [(await this.parts.decoder()).digest, this.parts.recipe.sampling.denoising]
        : undefined;
    const name = [network.name, data.name, data.split, data.length, count, decoded].join('/');
    return this.once(name, () => this.computedStatistics(network, data, count, what));
  }

  private once(name: string, make: () => Promise<StoredStatistics>): Promise<StoredStatistics> {
    const { shared } = this;
    const known = shared.get(name) ?? make();
    shared.set(name, known);
    // What failed is tried again.
    known.catch(() => shared.delete(name));
    return known;
  }

  private async computedStatistics(
    network: FeatureNetwork,
    data: DataSource,
    count: number,
    what: string,
  ): Promise<FeatureStatistics> {
    const { batch, signal, onProgress } = this.parts.options;
    const tell = (share: number) => onProgress?.(share, `features of ${what}`);
    if (!this.decodesReal) {
      const indices = Array.from({ length: count }, (_, i) => i);
      const name = `${data.name} (${data.split})`;
      return keptStatistics(network, { data, indices }, { signal, name, onProgress: tell });
    }
    const running = new RunningStatistics();
    const atATime = Math.max(batch, 500);
    for (let first = 0; first < count; first += atATime) {
      const indices = Array.from({ length: Math.min(atATime, count - first) }, (_, i) => first + i);
      const latents = await this.realLatents(data, indices);
      const decoded = await this.images(latents).finally(() => latents.dispose());
      running.add(await featuresOf(network, decoded, { signal }).finally(() => decoded.dispose()));
      tell((first + indices.length) / count);
    }
    return running.statistics();
  }

  /**
   * Real latents as the decoder reads those of samples: with the noise of training, where it is the
   * decoder that takes it away. Each one's noise depends on its number alone.
   */
  private async realLatents(data: DataSource, indices: readonly number[]): Promise<tf.Tensor4D> {
    const latents = await imagesTensor(data, indices);
    const { noise, recipe, options } = this.parts;
    if (noise.kind !== 'gaussian' || recipe.sampling.denoising > 0) return latents;
    const key = foldIn(randomKey(options.seed), 'latent noise');
    const size = latents.size / indices.length;
    const drawn = new Float32Array(latents.size);
    indices.forEach((index, i) => {
      drawn.set(normal(foldIn(key, index), size), i * size);
    });
    return tidy(() => {
      const added = tf.mul(tf.tensor4d(drawn, latents.shape), noise.sigma);
      const noisy = tf.add<tf.Tensor4D>(latents, added);
      latents.dispose();
      return noisy;
    });
  }

  /**
   * Mean and covariance of the features of samples, denoised where the model was trained with Gaussian
   * noise, decoded where they are latents, and clipped to the data's range. Those with a number that is
   * not finite are left out, and counted.
   *
   * @param solver of all blocks; default sequential
   * @returns no statistics where fewer than two samples are finite
   */
  async sampleStatistics(
    solver?: Solver | readonly Solver[],
  ): Promise<{ statistics: FeatureStatistics | undefined; broken: number }> {
    const { part } = this.parts.options;
    const file = await this.samplesFile(solver);
    const running = new RunningStatistics();
    let broken = 0;
    for (const each of part ? [part] : partsBeside(file)) {
      const made = await this.partOfSamples(solver, file, each);
      running.include(made.running.sums());
      broken += made.broken;
    }
    const finite = running.sums().count;
    return { statistics: finite < 2 ? undefined : running.statistics(), broken };
  }

  /** Draws a part of the samples, unless a file beside `file` has it. */
  private async partOfSamples(
    solver: Solver | readonly Solver[] | undefined,
    file: string,
    part: Part,
  ): Promise<PartialSamples> {
    const { samples, batch, seed, mode, signal, onProgress } = this.parts.options;
    const network = await this.network();
    const labels = this.labels(samples);
    const range = samplesOfPart(samples, batch, part);
    const partial = await PartialSamples.open(fileOfPart(file, part));
    try {
      while (partial.made < range.count) {
        const first = range.from + partial.made;
        const count = Math.min(batch, range.count - partial.made);
        const text = await this.captions(first, count);
        const drawn = await sample(this.parts.flow, {
          count,
          batchSize: batch,
          seed,
          from: first,
          label: labels?.slice(first, first + count),
          guidance: this.guidance(),
          solver,
          denoise: this.denoising(),
          text,
          signal,
          mode,
        }).finally(() => text?.dispose());
        const features = this.featuresOfSamples(network, drawn).finally(() => drawn.dispose());
        await partial.add(await features, count);
        onProgress?.(partial.made / range.count, 'samples');
      }
    } finally {
      await partial.write();
    }
    return partial;
  }

  /** The file of samples by a solver, whose name tells all that decides them. */
  private async samplesFile(solver: unknown): Promise<string> {
    const { samples, batch, seed, mode } = this.parts.options;
    const { name, weights } = await this.network();
    const decoder = this.parts.decoder && (await this.parts.decoder());
    const { engine, version } = currentEngine();
    const text = await this.captions(0, Math.min(samples, 8));
    const { flow, noise, recipe } = this.parts;
    const model = [flow.config, weightsDigest(flow), recipe.sampling, noise];
    const drawing = [samples, batch, seed, mode, engine, version, solver, name, weights];
    const hash = createHash('sha256').update(
      JSON.stringify([...model, ...drawing, decoder && [decoder.digest, decoder.scale]]),
    );
    for (const given of [this.labels(samples), await text?.data()]) if (given) hash.update(given);
    text?.dispose();
    const digest = hash.digest('hex').slice(0, 16);
    return path.join(this.parts.folder, `${samplesPrefix}${digest}.safetensors`);
  }

  /** The denoising step after sampling; undefined for none. */
  private denoising(): { sigma: number; multiplier: number } | undefined {
    const { noise, recipe } = this.parts;
    if (noise.kind !== 'gaussian' || recipe.sampling.denoising === 0) return undefined;
    return { sigma: noise.sigma, multiplier: recipe.sampling.denoising };
  }

  /** Those of the samples that are finite, before they are decoded and after it; undefined of none. */
  private async featuresOfSamples(
    network: FeatureNetwork,
    drawn: tf.Tensor4D,
  ): Promise<FeatureRows | undefined> {
    const taken = finiteOnes(drawn);
    if (!taken) return undefined;
    const images = await this.images(taken).finally(() => taken.dispose());
    const seen = finiteOnes(images);
    images.dispose();
    return seen && featuresOf(network, seen).finally(() => seen.dispose());
  }

  async dispose(): Promise<void> {
    (await this.opened)?.dispose();
  }
}

/** The file of a part of the samples of a distance; `file` itself where they are one. */
function fileOfPart(file: string, { number, of }: Part): string {
  return of === 1 ? file : file.replace(/\.safetensors$/, `.part-${number}-of-${of}.safetensors`);
}

/** The parts in which some processes drew the samples of `file`; one where there are none. */
function partsBeside(file: string): Part[] {
  const { dir, name } = path.parse(file);
  const numbers = (existsSync(dir) ? readdirSync(dir) : []).flatMap((each) => {
    if (!each.startsWith(`${name}.part-`)) return [];
    return Number(/-of-(\d+)\.safetensors$/.exec(each)?.[1] ?? 1);
  });
  const of = Math.max(1, ...numbers);
  return Array.from({ length: of }, (_, i) => ({ number: i + 1, of }));
}

/** The samples all of whose numbers are finite; undefined where there is none. */
function finiteOnes(samples: tf.Tensor4D): tf.Tensor4D | undefined {
  const finite = finiteImages(samples);
  return finite.length > 0 ? tf.gather(samples, finite) : undefined;
}
