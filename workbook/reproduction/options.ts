import type { Mode } from '@tarflow/graph';
import type { DataSource, Split } from '../../src/data/index.js';
import type { StoredStatistics } from '../../src/evaluation/statistics-file.js';
import type { Model } from '../../src/flow/model.js';
import type { FeatureNetwork } from '../../src/pretrained/feature-network.js';
import type { Part } from '../../src/sampling/parts.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { StepRecord } from '../../src/training/record.js';
import type { Recipe } from './recipe.js';

/** Statistics of real images' features, by what they are of. */
export type SharedStatistics = Map<string, Promise<StoredStatistics>>;

/** What makes images of latents. */
export interface LatentDecoder {
  autoencoder: Model;
  /** What its latents were multiplied by. */
  scale: number;
  /** Of the autoencoder's configuration and all its numbers. */
  digest: string;
}

/** How rows are reproduced. */
export interface ReproduceOptions {
  /** Samples of a distance. */
  samples: number;
  /** Images sampled together. */
  batch: number;
  /** Draws a part of the samples of distances alone, and measures nothing else. */
  part?: Part | undefined;
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
  /** Where runs and figures go; what is there already is not made again. */
  out: string;
  /** Where committed checkpoints are: autoencoders that make and decode latents. */
  checkpoints: string;
  /** The user's folder of data, at the paper's scale. */
  data?: string | undefined;
  /** A checkpoint to measure in place of training one. */
  weights?: string | undefined;
  /** Opens what decodes latents, where a row models them; what it gives is freed with the row. */
  openDecoder?: ((recipe: Recipe) => Promise<LatentDecoder>) | undefined;
  /** Statistics of real images that rows share; default those of a row alone. */
  shared?: SharedStatistics | undefined;
  /** A file with the statistics of real images; absent: those of the training split. */
  statistics?: string | undefined;
  /** Opens the network by whose features samples are compared. */
  openNetwork: () => Promise<FeatureNetwork>;
  /** Seeds of the trainings, one each; default the experiment's own. */
  seeds?: readonly number[] | undefined;
  /** Changes an experiment before it is trained, for example to a smaller one. */
  change?: (experiment: Experiment) => Experiment;
  /** Opens data; default `openDataset`. */
  open?: ((recipe: Recipe, split: Split) => DataSource | Promise<DataSource>) | undefined;
  /** The ledger of readings of test splits. */
  ledger: string;
  /** Called before the first step of a training, with what is trained and the steps of it that are done. */
  onBegin?: (experiment: Experiment, step: number) => void;
  onStep?: (record: StepRecord, settings: Experiment['settings']) => void;
}
