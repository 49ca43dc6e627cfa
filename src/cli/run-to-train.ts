import * as path from 'node:path';
import type { Conditioned } from '../conditions/context.js';
import { openTextEncoder, textEncoderLoader } from '../conditions/text/named-encoder.js';
import { UserError } from '../core/errors.js';
import {
  type DataSource,
  datasetForms,
  datasetFromAnywhere,
  datasetNames,
  openDataset,
  withCaptionStates,
} from '../data/index.js';
import type { ModelConfig } from '../flow/model.js';
import { experimentFor, surveyOf } from '../models/choose-experiment.js';
import { readExperiment, withOverrides } from '../models/experiments.js';
import { readStartingConfig } from '../models/read-starting-point.js';
import { familyOf } from '../models/registry.js';
import type { Share } from '../training/batches/index.js';
import { checkRun } from '../training/checks.js';
import { type Experiment, findExperiment, knownExperiments } from '../training/experiment.js';
import { modelSpec } from '../training/model-spec.js';
import type { NamedData, RunDescription } from '../training/run-description.js';
import { RunFolder } from '../training/run-folder.js';
import { checkSettings, type TrainingSettings } from '../training/settings.js';
import { checkWritable } from './arguments.js';
import { withProgress } from './command.js';
import { stepSeconds } from './training-threads.js';

/** What says which run is trained. */
export interface RunOptions {
  out: string;
  experiment?: string;
  data?: string;
  /** For what time a model is chosen where there is no experiment. */
  minutes?: number;
  fastDecode: boolean;
  textEncoder?: string;
  set: string[];
  from?: string;
  /** Whether the run in the folder goes on. */
  resume: boolean;
}

/** What is trained, and on what. */
export interface RunToTrain {
  experiment: Experiment;
  /** What the run is called; undefined for one that the library began. */
  name: string | undefined;
  /** How its data are opened. */
  named: NamedData;
  /** What the folder says of a run that goes on. */
  recorded: RunDescription | undefined;
  /** What it begins with, where not with fresh parameters. */
  begun: StartingConfig | undefined;
}

type StartingConfig = Awaited<ReturnType<typeof readStartingConfig>>;

/**
 * Where a run goes: as asked, or into `runs`, under the name of its data.
 * @throws UserError where nothing says what is trained
 */
export function runFolderOf(
  asked: string | undefined,
  { experiment, data }: Pick<RunOptions, 'experiment' | 'data'>,
  resume: boolean,
): string {
  const isKnown = experiment !== undefined || data !== undefined || resume;
  if (isKnown && asked !== undefined) return asked;
  if (data !== undefined) return path.join('runs', path.basename(data.replace(/^\w+:/, '')));
  if (!isKnown) {
    throw new UserError(
      'Nothing says what to train on',
      'Name your pictures (--data folder:PATH), or an experiment of --list (--experiment NAME)',
    );
  }
  const rest = resume
    ? '--out runs/mypics --resume'
    : `--experiment ${experiment} --out runs/first`;
  throw new UserError('No --out came', `Example: tarflow train ${rest}`);
}

/**
 * What the options ask to be trained, or what the folder records of a run that goes on. Where they name data
 * alone, an experiment is chosen; what of pictures is not as they are is said. Folder, beginning and values
 * are checked before pictures are looked at or steps timed.
 *
 * @throws UserError for an experiment or a value that is none, for a folder without a run that could go
 *   on, or where none can begin, and for data of which nothing says where they lie
 */
export async function runToTrain(options: RunOptions): Promise<RunToTrain> {
  const { experiment: asked, out, resume, set, data, minutes, from } = options;
  const recorded = resume ? await new RunFolder(out).described() : undefined;
  if (minutes !== undefined && (asked !== undefined || recorded)) {
    throw new UserError(
      '--minutes came for a run whose steps are known',
      'Leave it out, or set the number of steps (--set steps=NUMBER)',
    );
  }
  await checkWritable(path.join(out, 'run.json'));
  if (!resume) await new RunFolder(out).checkFree();
  const begun = from === undefined ? undefined : await readStartingConfig(from);
  const goesOn = asked === undefined ? recorded : undefined;
  const known = goesOn
    ? recordedExperiment(goesOn, out)
    : asked === undefined
      ? await chosen(options)
      : asked.endsWith('.json')
        ? await readExperiment(asked)
        : findExperiment(asked);
  const experiment = checkedExperiment(known, set);
  if (!resume && data !== undefined) {
    const survey = await surveyOf(data);
    if (survey) console.error(`${data}: ${survey.text(experiment.config.image)}.`);
  }
  const name = goesOn ? goesOn.experiment : experiment.name;
  return { experiment, name, named: namedDataOf(options, experiment, recorded), recorded, begun };
}

/** An experiment with its replaced values, which fit. */
function checkedExperiment(known: Experiment, set: readonly string[]): Experiment {
  const experiment = withOverrides(known, set);
  const { config, settings } = experiment;
  familyOf(config.kind).check(config);
  checkSettings(settings);
  return experiment;
}

/** An experiment for the data alone. */
async function chosen({ data = '', minutes, set }: RunOptions): Promise<Experiment> {
  const timeOf = (config: ModelConfig, settings: TrainingSettings) => {
    checkedExperiment({ name: data, description: '', dataset: data, config, settings }, set);
    return stepSeconds({ config, settings });
  };
  const { experiment, because } = await experimentFor(data, { minutes, timeOf });
  console.error(`Chosen: ${because}.`);
  return experiment;
}

/** What a run's folder says of its experiment. */
function recordedExperiment(
  { experiment, data: dataset, config, settings }: RunDescription,
  folder: string,
): Experiment {
  const name = experiment ?? path.basename(path.resolve(folder));
  return { name, description: '', dataset, config, settings };
}

/** How the data of a run are opened: as was asked, as its folder records it, or as the experiment says. */
function namedDataOf(
  { data, fastDecode, textEncoder, out }: RunOptions,
  { dataset }: Experiment,
  recorded: RunDescription | undefined,
): NamedData {
  const asked = { ...(fastDecode && { fastDecode }), ...(textEncoder && { textEncoder }) };
  if (data !== undefined) return { data: datasetFromAnywhere(data), ...asked };
  if (recorded?.named) return { ...recorded.named, ...asked };
  if (recorded?.data !== dataset || datasetNames.includes(dataset)) {
    return { data: datasetFromAnywhere(dataset), ...asked };
  }
  // A run that does not say where its data lie, of an experiment that does.
  const own = knownExperiments().find(({ name }) => name === recorded.experiment);
  if (own && !datasetNames.includes(own.dataset)) return { data: own.dataset, ...asked };
  throw new UserError(
    `The run in ${out} was trained on '${dataset}', of which it does not say where it lies`,
    `Name it again: --data with one of ${datasetForms.join(', ')}`,
  );
}

/**
 * Opens the data of a run, and checks before anything is timed or trained what can be told without an
 * engine: `train` checks it again.
 *
 * @param parallel present where several processes share each batch
 */
export async function openRunData(
  { experiment, named, begun }: RunToTrain,
  { resume }: Pick<RunOptions, 'resume'>,
  parallel?: Share,
): Promise<[DataSource, DataSource]> {
  const { config, settings } = experiment;
  const { data: dataset, fastDecode = false, textEncoder } = named;
  const { text }: Conditioned = config;
  if (textEncoder !== undefined && !text) {
    throw new UserError(
      '--text-encoder came for a model that reads no captions',
      'Leave it out, or set text.entries and text.width in a file of the experiment',
    );
  }
  if (textEncoder !== undefined) textEncoderLoader(textEncoder);
  if (!begun && !resume) checkAllTrained(experiment);
  // The states of captions that an encoder is to read come later.
  const without = <C extends ModelConfig>(whole: C): C =>
    textEncoder === undefined ? whole : { ...whole, text: undefined };
  const [data, validation] = await Promise.all([
    openDataset(dataset, 'train', { image: config.image, fastDecode }),
    openDataset(dataset, 'validation', { image: config.image, fastDecode }),
  ]);
  await checkRun({
    family: familyOf(config.kind),
    config: without(config),
    settings,
    data,
    validation,
    parallel,
    ...(begun && { from: { ...begun, config: without(begun.config) } }),
  });
  return [data, validation];
}

/** Where a part of a model is not trained, as an autoencoder's encoder, it has to come from elsewhere. */
function checkAllTrained({ name, config }: Experiment): void {
  const { shapes, tasks } = modelSpec(familyOf(config.kind), config);
  const trained = new Set(tasks.flatMap(({ leaves }) => leaves));
  const others = Object.keys(shapes).filter((leaf) => !trained.has(leaf));
  if (others.length === 0) return;
  throw new UserError(
    `${name} leaves a part of its model as it is (${others[0]} and ${others.length - 1} more), and ` +
      'nothing came that has learnt it',
    'Add --from with the run or checkpoint that it goes on from',
  );
}

/** Data to train on and held-out data, with the states of their captions where an encoder is named. */
export async function captioned(
  [data, validation]: [DataSource, DataSource],
  { text }: Conditioned,
  name: string | undefined,
): Promise<[DataSource, DataSource]> {
  if (name === undefined || !text) return [data, validation];
  const encoder = await openTextEncoder(name);
  try {
    const { entries } = text;
    const withStates = (source: DataSource): Promise<DataSource> => {
      const work = (onProgress: (share: number) => void) =>
        withCaptionStates(source, {
          entries,
          width: encoder.width,
          encoder: { name: encoder.name, weights: encoder.weights },
          async encode(captions) {
            const states = await encoder.encode(captions, { entries });
            return states.data<'float32'>().finally(() => states.dispose());
          },
          onProgress,
        });
      return withProgress(`Captions (${source.split})`, 100, work, '%');
    };
    return [await withStates(data), await withStates(validation)];
  } finally {
    encoder.dispose();
  }
}
