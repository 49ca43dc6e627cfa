import type { Command } from 'commander';
import { exitCodes, type SetExitCode } from '../../src/cli/exit-codes.js';
import type { Extension } from '../../src/cli/extension.js';
import { type EngineReport, startEngine } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { showTable } from '../../src/show/table.js';
import { type ConformRow, conform } from './conform.js';

/** What became of one file: rows, or why there are none. */
type Outcome = { file: string; pass: boolean } & ({ rows: ConformRow[] } | { error: string });

/** `conform`: the library against golden files. */
function addConform(program: Command, setExitCode: SetExitCode): void {
  program
    .command('conform')
    .description("compare the library's results with those of golden files")
    .argument('<files...>', 'golden .safetensors files, each with its .json beside it')
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
Compares every tensor of role 'output' by its rule in the JSON. Exits 1 where one fails, was not
compared, or nothing was compared, and 2 where a file cannot be read or its kind is not supported.

Examples:
  $ npm run conform -- test/golden/tf1_cond_p4_c64.safetensors
  $ TARFLOW_BACKEND=wasm npm run conform -- test/golden/[ts]f*.safetensors`,
    )
    .action(async (files: string[], { json }: { json: boolean }) => {
      const engine = await startEngine();
      const outcomes: Outcome[] = [];
      for (const file of files) {
        const outcome = await examine(file);
        outcomes.push(outcome);
        if (!json) print(outcome, engine);
      }
      if (json) console.log(JSON.stringify({ engine, files: outcomes }, null, 2));
      // A check that failed weighs more than a file that could not be checked.
      if (outcomes.some((outcome) => 'rows' in outcome && !outcome.pass)) {
        setExitCode(exitCodes.checkFailed);
      } else if (outcomes.some((outcome) => 'error' in outcome)) {
        setExitCode(exitCodes.userMistake);
      }
    });
}

async function examine(file: string): Promise<Outcome> {
  try {
    const rows = await conform(file);
    return { file, pass: rows.length > 0 && rows.every(({ pass }) => pass), rows };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { file, pass: false, error: error.message };
  }
}

function print(outcome: Outcome, engine: EngineReport): void {
  if ('error' in outcome) {
    console.error(`tarflow: ${outcome.error}`);
    return;
  }
  const { file, rows } = outcome;
  if (rows.length === 0) {
    console.log(`${file}: nothing was compared, the file has no outputs: FAIL`);
    return;
  }
  const format = {
    error: exponential,
    bound: exponential,
    pass: (pass: unknown) => (pass ? 'pass' : 'FAIL'),
  };
  showTable(
    rows.map((row) => ({ ...row })),
    { caption: `${file} on ${engine.engine}`, format },
  );
  const passed = rows.filter(({ pass }) => pass).length;
  console.log(`${file}: ${passed} of ${rows.length} tensors pass\n`);
}

function exponential(value: unknown): string {
  return Number.isNaN(value) ? '–' : (value as number).toExponential(2);
}

/** The command, for the command line of the library. */
export const extension: Extension = { commands: addConform };
