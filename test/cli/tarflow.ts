// The command line as a program of its own, from its sources, for tests that need a process.
import { main } from '../../src/cli/main.js';

void main(process.argv).then((exitCode) => {
  process.exitCode = exitCode;
});
