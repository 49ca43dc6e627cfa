import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { peerSamples } from '../../../workbook/notebook/peer-samples.js';
import { peersFrames } from '../../../workbook/records/frames.js';
import { temporaryFolder } from '../../temporary-folder.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

/** A results folder with the kinds of models that are measured so far. */
function measuredSoFar(): string {
  const folder = temporaryFolder();
  fs.cpSync(path.join('results', 'peers'), path.join(folder, 'peers'), {
    recursive: true,
  });
  vi.stubEnv('TARFLOW_RESULTS', folder);
  return path.join(folder, 'peers');
}

test('kinds of models are a line each, with null for what a kind does not have', async () => {
  measuredSoFar();
  const { models, course } = await peersFrames('fashion-mnist');
  const kinds = models.toRecords();
  const draws = kinds.find(({ model }) => model === 'peers-tarflow');
  expect(draws).toMatchObject({ kind: 'TarFlow, to draw', seed: 1, 'bits are': 'exact' });
  const gan = kinds.find(({ model }) => model === 'peers-gan');
  expect(gan).toMatchObject({ bits: null, 'bits are': null, 'largest error of the inverse': null });
  expect(draws!['seconds of 250']).toBeLessThan(draws!['seconds alone'] as number);
  expect(course.toRecords().filter(({ seed }) => seed === 1).length).toBeGreaterThan(9);
  await expect(peersFrames('letters')).rejects.toThrow(/peer-models\.ts --data letters/);
});

test('their samples are rows of one picture of each class', async () => {
  const folder = measuredSoFar();
  const rows = await peerSamples('fashion-mnist');
  expect(rows.map(([kind]) => kind)).toContain('TarFlow, to draw');
  for (const [, images] of rows) {
    expect(images.shape).toEqual([10, 3, 28, 28]);
    const values = images.dataSync();
    expect(Math.min(...values)).toBeGreaterThanOrEqual(-1);
    expect(Math.max(...values)).toBeGreaterThan(0.5);
    images.dispose();
  }
  fs.copyFileSync(
    path.join('results', 'pictures', 'conformance.png'),
    path.join(folder, 'peers-tarflow.png'),
  );
  await expect(peerSamples('fashion-mnist')).rejects.toThrow(/Expected 20 pictures/);
});
