import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { openDataset } from '../../../src/data/index.js';
import { levelsOf, madeSet } from '../official/made-set.js';

const { cache, root, write } = madeSet();

test('CIFAR-10 without a folder is the one in the cache', async () => {
  const test = Buffer.alloc(10_000 * 3073, 3);
  const folder = path.join(cache, 'data', 'cifar10');
  await expect(openDataset('cifar10', 'test')).rejects.toThrow(
    `CIFAR-10 is not in ${folder}. Run \`node data-scripts/data.mjs cifar10\`, or name the folder of ` +
      'the official files (https://www.cs.toronto.edu/~kriz/cifar.html): cifar10:PATH.',
  );
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'test_batch.bin'), test);
  write('test_batch.bin', test);
  for (const name of ['cifar10', `cifar10:${root}`]) {
    const data = await openDataset(name, 'test');
    expect(data).toMatchObject({ name: 'cifar10', split: 'test', length: 10_000 });
    expect(await levelsOf(data, [0, 9_999])).toEqual([
      [3, 3],
      [3, 3],
    ]);
  }
});
