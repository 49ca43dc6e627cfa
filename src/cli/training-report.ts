import { existsSync } from 'node:fs';
import type { Processes } from '@tarflow/graph';
import type { EngineReport } from '../core/engine.js';
import { counted } from '../core/errors.js';
import { optionTexts } from '../models/experiments.js';
import { familyOf } from '../models/registry.js';
import { type Progress, startProgress } from '../show/progress.js';
import { tableText, wordsInLines } from '../show/table.js';
import { type Experiment, findExperiment, knownExperiments } from '../training/experiment.js';
import type { StepRecord } from '../training/record.js';
import { RunFolder } from '../training/run-folder.js';
import type { TrainingResult, TrainingRun } from '../training/train.js';
import { shellWords } from './arguments.js';
import { exitCodes, type Outcome } from './command.js';

/** A progress bar, which begins where the run does. */
export function trainingProgress(total: number) {
  let progress: Progress | undefined;
  const calls: Pick<TrainingRun, 'onBegin' | 'onStep'> = {
    onBegin({ step, mode }) {
      if (mode === 'xla') console.error('XLA compiles the first step, for up to half a minute.');
      progress = startProgress({ title: 'Training', total, from: step });
    },
    onStep({ step, loss, validation: held, imagesPerSecond }) {
      progress?.update(step, {
        loss,
        ...(held && { 'held out': held.bitsPerDimension ?? held.loss }),
        'images/s': Math.round(imagesPerSecond),
      });
    },
  };
  return { ...calls, finish: () => progress?.finish() };
}

/** A run that ended, and of what. */
interface EndedRun extends Pick<TrainingResult, 'finished' | 'records'> {
  experiment: Experiment;
  /** What the run is called, where it is. */
  name: string | undefined;
  /** Its folder. */
  out: string;
  /** Names of the classes of its data. */
  classes: readonly string[];
  engine: EngineReport;
  /** Present where several trained it together. */
  processes?: Processes | undefined;
}

/** What `tarflow train` ends with: the last losses, and how to look at samples, or to go on. */
export function runOutcome({ experiment, name, out, classes, ...run }: EndedRun): Outcome {
  const { finished, records, engine, processes } = run;
  const together = processes ? ['--processes', `${processes.size}`] : [];
  const command = shellWords(['npx', 'tarflow', 'train', '--out', out, '--resume', ...together]);
  const { checkpoint, best: bestFile } = new RunFolder(out);
  const steps = records.at(-1)?.step ?? 0;
  const held = records.filter((record) => record.validation);
  const validation = held.at(-1)?.validation;
  const [least] = [...held].sort((a, b) => a.validation!.loss - b.validation!.loss);
  const best = existsSync(bestFile) ? least : undefined;
  const dataShare = shareForData(records);
  const nats = familyOf(experiment.config.kind).flow !== undefined;
  return {
    exitCode: finished ? exitCodes.done : exitCodes.interrupted,
    json: {
      experiment: name,
      finished,
      steps,
      loss: records.at(-1)?.loss,
      validation,
      dataShare,
      checkpoint,
      ...(best && { best: { step: best.step, checkpoint: bestFile } }),
      engine,
      ...(processes && { processes: processes.size, traffic: processes.traffic }),
      resume: finished ? undefined : command,
    },
    text: finished
      ? [
          `Trained for ${counted(steps, 'step')} in all; the model is ${checkpoint}`,
          ...(validation ? [validationText(validation, nats)] : []),
          ...(best && best.step < steps
            ? [
                `best after step ${best.step}, in ${bestFile}: ${validationText(best.validation!, nats)}`,
              ]
            : []),
          `${(100 * dataShare).toFixed(1)} % of the time went into waiting for batches`,
          ...(processes?.traffic.means ? [trafficText(processes)] : []),
          ...samplingHint(experiment, classes, out),
        ].join('\n')
      : `Stopped and saved after step ${steps} of ${experiment.settings.steps}. To go on:\n  ${command}`,
  };
}

function trafficText({ size, traffic }: Processes): string {
  const { means, bytes, waitingSeconds: waited, exchangeSeconds: taken } = traffic;
  const each = [bytes / 1e6, 1000 * taken, 1000 * waited].map((sum) => (sum / means).toFixed(2));
  return `${size} processes: of a step ${each[0]} MB left each, in ${each[1]} ms, after ${each[2]} ms of waiting`;
}

/** How to look at samples of a flow that was trained on noisy pictures. */
function samplingHint(
  { config, settings: { noise } }: Experiment,
  classes: readonly string[],
  out: string,
): string[] {
  if (!familyOf(config.kind).blocks || noise.kind !== 'gaussian' || config.image.channels > 3) {
    return [];
  }
  const names = classes.slice(0, 4).map((name, i) => (name.includes(',') ? i : name));
  const labels = config.classes > 0 ? ['--label', names.join(','), '--guidance', '1'] : [];
  const words = ['npx', 'tarflow', 'sample', out, ...labels, '--denoise', '--out', 'samples.png'];
  return [`To see what it draws:\n  ${shellWords(words)}`];
}

function shareForData(records: readonly StepRecord[]): number {
  const sum = (share: (record: StepRecord) => number) =>
    records.reduce((total, record) => total + share(record) / record.imagesPerSecond, 0);
  return records.length > 0 ? sum(({ dataShare }) => dataShare) / sum(() => 1) : 0;
}

/** @param nats true where the loss is one of likelihood; else its terms stand beside it */
function validationText(
  { loss, bitsPerDimension, ...terms }: NonNullable<StepRecord['validation']>,
  nats: boolean,
): string {
  if (!nats) {
    const named = Object.entries(terms).map(([name, value]) => `${name} ${value?.toFixed(4)}`);
    return `held-out loss ${loss.toFixed(4)} (${named.join(', ')})`;
  }
  const text = `held-out loss ${loss.toFixed(4)} nats per dimension`;
  return bitsPerDimension === undefined
    ? text
    : `${text}, ${bitsPerDimension.toFixed(4)} bits per dimension`;
}

/**
 * What `tarflow train --list` shows: a line for each experiment, or the values of the one that is named.
 * @throws UserError for a name that is none
 */
export function experimentList(asked: string | true): Outcome {
  if (asked !== true) {
    const experiment = findExperiment(asked);
    const values = `Values of ${asked} (replace them with --set key=value):`;
    return { json: experiment, text: `${values}\n${wrapped(optionTexts(experiment))}` };
  }
  const experiments = knownExperiments();
  const rows = experiments.map(({ name, description, dataset, config }) => ({
    experiment: name,
    model: familyOf(config.kind).title(config),
    data: dataset,
    what: description,
  }));
  const text =
    rows.length > 0
      ? `${tableText(rows)}\n\nThe values of one: tarflow train --list NAME`
      : 'None is known by name here. Name your pictures (--data folder:PATH), or a .json file.';
  return { json: experiments, text };
}

/** Words in indented lines of at most 80 columns. */
export function wrapped(words: readonly string[]): string {
  const lines = wordsInLines(words, (line) => line.length <= 78);
  return lines.map((line) => `  ${line}`).join('\n');
}
