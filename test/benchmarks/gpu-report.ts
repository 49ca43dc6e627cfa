/**
 * What a CUDA device makes of this project, in one report: `npm run gpu-report [-- --tiny] [-- --only PARTS]`.
 *
 * Each part is a command of its own, of eight minutes at most; its figures are written to results/gpu/ as
 * soon as they are there. The same command again goes on: it runs what is missing, what failed and what took
 * too long. With --tiny the same path runs on whatever computes here, with tiny settings, into a temporary
 * folder; its figures mean nothing.
 */

import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../../src/core/errors.js';
import { packageRoot } from '../../src/core/package-root.js';
import { processorName } from '../../src/sampling/planner/machine.js';
import { startProgress } from '../../src/show/progress.js';
import { showTable } from '../../workbook/notebook/tables.js';
import { type GpuReport, readRecord, writeRecord } from '../../workbook/records/record.js';
import { resultsFolder } from '../../workbook/records/results-folder.js';
import { MemoryWatch, onGpu } from './gpu-memory.js';
import { type Found, gpuParts, type Part } from './gpu-parts.js';

type Measured = GpuReport['parts'][number];

/** The longest that a part may take, in seconds. */
const patience = 480;

async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: { tiny: { type: 'boolean', default: false }, only: { type: 'string' } },
  });
  const { tiny } = options;
  const device = await onGpu();
  if (!device && !tiny) {
    throw new UserError(
      'nvidia-smi finds no CUDA device',
      'Expected one for this report; `npm run gpu-report -- --tiny` tries its path on the processor',
    );
  }
  const named = options.only?.split(',');
  const parts = gpuParts(tiny).filter(({ name }) => named === undefined || named.includes(name));
  if (parts.length === 0) {
    const names = gpuParts(tiny).map(({ name }) => name);
    throw new UserError(`--only is ${options.only}`, `Expected some of ${names.join(', ')}`);
  }
  const chosen = process.env.TARFLOW_RESULTS;
  const usual = tiny
    ? path.join(os.tmpdir(), 'tarflow-gpu-report')
    : path.join(resultsFolder(), 'gpu');
  const folder = chosen === undefined ? usual : path.resolve(chosen);
  const title = device ? device.name : processorName();
  const file = path.join(
    folder,
    `${title.replaceAll(/\W+/g, ' ').trim().replaceAll(' ', '-')}.json`,
  );
  const report = (await readRecord('gpu report', file)) ?? {
    command: `npm run gpu-report${tiny ? ' -- --tiny' : ''}`,
    ...{ device: title, processor: processorName(), date: '', tiny, parts: [] },
    versions: { node: process.version },
    ...(device && { driver: device.driver, memoryMiB: device.memoryMiB }),
    cost: { seconds: 0, cores: os.availableParallelism() },
  };
  for (const part of parts) {
    if (report.parts.some(({ name, outcome }) => name === part.name && outcome === 'done'))
      continue;
    const measured = await measure(part, device !== undefined);
    const others = report.parts.filter(({ name }) => name !== part.name);
    const order = gpuParts(tiny).map(({ name }) => name);
    report.parts = [...others, measured].sort(
      (a, b) => order.indexOf(a.name) - order.indexOf(b.name),
    );
    report.date = new Date().toISOString();
    report.cost = {
      ...report.cost,
      seconds: report.parts.reduce((sum, { seconds }) => sum + seconds, 0),
    };
    await writeRecord<'gpu report'>(file, report);
    if (part.decides && measured.outcome !== 'done') break;
  }
  show(report);
  console.log(file);
  return report.parts.every(({ outcome }) => outcome === 'done' || outcome === 'left out') ? 0 : 1;
}

/** Runs a part as a process of its own, and reads its figures. */
async function measure(part: Part, watched: boolean): Promise<Measured> {
  const about = { name: part.name, title: part.title, command: part.words.join(' ') };
  const missing = part.lacks?.();
  if (missing) return { ...about, seconds: 0, outcome: 'left out', note: missing, figures: [] };
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), `tarflow-gpu-${part.name}-`));
  const progress = startProgress({
    title: part.title,
    total: patience,
    unit: 's at most',
  });
  const begun = performance.now();
  const memory = watched ? new MemoryWatch() : undefined;
  const timer = setInterval(() => progress.update(Math.round(seconds())), 1000);
  const seconds = () => (performance.now() - begun) / 1000;
  try {
    const { stdout, stderr, status } = await run(part, scratch);
    const took = { ...about, seconds: seconds(), ...memory?.most() };
    if (status === 0) return { ...took, outcome: 'done', ...(await part.found(stdout, scratch)) };
    // What was measured until then is written down, and measured anew by the next call.
    const { figures, note: said } = await foundSoFar(part, stdout, scratch);
    const [outcome, why]: [Measured['outcome'], string] =
      status === 'too long'
        ? ['too long', `ended after ${patience} s`]
        : ['failed', stderr.trim().split('\n').at(-1) ?? ''];
    return { ...took, outcome, note: said === undefined ? why : `${why}; ${said}`, figures };
  } catch (error) {
    const note = error instanceof Error ? error.message : String(error);
    return { ...about, seconds: seconds(), outcome: 'failed', note, figures: [] };
  } finally {
    clearInterval(timer);
    memory?.end();
    progress.finish();
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/** What a part that did not come to its end has written; nothing where that cannot be read. */
async function foundSoFar(part: Part, stdout: string, folder: string): Promise<Found> {
  try {
    return await part.found(stdout, folder);
  } catch {
    return { figures: [] };
  }
}

interface Ended {
  stdout: string;
  stderr: string;
  status: number | 'too long';
}

function run({ words, env }: Part, scratch: string): Promise<Ended> {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', ...words.map((word) => word.replace('OUT', scratch))],
    {
      cwd: packageRoot(),
      env: { ...process.env, TARFLOW_RESULTS: scratch, TF_FORCE_GPU_ALLOW_GROWTH: 'true', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Its own processes are ended with it.
      detached: true,
    },
  );
  const ended: Ended = { stdout: '', stderr: '', status: 0 };
  child.stdout.on('data', (text) => {
    ended.stdout += text;
  });
  child.stderr.on('data', (text) => {
    ended.stderr += text;
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      ended.status = 'too long';
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    }, 1000 * patience);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ ...ended, status: ended.status === 'too long' ? 'too long' : (code ?? 1) });
    });
  });
}

function show({ parts, device }: GpuReport): void {
  const rows = parts.flatMap(({ title, outcome, note, peakMiB, figures, seconds }) => [
    {
      part: title,
      figure: outcome === 'done' ? 'seconds' : outcome,
      value: seconds,
      unit: note ?? 's',
    },
    ...(peakMiB === undefined
      ? []
      : [{ part: title, figure: 'memory at its most', value: peakMiB, unit: 'MiB' }]),
    ...figures.map(({ name, value, unit }) => ({ part: title, figure: name, value, unit })),
  ]);
  showTable(rows, { caption: device });
}

main()
  .then((status) => {
    process.exitCode = status;
  })
  .catch((error: unknown) => {
    console.error(error instanceof UserError ? error.message : error);
    process.exitCode = 2;
  });
