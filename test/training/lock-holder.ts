// A process that locks a folder when it reads a line, says how that went, and holds the lock.
import { lockFolder } from '../../src/training/run-lock.js';

const [file, folder] = process.argv.slice(2) as [string, string];

process.stdin.once('data', () => {
  lockFolder(file, folder).then(
    () => process.stdout.write('locked\n'),
    (error: Error) => process.stdout.write(`${error.name}: ${error.message}\n`),
  );
});
process.stdout.write('ready\n');
