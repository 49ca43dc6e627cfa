import { inNotebook, newDisplay } from '../../src/show/display.js';
import { startProgress, throttled } from '../../src/show/progress.js';
import type { LikelihoodRecord } from '../../src/training/record.js';
import type { CommittedRun } from '../records/training-run.js';
import { lineChart, type PublishedLine, type Row, sideBySide } from './builders.js';
import { type ChartSpec, renderChart, showChart, styled } from './chart.js';

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
  /** Horizontal lines at published values of the curves. */
  published?: readonly PublishedLine[];
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
    published,
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
    curve: new Curve(),
  }));

  const chart = (): ChartSpec => {
    const rows: Row[] = lines.flatMap(({ name, curve }) =>
      curve.points().map(({ step, value }) => ({ step, value, curve: name })),
    );
    return lineChart({
      title,
      rows,
      x: 'step',
      y: 'value',
      series: 'curve',
      xTitle: 'training step',
      yTitle,
      xDomain: [0, steps],
      ...(published ? { published } : {}),
    });
  };
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
      for (const { name, value, curve } of lines) {
        const current = value(record);
        if (current !== undefined) curve.add(record.step, current);
        const latest = curve.latest();
        if (latest !== undefined) fields[name] = latest;
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
      const spec = chart();
      const png = await renderChart(spec);
      const { width, height } = pageSize(png);
      place.show(
        {
          'application/vnd.vegalite.v5+json': styled(spec),
          'image/png': png.toString('base64'),
          'text/plain': `[chart] ${title}`,
        },
        { width, height },
      );
    },
  };
}

const mostPoints = 400;

/** A curve of at most 400 points; when there are more, neighbours are averaged in pairs. */
class Curve {
  private full: { step: number; value: number }[] = [];
  private open: { step: number; value: number; count: number } | undefined;
  private width = 1;

  add(step: number, value: number): void {
    const { open } = this;
    const count = (open?.count ?? 0) + 1;
    const mean = open ? open.value + (value - open.value) / count : value;
    this.open = { step, value: mean, count };
    if (count < this.width) return;
    this.full.push({ step, value: mean });
    this.open = undefined;
    if (this.full.length < mostPoints) return;
    this.width *= 2;
    this.full = Array.from({ length: mostPoints / 2 }, (_, i) => {
      const [a, b] = [this.full[2 * i], this.full[2 * i + 1]] as [Point, Point];
      return { step: b.step, value: (a.value + b.value) / 2 };
    });
  }

  points(): Point[] {
    const { full, open } = this;
    return open ? [...full, { step: open.step, value: open.value }] : full;
  }

  latest(): number | undefined {
    return this.points().at(-1)?.value;
  }
}

interface Point {
  step: number;
  value: number;
}

/** The size of a chart on the page: half that of its PNG, which is stored at byte 16. */
function pageSize(png: Buffer): { width: number; height: number } {
  return {
    width: Math.round(png.readUInt32BE(16) / 2),
    height: Math.round(png.readUInt32BE(20) / 2),
  };
}

/** Lines over the steps of training runs. */
export interface RunCurves {
  title: string;
  yTitle: string;
  /** The curves by name, each with its value in a record that has one. */
  values: Readonly<Record<string, (record: LikelihoodRecord) => number | undefined>>;
  logY?: boolean;
}

/** A chart for each run, by the name of its model, side by side. */
export function runCurves(
  runs: Readonly<Record<string, CommittedRun>>,
  { yTitle, values, logY }: Omit<RunCurves, 'title'>,
): ChartSpec {
  const charts = Object.entries(runs).map(([name, { records, stepsPerRecord }]) => {
    const rows = Object.entries(values).flatMap(([curve, value]) =>
      records.map((record) => ({ step: record.step, value: value(record), curve })),
    );
    return lineChart({
      title: `Model ${name}`,
      subtitle: `each point the mean of ${stepsPerRecord} steps`,
      rows: rows.filter((row) => row.value !== undefined),
      x: 'step',
      y: 'value',
      ...(Object.keys(values).length > 1 && { series: 'curve' }),
      xTitle: 'training step',
      yTitle,
      width: 330,
      height: 230,
      ...(logY && { logY }),
    });
  });
  return sideBySide(charts);
}

/** Shows {@link runCurves} with a title above all. */
export async function showRunCurves(
  runs: Readonly<Record<string, CommittedRun>>,
  { title, ...curves }: RunCurves,
): Promise<void> {
  await showChart(runCurves(runs, curves), { title });
}
