import type { LikelihoodRecord } from '../src/training/record.js';
import { type ChartSpec, showChart } from './chart.js';
import { lineChart, sideBySide } from './chart-types.js';
import type { CommittedRun } from './committed-run.js';

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
