import { defineCommand, exitCodes, type Outcome } from '../../src/cli/command.js';
import type { Extension } from '../../src/cli/extension.js';
import { type EngineReport, startEngine, UserError } from '../../src/core/index.js';
import { tableText } from '../../src/show/table.js';
import { type ConformRow, conform } from './conform.js';

/** What became of one file: rows, or why there are none. */
type Examined = { file: string; pass: boolean } & ({ rows: ConformRow[] } | { error: string });

/** `conform`: the library against golden files. */
const conformCommand = defineCommand({
  name: 'conform',
  description: "compare the library's results with those of golden files",
  options: (command) =>
    command.argument('<files...>', 'golden .safetensors files, each with its .json beside it'),
  help: `\
Compares every tensor of role 'output' by its rule in the JSON. Exits 1 where one fails, was not
compared, or nothing was compared, and 2 where a file cannot be read or its kind is not supported.

Examples:
  $ npm run conform -- test/golden/tf1_cond_p4_c64.safetensors
  $ TARFLOW_BACKEND=wasm npm run conform -- test/golden/[ts]f*.safetensors`,
  run,
});

async function run(files: string[]): Promise<Outcome> {
  const engine = await startEngine();
  const examined: Examined[] = [];
  for (const file of files) examined.push(await examine(file));
  const failed = examined.some((one) => 'rows' in one && !one.pass);
  const unread = examined.some((one) => 'error' in one);
  return {
    json: { engine, files: examined },
    text: examined.flatMap((one) => text(one, engine) || []).join('\n'),
    // A check that failed weighs more than a file that could not be checked.
    exitCode: failed ? exitCodes.checkFailed : unread ? exitCodes.userMistake : exitCodes.done,
  };
}

async function examine(file: string): Promise<Examined> {
  try {
    const rows = await conform(file);
    return { file, pass: rows.length > 0 && rows.every(({ pass }) => pass), rows };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`tarflow: ${error.message}`);
    return { file, pass: false, error: error.message };
  }
}

function text(examined: Examined, { engine }: EngineReport): string {
  if ('error' in examined) return '';
  const { file, rows } = examined;
  if (rows.length === 0) {
    return `${file}: nothing was compared, the file has no outputs: FAIL`;
  }
  const format = {
    error: exponential,
    bound: exponential,
    pass: (pass: unknown) => (pass ? 'pass' : 'FAIL'),
  };
  const passed = rows.filter(({ pass }) => pass).length;
  const table = tableText(rows, { caption: `${file} on ${engine}`, format });
  return `${table}\n${file}: ${passed} of ${rows.length} tensors pass\n`;
}

function exponential(value: unknown): string {
  return typeof value === 'number' && !Number.isNaN(value) ? value.toExponential(2) : '–';
}

/** The command, for the command line of the library. */
export const extension: Extension = { commands: [conformCommand] };
