import type { Conditioned } from '../conditions/context.js';
import { checkGiven, counted, UserError } from '../core/errors.js';
import type { Tree } from '../core/tree.js';
import type { DataSource } from '../data/index.js';
import { checkSameLatents, type KnownLatents } from '../data/latents/same-latents.js';
import type { LatentFacts } from '../data/source.js';
import { checkImageSize, checkPixelRange, type Family, type ModelConfig } from '../flow/model.js';
import { type BatchOptions, checkShares, heldOutBatch, type Share } from './batches/index.js';
import { type ModelSpec, modelSpec } from './model-spec.js';
import { differences } from './run-description.js';
import { checkSettings, type TrainingSettings } from './settings.js';

/** What is checked of a run; of what it begins with that is the model, and its latents. */
export interface RunToCheck<C extends ModelConfig, P extends Tree> {
  family: Family<C, P>;
  config: C;
  settings?: Partial<TrainingSettings>;
  data: DataSource;
  validation?: DataSource | undefined;
  parallel?: Share | undefined;
  from?: { config: ModelConfig; latents?: LatentFacts | undefined } | undefined;
}

/** What a run is made of, checked. */
export interface CheckedParts<C extends ModelConfig, P extends Tree> {
  settings: TrainingSettings;
  spec: ModelSpec<C, P>;
  batchOptions: BatchOptions;
}

/**
 * Checks that model, data and settings of a run fit each other, before anything is made. No engine is
 * needed for it.
 *
 * @throws UserError that says what does not
 */
export async function checkRun<C extends ModelConfig, P extends Tree>(
  run: RunToCheck<C, P>,
): Promise<CheckedParts<C, P>> {
  const settings = checkSettings(run.settings);
  const { data } = run;
  const spec = modelSpec(run.family, run.family.check(run.config));
  const { config } = spec;
  const objectives = spec.tasks.map(({ objective }) => objective);
  const batchOptions = { config, objectives, settings, data };
  for (const source of run.validation ? [data, run.validation] : [data]) {
    checkSource(config, source);
  }
  if (run.validation) {
    checkSameEncoder(config, data, run.validation);
    checkHeldOutLatents(data, run.validation);
  }
  if (settings.batchSize > data.length) {
    throw new UserError(
      `A batch of ${settings.batchSize} is larger than ${data.name} (${counted(data.length, 'image')})`,
      'Lower batchSize',
    );
  }
  checkShares(settings.batchSize, run.parallel?.size ?? 1);
  if (run.from) {
    checkSameConfig(run.from.config, config, run.family.trainingFields ?? []);
    const { latents } = run.from;
    checkStartedLatents({ which: 'The latents of what the run begins with', latents }, data);
  }
  // An objective says by itself what of settings and samples it cannot read.
  await heldOutBatch(batchOptions, [0]);
  const { values } = await data.read([0]);
  if (values instanceof Float32Array) checkPixelRange(config, values, `The images of ${data.name}`);
  return { settings, spec, batchOptions };
}

/**
 * Checks that samples are of the size of a model, and come with the classes or captions that it reads.
 * @throws UserError that says what does not fit
 */
export function checkSource(
  config: ModelConfig,
  source: Pick<DataSource, 'name' | 'image' | 'classes' | 'text'>,
): void {
  checkGiven('The data set', source, 'image', 'name');
  checkImageSize(config, source.image, source.name);
  if (config.classes !== 0 && config.classes !== source.classes.length) {
    throw new UserError(
      `${source.name} has ${source.classes.length} classes and the model ${config.classes}`,
      'Set classes to the same number, or to 0 for an unconditional model',
    );
  }
  checkCaptions(config, source);
}

/** Checks that samples come with the states of captions that a model reads. */
function checkCaptions(
  { text: read }: Conditioned,
  { name, text: came }: Pick<DataSource, 'name' | 'text'>,
): void {
  if (!read) return;
  const expected = `${read.entries} entries of ${read.width} numbers`;
  if (!came) {
    throw new UserError(
      `${name} has no captions, and the model reads them`,
      `Expected ${expected} a sample: let an encoder read captions of the data (withCaptionStates, --text-encoder), or take latents ` +
        'with a tensor text (writeCaptionStates), or a model without text',
    );
  }
  if (came.entries === read.entries && came.width === read.width) return;
  throw new UserError(
    `The captions of ${name} have ${came.entries} entries of ${came.width} numbers`,
    `The model reads ${expected}: set text.entries and text.width`,
  );
}

/** Checks that held-out samples have their captions from the encoder of those to train on. */
function checkSameEncoder(
  { text: read }: Conditioned,
  data: DataSource,
  validation: DataSource,
): void {
  if (!read) return;
  const [ours, theirs] = [data, validation].map(({ text }) => text?.encoder);
  if (!ours || !theirs || ours.weights === theirs.weights) return;
  throw new UserError(
    `The captions to train on were encoded by ${ours.name}, the held-out ones by ${theirs.name} ` +
      'with other weights',
    'Encode both by the same encoder',
  );
}

/** Checks that held-out latents have the scale and the autoencoder of those to train on. */
function checkHeldOutLatents(data: DataSource, validation: DataSource): void {
  checkSameLatents(
    { which: 'The latents to train on', latents: data.latents },
    { which: 'The held-out ones', latents: validation.latents },
    {
      scale: 'Encode the held-out ones again: `tarflow encode --scale FILE` with those to train on',
      autoencoder: 'Encode both by the same autoencoder',
    },
  );
}

/**
 * Checks that a run goes on with latents of the scale that it, or what it began with, was trained on,
 * and warns where they are by another autoencoder.
 * @throws UserError that names both scales
 */
export function checkStartedLatents(
  before: KnownLatents,
  { name, latents }: Pick<DataSource, 'name' | 'latents'>,
): void {
  checkSameLatents(
    before,
    { which: `the latents of ${name}`, latents },
    {
      scale:
        'Encode the data again by that scale (`tarflow encode --scale NUMBER`, or the file of the ' +
        'first latents), or begin anew',
    },
  );
}

/** @param apart fields that may differ, by their names or as `image.height` */
function checkSameConfig(came: ModelConfig, expected: ModelConfig, apart: readonly string[]): void {
  const other = differences(came, expected).find(
    ({ path }) => !apart.some((field) => path === field || path.startsWith(`${field}.`)),
  );
  if (other === undefined) return;
  throw new UserError(
    `The checkpoint to begin with has ${other.path} ${other.there}, the run ${other.here}`,
    'Begin with a checkpoint of the same configuration, or change that of the run (--set)',
  );
}
