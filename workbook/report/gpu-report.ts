import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { formatValue } from '../../src/show/table.js';
import { type GpuReport, readRecord } from '../records/record.js';
import { resultsFolder } from '../records/results-folder.js';
import { markdownTable } from './markdown.js';

/** The reports of CUDA devices in `results/gpu/`, or another folder, by their names. */
async function gpuReports(folder = path.join(resultsFolder(), 'gpu')): Promise<GpuReport[]> {
  const names = existsSync(folder) ? (await readdir(folder)).sort() : [];
  const files = names.filter((name) => name.endsWith('.json'));
  const all = await Promise.all(
    files.map((name) => readRecord('gpu report', path.join(folder, name))),
  );
  return all.filter((report) => report !== undefined);
}

/** All figures of each device, part by part. */
export async function gpuTables(folder?: string): Promise<string> {
  const reports = await gpuReports(folder);
  if (reports.length === 0) return 'No CUDA device was measured yet: `npm run gpu-report` does it.';
  return reports.map(gpuSection).join('\n\n');
}

function gpuSection({
  device,
  driver,
  versions,
  processor,
  date,
  cost,
  command,
  parts,
}: GpuReport): string {
  const rows = parts.flatMap(({ title, outcome, note, peakMiB, figures }) => [
    ...(outcome === 'done' && note === undefined
      ? []
      : [{ part: title, figure: outcome === 'done' ? '' : outcome, value: '', unit: note ?? '' }]),
    ...[
      ...figures,
      ...(peakMiB === undefined ? [] : [{ name: 'memory', value: peakMiB, unit: 'MiB' }]),
    ].map(({ name, value, unit }) => ({
      part: title,
      figure: name,
      value: formatValue(value),
      unit,
    })),
  ]);
  const about = [
    ...(driver === undefined ? [] : [`driver ${driver}`]),
    ...[processor, ...Object.entries(versions).map((entry) => entry.join(' '))],
    ...[`\`${command}\``, `${formatValue(Number(cost.seconds) / 60)} min`, date.slice(0, 10)],
  ];
  return [`### ${device}`, `${about.join(', ')}.`, markdownTable(rows)].join('\n\n');
}

/** A sentence for each device: its time of a training step beside the best peer's; empty where none was measured. */
export async function gpuSentences(folder?: string): Promise<string> {
  const reports = await gpuReports(folder);
  return reports
    .map(({ device, parts }) => {
      const ratios = parts.flatMap(({ name, figures }) =>
        name === 'benchmark-training' ? figures.map(({ value }) => value) : [],
      );
      const mean = Math.exp(ratios.reduce((sum, one) => sum + Math.log(one), 0) / ratios.length);
      const told =
        ratios.length > 0
          ? `a training step takes ${mean.toFixed(2)} of the best peer’s time`
          : 'measured';
      return `\n\nOn ${device}: ${told} ([all figures](results/README.md#on-a-gpu)).`;
    })
    .join('');
}
