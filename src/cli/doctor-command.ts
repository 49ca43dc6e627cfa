import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import type { SetExitCode } from './exit-codes.js';

/**
 * `tarflow doctor`: a script that needs nothing built or installed does it all, and bin.js runs it
 * without coming here. The command stands here for the list of commands.
 */
export function addDoctor(program: Command, setExitCode: SetExitCode): void {
  program
    .command('doctor')
    .description('show what this machine has and lacks, with a remedy for each thing missing')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  $ tarflow doctor\n  $ tarflow doctor --json')
    .action(async ({ json }: { json?: boolean }) => {
      const script = path.join(__dirname, '..', '..', 'data-scripts', 'doctor.mjs');
      const { doctor } = (await import(pathToFileURL(script).href)) as {
        doctor(programArguments: string[]): Promise<number>;
      };
      setExitCode(await doctor(json ? ['--json'] : []));
    });
}
