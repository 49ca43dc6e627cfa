// The command line as a program of its own, from its sources, for tests that need a process.
import { main } from '../../src/cli/main.js';
import { extension } from '../../workbook/extension.js';

void main(process.argv, [extension]).then((exitCode) => {
  process.exitCode = exitCode;
});
