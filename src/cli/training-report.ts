import type { Family } from '../flow/model.js';
import { optionTexts } from '../models/experiments.js';
import { familyOf } from '../models/registry.js';
import { type Progress, startProgress } from '../show/progress.js';
import { tableText, wordsInLines } from '../show/table.js';
import { knownExperiments } from '../training/experiment.js';
import type { StepRecord } from '../training/record.js';
import type { TrainingRun } from '../training/train.js';
import type { Outcome } from './command.js';

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

/** What the records of a run come to: its last losses, and the share of time spent on waiting for batches. */
export function summaryOf(records: readonly StepRecord[], { flow }: Family) {
  const validation = records.flatMap((record) => record.validation ?? []).at(-1);
  const dataShare = shareForData(records);
  return {
    figures: { loss: records.at(-1)?.loss, validation, dataShare },
    text: [
      ...(validation ? [validationText(validation, flow !== undefined)] : []),
      `${(100 * dataShare).toFixed(1)} % of the time went into waiting for batches`,
    ],
  };
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

/** What `tarflow train --list` shows. */
export function experimentList(): Outcome {
  const experiments = knownExperiments();
  const rows = experiments.map(({ name, description, dataset, config }) => ({
    experiment: name,
    model: familyOf(config.kind).title(config),
    data: dataset,
    what: description,
  }));
  const values = experiments.map(
    (experiment) =>
      `\nValues of ${experiment.name} (replace them with --set key=value):\n` +
      wrapped(optionTexts(experiment)),
  );
  return { json: experiments, text: [tableText(rows), ...values].join('\n') };
}

/** Words in indented lines of at most 80 columns. */
export function wrapped(words: readonly string[]): string {
  const lines = wordsInLines(words, (line) => line.length <= 78);
  return lines.map((line) => `  ${line}`).join('\n');
}
