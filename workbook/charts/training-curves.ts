import { inNotebook, newDisplay } from '../../src/show/display.js';
import { startProgress, throttled } from '../../src/show/progress.js';
import { lineChart, type Row } from './builders.js';
import { type ChartSpec, chartBundle, styled } from './chart.js';

/** What a training loop reports after each step; it may report more. */
export interface TrainingRecord {
  /** The number of steps done, including this one. */
  step: number;
  loss: number;
  imagesPerSecond?: number;
  /** The same loss on held-out images, if it was measured after this step. */
  validation?: { loss: number };
}

/** Follows a training run on the page. */
export interface LiveTraining<T extends TrainingRecord> {
  /** To pass to the training loop. */
  onStep(record: T): void;
  /** Ends the display. The chart stays, now with its picture. */
  finish(summary?: string): Promise<void>;
}

export interface LiveTrainingOptions<T extends TrainingRecord> {
  title: string;
  /** The total number of steps of the run. */
  steps: number;
  /** Steps done before by a run that is now resumed. */
  from?: number;
  /** The curves by name, each with its value in a record that has one. */
  curves?: Record<string, (record: T) => number | undefined>;
  yTitle?: string;
}

/**
 * Shows a training run while it goes on: a bar with the time left and, in a notebook, the loss
 * curve. Both are overwritten in place.
 */
export function liveTraining<T extends TrainingRecord = TrainingRecord>(
  options: LiveTrainingOptions<T>,
): LiveTraining<T> {
  const {
    title,
    steps,
    from = 0,
    yTitle = 'loss',
    curves = {
      training: (record) => record.loss,
      'held out': (record) => record.validation?.loss,
    },
  } = options;
  const progress = startProgress({ title, total: steps, from });
  const place = inNotebook() ? newDisplay() : undefined;
  const lines = Object.entries(curves).map(([name, value]) => ({
    name,
    value,
    points: [] as Point[],
  }));

  const chart = (): ChartSpec =>
    lineChart({
      title,
      rows: lines.flatMap(({ name, points }) =>
        thinned(points).map((point): Row => ({ ...point, curve: name })),
      ),
      x: 'step',
      y: 'value',
      series: 'curve',
      xTitle: 'training step',
      yTitle,
      xDomain: [0, steps],
    });
  // Drawing a picture takes the time of a step, so during the run only JupyterLab draws.
  const drawLive = throttled(2_000, () =>
    place?.show({
      'application/vnd.vegalite.v5+json': styled(chart()),
      'text/plain': `[chart] ${title}`,
    }),
  );

  return {
    onStep(record) {
      const fields: Record<string, number> = {};
      for (const { name, value, points } of lines) {
        const current = value(record);
        if (current !== undefined) points.push({ step: record.step, value: current });
        if (points.length > 0) fields[name] = averaged(points.slice(-groupSize(points))).value;
      }
      if (record.imagesPerSecond !== undefined) {
        fields['images/s'] = Math.round(record.imagesPerSecond);
      }
      progress.update(record.step, fields);
      drawLive();
    },
    async finish(summary) {
      progress.finish(summary);
      if (!place) return;
      const { bundle, size } = await chartBundle(chart());
      place.show(bundle, { ...size, alt: title });
    },
  };
}

interface Point {
  step: number;
  value: number;
}

/** How many points next to each other are averaged, so that a curve has at most 400. */
function groupSize({ length }: readonly Point[]): number {
  return Math.max(1, Math.ceil(length / 400));
}

function averaged(group: readonly Point[]): Point {
  const sum = group.reduce((total, { value }) => total + value, 0);
  return { step: group.at(-1)?.step ?? 0, value: sum / group.length };
}

function thinned(points: readonly Point[]): Point[] {
  const size = groupSize(points);
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) =>
    averaged(points.slice(i * size, (i + 1) * size)),
  );
}
