import type { Extension } from '../src/cli/extension.js';
import { accelerate } from './cli/accelerate-command.js';
import { blocks } from './cli/blocks-command.js';
import { reproduce } from './cli/reproduce-command.js';
import { experiments } from './experiments/index.js';

/** What the workbook adds to the command line: its experiments, whose data sets register themselves, `accelerate`, `blocks` and `reproduce`. */
export const extension: Extension = {
  experiments,
  commands: [accelerate, blocks, reproduce],
};
