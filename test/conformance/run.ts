// npm run conform -- FILES: the library against golden files.
import { main } from '../../src/cli/main.js';
import { extension } from './conform-command.js';

const [program = 'node', , ...files] = process.argv;
void main([program, 'conform', 'conform', ...files], [extension]).then((exitCode) => {
  process.exitCode = exitCode;
});
