import { z } from 'zod';
import { formatValue } from '../../src/show/table.js';
import {
  type BenchmarkMachine,
  type BenchmarkRow,
  type PeerName,
  readBenchmarks,
} from '../records/benchmarks.js';
import { readResult } from '../records/record.js';
import { markdownTable } from './markdown.js';

/** Peers in the cell of a table. */
const shortTitles: Record<PeerName, string> = {
  'pytorch eager': 'eager',
  'torch.compile': 'compile',
  jax: 'JAX',
};

const precisions = ['float32', 'bfloat16'];

/** What the comparison measures, in the words of a reader. */
const works = [
  { title: 'training step', is: ({ name }: BenchmarkRow) => name === 'training step' },
  { title: 'likelihood (forward pass)', is: ({ name }: BenchmarkRow) => name === 'forward' },
  { title: 'denoising step', is: ({ name }: BenchmarkRow) => name === 'denoising step' },
  ...[1, 8, 256].map((batch) => ({
    title: `sampling, ${batch === 1 ? 'one image' : `${batch} images`}`,
    is: (row: BenchmarkRow) => /sampling$/.test(row.name) && row.batch === batch,
  })),
];

/** Kinds of models, which have means of their own: not all have the same peers. */
const kinds = [
  { title: '', is: (row: BenchmarkRow) => !isStarFlow(row) },
  { title: 'STARFlow: ', is: isStarFlow },
];

/** Our time as a share of the best peer's, by what is measured and machine, and where it is more. */
export async function benchmarkSummary(): Promise<string> {
  const machines = await readBenchmarks();
  const rows = kinds.flatMap((kind) =>
    works.flatMap((work) => {
      const chosen = (row: BenchmarkRow) => kind.is(row) && work.is(row);
      if (!machines.some((machine) => compared(machine).some(chosen))) return [];
      const cell = (machine: BenchmarkMachine) =>
        precisions
          .map((precision) => compared(machine).filter((row) => row.precision === precision))
          .map((measured) => meanAndWorst(measured.filter(chosen)))
          .join(' · ');
      const cells = machines.map((machine) => [machineText(machine), cell(machine)]);
      return [
        {
          'our time / the best peer’s': `${kind.title}${work.title}`,
          ...Object.fromEntries(cells),
        },
      ];
    }),
  );
  const slower = machines.map((machine) => {
    const jax = jaxText(machine);
    return `- ${machineText(machine)}${jax && `, ${jax}`}. ${slowerText(compared(machine))}`;
  });
  return [markdownTable(rows), '', ...slower].join('\n');
}

/** Our time as a share of the best peer's in float32, where JAX is among the peers: the README's table. */
export async function speedTable(): Promise<string> {
  const machines = (await readBenchmarks()).filter(
    ({ comparison, machine }) =>
      machine.gpu === undefined && comparison.some(({ peers }) => peers.jax !== undefined),
  );
  const rows = works.map(({ title, is }) => {
    const cells = machines.map((machine) => {
      const chosen = compared(machine).filter(
        (row) => is(row) && !isStarFlow(row) && row.precision === 'float32',
      );
      return [processorText(machine), meanAndWorst(chosen).replace(/ .*/, '')];
    });
    return { 'our time / the best peer’s': title, ...Object.fromEntries(cells) };
  });
  return markdownTable(
    rows.filter((row) => Object.values(row).some((cell) => /^\d/.test(`${cell}`))),
  );
}

/** The name of a processor, without the details that the benchmark's page has. */
function processorText({ machine }: BenchmarkMachine): string {
  const name = machine.processor.replace(/\(R\)| Processor/g, '').replace(/,? \(family.*$/, '');
  return machine.processor.includes('AMX') ? `${name} with AMX` : name;
}

/** All ratios of every machine: by what is measured, precision and model. */
export async function benchmarkTables(): Promise<string> {
  const sections = (await readBenchmarks()).flatMap((machine) => {
    const { ours, peer } = machine.machine;
    const jax = jaxText(machine);
    const rows = machine.comparison.filter(({ baseline }) => !baseline);
    return [
      `### ${machineText(machine)}`,
      `${ours} against ${peer}${jax && `, ${jax}`}; a row is ours as a share of the best peer’s, which it names.`,
      ratioTable(rows),
      slowerText(rows),
      ...(machine.scaling.length > 0
        ? [
            'A training step of a 4-128-2-2 as it grows: time and resident memory.',
            growthTable(machine.scaling),
          ]
        : []),
    ];
  });
  return [...sections, await precisionText()].join('\n\n');
}

function compared({ comparison }: BenchmarkMachine): BenchmarkRow[] {
  return comparison.filter(({ unit, baseline }) => unit === 's' && !baseline);
}

function machineText({ machine }: BenchmarkMachine): string {
  const { gpu, processor, threads } = machine;
  return `${gpu === undefined ? '' : `${gpu}, `}${processor}, ${threads} threads`;
}

/** The geometric mean of the ratios, and the largest. */
function meanAndWorst(rows: readonly BenchmarkRow[]): string {
  if (rows.length === 0) return '–';
  const logs = rows.map(({ ratio }) => Math.log(ratio));
  const mean = Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
  return `${mean.toFixed(2)} (${Math.max(...rows.map(({ ratio }) => ratio)).toFixed(2)})`;
}

function isStarFlow({ configuration }: BenchmarkRow): boolean {
  return configuration.startsWith('STARFlow ');
}

function ratioTable(rows: readonly BenchmarkRow[]): string {
  const configurations = [...new Set(rows.map(({ configuration }) => configuration))];
  return markdownTable(
    byWork(rows).map(([what, measured]) => ({
      what,
      ...Object.fromEntries(
        configurations.map((configuration) => {
          const found = measured.filter((row) => row.configuration === configuration);
          return [configuration, found.map(ratioText).join('; ')];
        }),
      ),
    })),
  );
}

/** The ratio and its peer, and where XLA compiles ours the graph's, which short runs take. */
function ratioText(row: BenchmarkRow): string {
  const { mode, bestFigure, others } = row;
  if (mode !== 'xla') return against(row);
  const graph = others?.graph;
  const inGraph = graph === undefined ? '' : `, graph ${(graph / bestFigure).toFixed(2)}`;
  return `${against(row)} (XLA${inGraph})`;
}

function against({ ratio, best }: BenchmarkRow): string {
  return `${ratio.toFixed(2)} ${shortTitles[best]}`;
}

/** Where JAX was measured; empty where it cannot be, on a GPU. */
function jaxText({ machine, comparison, scaling }: BenchmarkMachine): string {
  if (machine.gpu !== undefined) return '';
  const rows = [...comparison, ...scaling];
  const measured = rows.filter(({ peers }) => peers.jax !== undefined).length;
  if (machine.jax === undefined || measured === 0) return 'not yet against JAX';
  return `${machine.jax}${measured < rows.length ? ` in ${measured} of ${rows.length} rows` : ''}`;
}

/** The rows that take longer, or more, than the best peer, by what is measured and precision. */
function slowerText(rows: readonly BenchmarkRow[]): string {
  const model = (row: BenchmarkRow) => `${row.configuration.split(' ')[0]} ${against(row)}`;
  const named = byWork(rows.filter(({ ratio }) => ratio > 1)).map(
    ([work, own]) => `${work} (${own.map(model).join(', ')})`,
  );
  return named.length === 0 ? 'No row is above 1.' : `Above 1: ${named.join('; ')}.`;
}

/** Rows by what they measure. */
function byWork(rows: readonly BenchmarkRow[]): [work: string, rows: BenchmarkRow[]][] {
  return [...new Set(rows.map(workText))].map((work) => [
    work,
    rows.filter((row) => workText(row) === work),
  ]);
}

/** What a row measures, without its model. */
function workText({ name, batch, precision }: BenchmarkRow): string {
  return `${name}${/sampling/.test(name) ? `, batch ${batch}` : ''}, ${precision}`;
}

function growthTable(rows: readonly BenchmarkRow[]): string {
  const ratio = (unit: BenchmarkRow['unit'], growth: BenchmarkRow['growth']) => {
    const found = rows.find(
      (row) =>
        row.unit === unit &&
        row.growth?.series === growth?.series &&
        row.growth?.size === growth?.size,
    );
    return found ? against(found) : '';
  };
  return markdownTable(
    rows
      .filter(({ unit, growth }) => unit === 's' && growth !== undefined)
      .sort((a, b) => (a.growth?.series ?? '').localeCompare(b.growth?.series ?? ''))
      .map(({ growth }) => ({
        'what grows': growth?.series ?? '',
        to: formatValue(growth?.size),
        time: ratio('s', growth),
        memory: ratio('B', growth),
      })),
  );
}

const precisionSchema = z.object({
  differences: z.array(z.number()),
  seedDeviation: z.number(),
  command: z.string(),
});

/** Whether bfloat16 trains as well. */
async function precisionText(): Promise<string> {
  const { differences, seedDeviation, command } = await readResult(
    precisionSchema,
    'precision.json',
  );
  const largest = Math.max(...differences.map(Math.abs));
  return `Trained with bfloat16 matrix products, the held-out loss differs from float32’s by at most ${formatValue(largest)} nats in ${differences.length} seeds; its deviation over seeds is ${formatValue(seedDeviation)} (\`${command}\`, [chart](precision.png)).`;
}
