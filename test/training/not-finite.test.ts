import * as path from 'node:path';
import { expect, test } from 'vitest';
import { randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { disposeTree, mapTree } from '../../src/core/tree.js';
import { epochOrder } from '../../src/data/reading.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { readStartingPoint } from '../../src/models/read-starting-point.js';
import { saveCheckpoint } from '../../src/training/checkpoint.js';
import { train } from '../../src/training/train.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { temporaryFolder } from '../temporary-folder.js';
import { livelyFlow, madeUpImages, smallConfig, smallRun, smallSettings } from './small.js';
import { chaseConfig, chaseFamily } from './toys.js';

const messageOf = async (run: Parameters<typeof train>[0]): Promise<string> => {
  const error = await train(run).catch((reason: Error) => reason);
  return (error as Error).message;
};

/** What a run begins with whose parameter has the wrong size by so much. */
async function startWith(parameter: string, factor: number) {
  const flow = livelyFlow(smallConfig);
  const spoilt = mapTree(flow.parameters, (leaf, name) =>
    name === parameter ? tf.mul(leaf, factor) : tf.clone(leaf),
  );
  const file = path.join(temporaryFolder(), 'spoilt.safetensors');
  await saveCheckpoint({ ...flow, parameters: spoilt }, file);
  disposeModel(flow);
  disposeTree(spoilt);
  return readStartingPoint(file);
}

test('a loss is followed to the operation, the parameter and the sample where it is not finite', async () => {
  expectNoTensorsLeft();
  const from = await startWith('blocks.1.proj_out.weight', 1e5);
  const run = smallRun(path.join(temporaryFolder(), 'run'), { from });
  const plain = await messageOf(run);
  expect(plain).toMatch(/The loss of step 1 is (NaN|Infinity)/);
  const begin = `--resume --from '${from.checkpoint}'`;
  expect(plain).toContain(`npx tarflow train --out '${run.folder}' ${begin} --examine`);
  const message = await messageOf({ ...run, resume: true, examine: true });
  const found =
    /Step 1 has the loss (?:NaN|Infinity) and .* began in its loss at the operation Exp of numbers from (\S+) to (\S+), after it read blocks\.1\.proj_out\.\w+, for sample (\d+) of made-up \(train\)\. Its samples are (.*)\.$/.exec(
      message,
    );
  expect(Number(found?.[2])).toBeGreaterThan(88);
  const batch = epochOrder(madeUpImages('train', 32), randomKey(smallSettings.seed), 0);
  const samples = Array.from(batch.subarray(0, smallSettings.batchSize));
  expect(found?.[4]).toBe(samples.join(', '));
  expect(samples).toContain(Number(found?.[3]));
  tf.dispose(from.state);
});

test.each(['eager', 'graph'] as const)(
  'a run that diverges is told the same when it is resumed, %s',
  async (mode) => {
    const settings = { ...smallSettings, steps: 20, peakLearningRate: 1e12, saveEvery: 2 };
    const run = smallRun(path.join(temporaryFolder(), 'run'), { settings, mode });
    const [, step] = /(?:at|of) step (\d+) is/.exec(await messageOf(run)) ?? [];
    const message = await messageOf({ ...run, resume: true, examine: true });
    expect(message).toContain(`Step ${step} has the loss`);
  },
);

test('of several objectives the one is named where that began, and at its own state', async () => {
  expectNoTensorsLeft();
  const settings = { ...smallSettings, weightDecay: 0, steps: 3, peakLearningRate: 1e30 };
  const data = madeUpImages('train', 32);
  const run = { family: chaseFamily, config: chaseConfig, settings, data, mode: 'eager' } as const;
  const error = await train({ ...run, examine: true }).catch((reason: Error) => reason);
  expect((error as Error).message).toMatch(
    /Step \d of the objective follower has the loss Infinity .* began in its loss at the operation Square of numbers from \S+ to \S+e\+\d\d, after it read/,
  );
});
