/**
 * How long ours takes with one thread for each operation and parts of the batch side by side, as a share
 * of the time with each operation divided among all threads:
 *
 *     npx tsx test/benchmarks/threads.bench.ts PATTERN [batches] [pairs]
 *
 * PATTERN finds rows of the benchmark by their names, for example '^training step, 4-128-4-4.*float32';
 * batches, such as 16,32, replace theirs. Both sides run in turns (5 pairs), each in a process of its own.
 */

import * as os from 'node:os';
import { allCases, type Case, caseName } from './cases.js';
import { Sides } from './sides.js';
import { spreadOf } from './statistics.js';

const [pattern = '.', batches = '', pairs = '5'] = process.argv.slice(2);
const sides = new Sides(os.availableParallelism());

async function compare(one: Case): Promise<void> {
  const both = [(await sides.ours(false)).side, (await sides.ours(true)).side];
  const seconds: [number[], number[]] = [[], []];
  const run = { command: 'run', name: 'one', times: 2 };
  try {
    for (const side of both) {
      await side.ask({ command: 'prepare', ...one, name: 'one', mode: one.mode ?? 'default' });
      await side.ask(run);
    }
    for (let pair = 0; pair < Number(pairs); pair++) {
      for (const index of pair % 2 === 0 ? [0, 1] : [1, 0]) {
        const { seconds: taken } = await (both[index] as (typeof both)[number]).ask<{
          seconds: number;
        }>(run);
        (seconds[index] as number[]).push(taken);
      }
    }
  } finally {
    for (const side of both) await side.end();
  }
  const ratios = seconds[1].map((taken, pair) => taken / (seconds[0][pair] as number));
  const [divided, undivided] = seconds.map((taken) => spreadOf(taken).median) as [number, number];
  console.log(
    `${caseName(one)}: ${divided.toFixed(3)} s divided, ${undivided.toFixed(3)} s in parts, ` +
      `ratio ${(undivided / divided).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ` +
      `${Math.max(...ratios).toFixed(2)}, ${pairs} pairs)`,
  );
}

async function main(): Promise<void> {
  const rows = allCases().filter((one) => !one.baseline && new RegExp(pattern).test(caseName(one)));
  for (const row of rows) {
    for (const batch of batches ? batches.split(',').map(Number) : [row.batch]) {
      await compare({ ...row, batch });
    }
  }
}

main();
