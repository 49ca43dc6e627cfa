import { expect, test } from 'vitest';
import { type ChartSpec, renderChart } from '../../../workbook/charts/chart.js';
import { runCurves } from '../../../workbook/charts/training-curves.js';
import { readCommittedRun } from '../../../workbook/records/training-run.js';

test('a chart for each run, with a line for each curve where it has values', async () => {
  const run = await readCommittedRun('fashion-mnist-density');
  const values = {
    training: ({ loss }: { loss: number }) => loss,
    'held out': ({ validation }: { validation?: { loss: number } }) => validation?.loss,
  };
  const chart = runCurves({ one: run, two: run }, { yTitle: 'loss', values });
  const charts = chart.concat as ChartSpec[];
  expect(charts.map(({ title }) => (title as { text: string }).text)).toEqual([
    'Model one',
    'Model two',
  ]);
  const [layer] = (charts[0] as { layer: [ChartSpec] }).layer;
  const rows = (layer.data as { values: { curve: string }[] }).values;
  const validations = run.records.filter(({ validation }) => validation !== undefined);
  expect(rows.filter(({ curve }) => curve === 'training')).toHaveLength(run.records.length);
  expect(rows.filter(({ curve }) => curve === 'held out')).toHaveLength(validations.length);
  expect((await renderChart(chart)).length).toBeGreaterThan(1000);
});
