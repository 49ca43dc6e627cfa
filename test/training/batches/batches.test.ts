import { describe, expect, test } from 'vitest';
import { randomKey } from '../../../src/core/random.js';
import { type DataSource, epochOrder, imageDataset } from '../../../src/data/index.js';
import {
  type Batch,
  type BatchOptions,
  batchSource,
  heldOutBatch,
  noisyImageFeeds,
  type Share,
} from '../../../src/training/batches/index.js';
import { madeUpImages, smallConfig, smallSettings } from '../small.js';

const data = madeUpImages('train', 50);
const objective = { name: 'likelihood', feeds: noisyImageFeeds };
const options: BatchOptions = {
  config: { ...smallConfig, kind: 'tarflow' },
  objectives: [objective],
  settings: { ...smallSettings, flip: true },
  data,
};
const size = 16;

/** The batches of some steps, or a process's share of them. */
async function taken(
  first: number,
  end: number,
  of: BatchOptions = options,
  share?: Share,
): Promise<Batch[]> {
  const source = batchSource(of, first, end, share);
  const batches: Batch[] = [];
  try {
    for (let step = first; step < end; step++) batches.push(await source.next());
  } finally {
    await source.close();
  }
  return batches;
}

const steps = async (numbers: number[], of: BatchOptions = options): Promise<Batch[]> =>
  Promise.all(numbers.map(async (step) => (await taken(step, step + 1, of))[0] as Batch));

test('a batch depends on the seed and its step alone', async () => {
  // Six steps an epoch: the tenth is of the second.
  const [third, tenth] = (await steps([3, 10])) as [Batch, Batch];
  expect(third).not.toEqual(tenth);
  expect((await taken(2, 11)).at(-1)).toEqual(tenth);
  const settings = { ...options.settings, seed: options.settings.seed + 1 };
  expect((await steps([10], { ...options, settings }))[0]).not.toEqual(tenth);
});

describe('of several processes', () => {
  const shared: BatchOptions = { ...options, settings: { ...options.settings, batchSize: 12 } };

  test.each([1, 2, 3])('%i see exactly the samples and the noise that one sees', async (count) => {
    const whole = await taken(0, 10, shared);
    const parts = await Promise.all(
      Array.from({ length: count }, (_, rank) => taken(0, 10, shared, { rank, size: count })),
    );
    whole.forEach(({ likelihood: expected }, step) => {
      for (const name of ['images', 'classes']) {
        const joined = parts.flatMap((part) => [...(part[step]?.likelihood?.[name] ?? [])]);
        expect(joined).toEqual([...(expected?.[name] ?? [])]);
      }
    });
  });

  test('have to divide the batch', () => {
    expect(() => batchSource(shared, 0, 10, { rank: 0, size: 5 })).toThrow(
      /5 processes cannot share batches of 12 samples evenly\. Set batchSize to a multiple of 5/,
    );
  });
});

test('a sample has the same noise in whatever batch it is', async () => {
  // Batches of 8 and of 10 visit the same order.
  const [eights, tens] = await Promise.all(
    [8, 10].map(async (batchSize) => {
      const settings = { ...options.settings, batchSize };
      const batches = await taken(0, 40 / batchSize, { ...options, settings });
      return batches.flatMap(({ likelihood }) => [...(likelihood?.images ?? [])]);
    }),
  );
  expect(eights).toHaveLength(40 * size);
  expect(eights).toEqual(tens);
});

test('each epoch draws anew', async () => {
  const order = [0, 1].map((epoch) => epochOrder(data, randomKey(options.settings.seed), epoch));
  const sample = order[0]?.[0] as number;
  const place = order[1]?.indexOf(sample) as number;
  // Where the sample is among those of the second epoch's batches.
  expect(place).toBeLessThan(48);
  const still = { ...options, settings: { ...options.settings, flip: false } };
  const [first, second] = (await steps([0, 6 + Math.floor(place / 8)], still)) as [Batch, Batch];
  const one = first.likelihood?.images?.subarray(0, size);
  const at = (place % 8) * size;
  const other = second.likelihood?.images?.subarray(at, at + size);
  expect(other).not.toEqual(one);
  // The same image, with other noise of one grey level.
  one?.forEach((value, i) => {
    expect(Math.abs(value - (other?.[i] as number))).toBeLessThan(1 / 128);
  });
});

test('several objectives read the same samples, each with draws of its own', async () => {
  const objectives = ['critic', 'generator'].map((name) => ({ name, feeds: noisyImageFeeds }));
  const settings = { ...options.settings, flip: false, dropLabel: 0 };
  const [{ critic, generator }] = (await taken(0, 1, { ...options, objectives, settings })) as [
    Batch,
  ];
  expect(generator?.classes).toEqual(critic?.classes);
  expect(generator?.images).not.toEqual(critic?.images);
  generator?.images?.forEach((value, i) => {
    expect(Math.abs(value - (critic?.images?.[i] as number))).toBeLessThan(1 / 128);
  });
});

test('held-out samples have the same noise in every validation, no flips, all labels', async () => {
  const noisy = { ...options, settings: { ...options.settings, dropLabel: 0.9 } };
  const all = (await heldOutBatch(noisy, [0, 1, 2, 3, 4, 5])).likelihood;
  const some = (await heldOutBatch(noisy, [4, 1])).likelihood;
  expect(all?.classes).toEqual(
    Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1),
  );
  const image = (of: typeof all, at: number) => of?.images?.subarray(at * size, (at + 1) * size);
  expect(image(some, 0)).toEqual(image(all, 4));
  expect(image(some, 1)).toEqual(image(all, 1));
  const greys = all?.images?.map((value) => Math.floor((value + 1) * 128));
  expect(Uint8Array.from(greys as Float32Array)).toEqual(data.pixels.slice(0, 6 * size));
});

test('a source that reads ahead is told what comes next', async () => {
  const told: number[][] = [];
  const read: number[][] = [];
  const source: DataSource = {
    ...data,
    read: async (indices) => {
      read.push(Array.from(indices));
      return data.read(indices);
    },
    prefetch: (indices) => void told.push(Array.from(indices)),
  };
  await taken(4, 8, { ...options, data: source });
  expect(read).toHaveLength(4);
  expect(told.slice(0, 3)).toEqual(read.slice(1));
});

describe('in a thread of its own', () => {
  test.each([undefined, { rank: 1, size: 2 }])('batches are the same (%o)', async (share) => {
    const here = (
      await Promise.all([3, 90, 140].map((step) => taken(step, step + 1, options, share)))
    ).flat();
    const there = await taken(3, 150, options, share);
    expect([0, 87, 137].map((at) => there[at])).toEqual(here);
  });

  test('a mistake of the data is told as what it is', async () => {
    // Data without names of classes may have any label; the model has three.
    const wrong = imageDataset({ ...data, classes: [], labels: data.labels.map(() => 7) });
    const source = batchSource({ ...options, data: wrong }, 0, 200);
    try {
      const error = await source.next().catch((thrown) => thrown);
      expect(error).toMatchObject({
        problem: expect.stringMatching(/Label 7 of sample \d+ is out of range/),
        remedy: expect.stringContaining('This model has 3 classes'),
      });
    } finally {
      await source.close();
    }
  });

  test('it can be closed at any time', async () => {
    const source = batchSource(options, 0, 200);
    await source.next();
    await source.close();
    await source.close();
  });
});
