// A process that trains the small run into a folder, and holds it open after a step until it is killed.
import { startEngine } from '../../src/core/engine.js';
import { train } from '../../src/training/train.js';
import { smallRun } from './small.js';

const [folder, last] = process.argv.slice(2) as [string, string];

void startEngine().then(() =>
  train(
    smallRun(folder, {
      onStep: async ({ step }) => {
        if (step !== Number(last)) return;
        process.stdout.write('held\n');
        await new Promise((resolve) => setTimeout(resolve, 2 ** 30));
      },
    }),
  ),
);
