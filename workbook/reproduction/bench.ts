import { createHash } from 'node:crypto';
import * as path from 'node:path';
import type { Mode } from '@tarflow/graph';
import type { Conditioned } from '../../src/conditions/given.js';
import { currentEngine } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { foldIn, normal, randomKey, uniform } from '../../src/core/random.js';
import { tf, tidy } from '../../src/core/tf.js';
import { type DataSource, imagesTensor } from '../../src/data/index.js';
import { finiteImages } from '../../src/evaluation/class-judge.js';
import {
  type FeatureRows,
  type FeatureStatistics,
  RunningStatistics,
} from '../../src/evaluation/distances/features.js';
import {
  readStatistics,
  type StoredStatistics,
} from '../../src/evaluation/distances/statistics-file.js';
import { keptStatistics } from '../../src/evaluation/features/kept-statistics.js';
import { type FeatureNetwork, featuresOf } from '../../src/evaluation/features/network.js';
import { weightsDigest } from '../../src/evaluation/test-readings.js';
import { blocksOf } from '../../src/flow/flow.js';
import type { Model } from '../../src/flow/model.js';
import { decode } from '../../src/sampling/autoencode.js';
import type { Guidance } from '../../src/sampling/guidance/guided-block.js';
import { sequentialPlan } from '../../src/sampling/planner/plan-file.js';
import { sample } from '../../src/sampling/sample.js';
import { namedSolvers } from '../../src/sampling/solvers/published-strategies.js';
import {
  publishedJacobi,
  type Solver,
  selectiveJacobi,
} from '../../src/sampling/solvers/solver.js';
import { convergenceRankingMetric } from '../../src/sampling/study/metrics.js';
import type { Noise } from '../../src/training/batches/index.js';
import {
  type Acceleration,
  accelerationStrategies,
  measureAcceleration,
} from '../acceleration/acceleration.js';
import type { RecipeSampling } from './asked.js';
import { PartialSamples } from './partial-samples.js';

/** Largest error of an iteration that is not the published one, as a share of the data range. */
const defaultTolerance = 1e-3;

/** The splits of a row's data. The test split is opened by `openTestSplit` alone. */
export interface Splits {
  train: DataSource;
  validation: DataSource;
}

/** How measures are taken. */
export interface MeasureOptions {
  /** Samples of a distance. */
  samples: number;
  /** Images sampled together. */
  batch: number;
  seed: number;
  /** Images of a likelihood, the first ones; default all. */
  images?: number | undefined;
  /** How often each strategy is timed. */
  repeats: number;
  /** How computations run; default as `sample` and `train` choose. */
  mode?: Mode | undefined;
  /** What the feature network is called, of which kept figures are. */
  network?: string | undefined;
  /** Called with the share done, 0 to 1, of a part of the work, and what that part is. */
  onProgress?: (share: number, what: string) => void;
  signal?: AbortSignal | undefined;
}

/** A validation of a training. */
export interface HeldOut {
  step: number;
  loss: number;
  /** Images that it was of. */
  images: number;
}

/** What makes images of latents. */
export interface LatentDecoder {
  autoencoder: Model;
  /** What its latents were multiplied by. */
  scale: number;
  /** Of the autoencoder's configuration and all its numbers. */
  digest: string;
}

/** What a bench is made of. */
export interface BenchParts {
  flow: Model;
  splits: Splits;
  /** The images that latents were made of; absent: the latents are decoded to have some. */
  real?: (() => Promise<Splits>) | undefined;
  /** What decodes samples, where latents are modelled. */
  decoder?: (() => Promise<LatentDecoder>) | undefined;
  /** Of the training. */
  noise: Noise;
  sampling: RecipeSampling;
  options: MeasureOptions;
  openNetwork: () => Promise<FeatureNetwork>;
  /** What its training measured on held-out images; absent where the weights are given. */
  validations?: readonly HeldOut[] | undefined;
  /** A published strategy that was tuned for this model. */
  strategy?: string | undefined;
  /** The methods that are timed and counted, by the papers' names, beside sequential sampling. */
  methods?: ReadonlySet<string>;
  /** A file with the statistics of real images; absent: those of the training split are computed. */
  statistics?: string | undefined;
  /** Statistics that benches of the same data and network share; absent for none. */
  shared?: SharedStatistics;
}

/** Where samples are written that may be stopped. */
export interface SamplesPlace {
  folder: string;
  /** Those that were written, to be deleted once they are no longer needed. */
  files: string[];
}

/** Statistics of real images' features, by what they are of. */
export type SharedStatistics = Map<string, Promise<StoredStatistics>>;

/** A model on the bench: what several measures share is made once. */
export class Bench {
  private table: Promise<Acceleration> | undefined;
  private ranking: Promise<{ shares: number[]; images: number }> | undefined;
  private readonly shared: SharedStatistics;
  private opened: Promise<FeatureNetwork> | undefined;
  readonly flow: Model;
  readonly splits: Splits;
  private readonly ofLatents: BenchParts['real'];
  readonly options: MeasureOptions;
  readonly validations: readonly HeldOut[] | undefined;
  readonly noise: Noise;
  readonly sampling: RecipeSampling;
  private readonly decoder: BenchParts['decoder'];
  private readonly strategy: string | undefined;
  private readonly methods: ReadonlySet<string>;
  private readonly openNetwork: () => Promise<FeatureNetwork>;
  private readonly statisticsFile: string | undefined;

  constructor(parts: BenchParts) {
    this.flow = parts.flow;
    this.splits = parts.splits;
    this.ofLatents = parts.real;
    this.options = parts.options;
    this.validations = parts.validations;
    this.noise = parts.noise;
    this.sampling = parts.sampling;
    this.decoder = parts.decoder;
    this.strategy = parts.strategy;
    this.methods = parts.methods ?? new Set();
    this.openNetwork = parts.openNetwork;
    this.statisticsFile = parts.statistics;
    this.shared = parts.shared ?? new Map();
  }

  /** Whether samples are compared with images as they were, and not as an autoencoder decodes them. */
  get knowsRealImages(): boolean {
    return !this.decodesReal || this.statisticsFile !== undefined;
  }

  /** Whether the images of {@link real} are latents, which are decoded. */
  get decodesReal(): boolean {
    return this.decodes && this.ofLatents === undefined;
  }

  /** What samples are compared with. */
  async real(): Promise<Splits> {
    return this.ofLatents ? this.ofLatents() : this.splits;
  }

  /** Whether samples are latents, which are decoded. */
  get decodes(): boolean {
    return this.decoder !== undefined;
  }

  /** The network by whose features images are compared, opened at the first call. */
  network(): Promise<FeatureNetwork> {
    this.opened ??= this.openNetwork();
    return this.opened;
  }

  /** As the papers measure: annealed, or by the product of Gaussians; undefined without guidance. */
  guidance(): Guidance | undefined {
    const { guidance: weight = 0, rule, temperature } = this.sampling;
    if (weight === 0) return undefined;
    const how = rule === 'product' ? { rule } : { annealed: true };
    return { weight, ...how, ...(temperature !== undefined && { temperature }) };
  }

  /**
   * The accelerated strategies that are asked for by the papers' names, as published: GS-Jacobi by the
   * lists that were tuned for this model, or else of their form; the others stop where no number changes
   * by 0.5.
   */
  private strategies(images: tf.Tensor4D): Record<string, Solver | readonly Solver[]> {
    const { flow, strategy } = this;
    const form = 'GS-Jacobi, published form';
    const makers: Record<string, () => Solver | readonly Solver[]> = {
      'GS-Jacobi': () =>
        strategy === undefined
          ? (accelerationStrategies(flow, images, defaultTolerance)[form] as readonly Solver[])
          : namedSolvers(flow, strategy),
      'Jacobi in all blocks': () => blocksOf(flow).map((block) => publishedJacobi(block)),
      SeJD: () => selectiveJacobi(flow, { published: true }),
    };
    return Object.fromEntries(
      Object.entries(makers)
        .filter(([method]) => this.methods.has(method))
        .map(([method, make]) => [method, make()]),
    );
  }

  /** The acceleration table of this model, measured at the first call. */
  acceleration(): Promise<Acceleration> {
    this.table ??= this.measureTable();
    return this.table;
  }

  private async measureTable(): Promise<Acceleration> {
    const { batch, repeats, seed, mode, signal, onProgress } = this.options;
    const images = await this.metricImages();
    const guidance = this.guidance();
    const labels = this.labels(batch * repeats);
    try {
      return await measureAcceleration(this.flow, {
        ...{ batch, repeats, seed, images, strategies: this.strategies(images) },
        // No method of the papers is a plan of ours, which takes longer than all of them to make.
        plan: sequentialPlan(this.flow, { batch, ...(mode && { mode }) }),
        ...(labels && { label: labels }),
        ...(guidance && { guidance }),
        ...(signal && { signal }),
        ...(mode && { mode }),
        onProgress: (share, now) => onProgress?.(share, `acceleration: ${now}`),
      });
    } finally {
      images.dispose();
    }
  }

  /** Up to a thousand training images without noise, as the metrics of GS-Jacobi take. */
  async metricImages(): Promise<tf.Tensor4D> {
    const { train } = this.splits;
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
        const found = convergenceRankingMetric(this.flow, images);
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
    const { classes } = this.flow.config;
    const { unlabelled, labelledAsTrained } = this.sampling;
    if (classes === 0 || unlabelled) return undefined;
    const { labels: trained } = this.splits.train;
    const choices = labelledAsTrained ? trained : Int32Array.from({ length: classes }, (_, i) => i);
    const drawn = uniform(foldIn(randomKey(this.options.seed), 'labels'), count);
    const last = choices.length - 1;
    return Int32Array.from(
      drawn,
      (value) => choices[Math.min(last, Math.floor(value * choices.length))] as number,
    );
  }

  /** The states of held-out captions, in turn, for samples; undefined for a model that reads none. */
  private async captions(first: number, count: number): Promise<tf.Tensor3D | undefined> {
    const { text: reads } = this.flow.config as Conditioned;
    if (!reads) return undefined;
    const { validation } = this.splits;
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
    if (!this.decoder) return tf.clipByValue(made, -1, 1);
    const decoder = await this.decoder();
    const { mode, signal } = this.options;
    const latents = tf.div<tf.Tensor4D>(made, decoder.scale);
    const how = { ...(mode && { mode }), ...(signal && { signal }) };
    const decoded = await decode(decoder.autoencoder, latents, how).finally(() =>
      latents.dispose(),
    );
    return tidy(() => {
      const clipped = tf.clipByValue(decoded, -1, 1);
      decoded.dispose();
      return clipped;
    });
  }

  /** Mean and covariance of real images' features: of a file, or of all training images. */
  async realStatistics(): Promise<StoredStatistics> {
    const file = this.statisticsFile;
    if (file !== undefined) return this.once(file, () => readStatistics(file));
    const { train } = await this.real();
    return this.statisticsOf(train, train.length, 'real images');
  }

  /** Mean and covariance of the features of a split's first images, of those of {@link real}. */
  async statisticsOf(data: DataSource, count: number, what: string): Promise<StoredStatistics> {
    const network = await this.network();
    const decoded =
      this.decoder && this.decodesReal
        ? [(await this.decoder()).digest, this.sampling.denoising]
        : undefined;
    const name = [network.name, data.name, data.split, data.length, count, decoded].join('/');
    return this.once(name, () => this.computedStatistics(network, data, count, what));
  }

  private once(name: string, make: () => Promise<StoredStatistics>): Promise<StoredStatistics> {
    const known = this.shared.get(name) ?? make();
    this.shared.set(name, known);
    // What failed is tried again.
    known.catch(() => this.shared.delete(name));
    return known;
  }

  private async computedStatistics(
    network: FeatureNetwork,
    data: DataSource,
    count: number,
    what: string,
  ): Promise<FeatureStatistics> {
    const { batch, signal, onProgress } = this.options;
    const how = { ...(signal && { signal }) };
    const tell = (share: number) => onProgress?.(share, `features of ${what}`);
    if (!this.decodesReal) {
      const indices = Array.from({ length: count }, (_, i) => i);
      const name = `${data.name} (${data.split})`;
      return keptStatistics(network, { data, indices }, { ...how, name, onProgress: tell });
    }
    const running = new RunningStatistics();
    const atATime = Math.max(batch, 500);
    for (let first = 0; first < count; first += atATime) {
      const indices = Array.from({ length: Math.min(atATime, count - first) }, (_, i) => first + i);
      const latents = await this.realLatents(data, indices);
      const decoded = await this.images(latents).finally(() => latents.dispose());
      running.add(await featuresOf(network, decoded, how).finally(() => decoded.dispose()));
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
    const { noise, sampling, options } = this;
    if (noise.kind !== 'gaussian' || sampling.denoising > 0) return latents;
    const key = foldIn(randomKey(options.seed), 'latent noise');
    const size = latents.size / indices.length;
    const drawn = new Float32Array(latents.size);
    indices.forEach((index, i) => {
      drawn.set(normal(foldIn(key, index), size), i * size);
    });
    return tidy(() => {
      const noisy = tf.add(latents, tf.mul(tf.tensor4d(drawn, latents.shape), noise.sigma));
      latents.dispose();
      return noisy as tf.Tensor4D;
    });
  }

  /**
   * Mean and covariance of the features of samples, denoised where the model was trained with Gaussian
   * noise, decoded where they are latents, and clipped to the data's range. Those with a number that is
   * not finite are left out, and counted.
   *
   * @param solver of all blocks; default sequential
   * @param place where samples that are stopped go on; default nowhere
   * @returns no statistics where fewer than two samples are finite
   */
  async sampleStatistics(
    solver?: Solver | readonly Solver[],
    place?: SamplesPlace,
  ): Promise<{ statistics?: FeatureStatistics; broken: number }> {
    const { samples, batch, seed, mode, signal, onProgress } = this.options;
    const network = await this.network();
    const labels = this.labels(samples);
    const guidance = this.guidance();
    const denoise = this.denoising();
    const file = place && (await this.samplesFile(place, solver));
    const partial = await PartialSamples.open(file);
    try {
      while (partial.made < samples) {
        const first = partial.made;
        const count = Math.min(batch, samples - first);
        const text = await this.captions(first, count);
        const drawn = await sample(this.flow, {
          ...{ count, batchSize: batch, seed, from: first },
          ...(labels && { label: labels.slice(first, first + count) }),
          ...(guidance && { guidance }),
          ...(solver && { solver }),
          ...(denoise && { denoise }),
          ...(text && { text }),
          ...(signal && { signal }),
          ...(mode && { mode }),
        }).finally(() => text?.dispose());
        const features = this.featuresOfSamples(network, drawn).finally(() => drawn.dispose());
        await partial.add(await features, count);
        onProgress?.(partial.made / samples, 'samples');
      }
    } finally {
      await partial.write();
    }
    const { broken } = partial;
    return { ...(samples - broken >= 2 && { statistics: partial.running.statistics() }), broken };
  }

  /** The file of samples by a solver, whose name tells all that decides them. */
  private async samplesFile(place: SamplesPlace, solver: unknown): Promise<string> {
    const { samples, batch, seed, mode } = this.options;
    const { name, weights } = await this.network();
    const decoder = this.decoder && (await this.decoder());
    const { engine, version } = currentEngine();
    const text = await this.captions(0, Math.min(samples, 8));
    const hash = createHash('sha256').update(
      JSON.stringify([
        ...[this.flow.config, weightsDigest(this.flow), this.sampling, this.noise],
        ...[samples, batch, seed, mode, engine, version, solver, name, weights],
        decoder && [decoder.digest, decoder.scale],
      ]),
    );
    for (const told of [this.labels(samples), await text?.data()]) if (told) hash.update(told);
    text?.dispose();
    const file = path.join(place.folder, `samples-${hash.digest('hex').slice(0, 16)}.safetensors`);
    place.files.push(file);
    return file;
  }

  /** The denoising step after sampling; undefined for none. */
  private denoising(): { sigma: number; multiplier: number } | undefined {
    const { noise, sampling } = this;
    if (noise.kind !== 'gaussian' || sampling.denoising === 0) return undefined;
    return { sigma: noise.sigma, multiplier: sampling.denoising };
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

/** The samples all of whose numbers are finite; undefined where there is none. */
function finiteOnes(samples: tf.Tensor4D): tf.Tensor4D | undefined {
  const finite = finiteImages(samples);
  return finite.length > 0 ? tf.gather(samples, finite) : undefined;
}
