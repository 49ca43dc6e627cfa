import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { formatDuration, type Progress, startProgress } from '../../src/show/progress.js';
import { liveTraining, type TrainingRecord } from '../../workbook/charts/training-curves.js';
import { leaveNotebook, type Output, pretendNotebook } from '../workbook/kernel.js';

// The clock stands still until a test moves it.
beforeEach(
  () => void vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout', 'Date'] }),
);
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  leaveNotebook();
});

const seconds = (count: number) => vi.advanceTimersByTime(1000 * count);

test.each([
  [0, '0 s'],
  [59.4, '59 s'],
  [59.6, '1 min 0 s'],
  [200, '3 min 20 s'],
  [3599.6, '1 h 0 min'],
  [7500, '2 h 5 min'],
])('%s seconds are %s', (duration, text) => expect(formatDuration(duration)).toBe(text));

/** A run of 100 units in 100 seconds. */
function run(progress: Progress): void {
  for (let done = 1; done <= 100; done++) {
    seconds(1);
    progress.update(done, { loss: 4 - done / 100 });
  }
  progress.finish('saved');
}

describe('where there is no screen', () => {
  test('a line comes every ten seconds, and one at the end', () => {
    const lines = vi.spyOn(console, 'error').mockImplementation(() => {});
    run(startProgress({ title: 'Training', total: 100 }));
    const texts = lines.mock.calls.map(([text]) => text);
    expect(texts).toHaveLength(11);
    expect(texts[0]).toBe('Training: 10 of 100 steps · 1 min 30 s left · loss 3.900');
    expect(texts[9]).toBe('Training: 100 of 100 steps · 0 s left · loss 3');
    expect(texts[10]).toBe('Training: 100 steps in 1 min 40 s · loss 3 · saved');
  });

  test('what is over at once leaves no line', () => {
    const lines = vi.spyOn(console, 'error').mockImplementation(() => {});
    const progress = startProgress({ title: 'Sampling', total: 2, unit: 'images' });
    progress.update(1);
    progress.update(2);
    progress.finish();
    expect(lines).not.toHaveBeenCalled();
  });

  test('what is being done now is dropped at the end', () => {
    const lines = vi.spyOn(console, 'error').mockImplementation(() => {});
    const progress = startProgress({ title: 'Comparing', total: 2, unit: 'tables' });
    seconds(20);
    progress.update(1, { now: 'timing', loss: 3 });
    progress.update(2);
    progress.finish();
    const texts = lines.mock.calls.map(([text]) => text);
    expect(texts).toEqual([
      'Comparing: 1 of 2 tables · 20 s left · now timing · loss 3',
      'Comparing: 2 tables in 20 s · loss 3',
    ]);
  });

  test('a resumed run counts its own time only', () => {
    const lines = vi.spyOn(console, 'error').mockImplementation(() => {});
    const progress = startProgress({ title: 'Training', total: 200, from: 100 });
    seconds(20);
    progress.update(120);
    expect(lines.mock.calls).toEqual([['Training: 120 of 200 steps · 1 min 20 s left']]);
  });

  test('the first step, of which compiling is a part, says nothing of the time left', () => {
    const lines = vi.spyOn(console, 'error').mockImplementation(() => {});
    const progress = startProgress({ title: 'Training', total: 100 });
    seconds(30);
    progress.update(1);
    seconds(10);
    progress.update(11);
    expect(lines.mock.calls.flat()).toEqual([
      'Training: 1 of 100 steps',
      'Training: 11 of 100 steps · 1 min 29 s left',
    ]);
  });

  test('a run that stops early says how far it came', () => {
    const lines = vi.spyOn(console, 'error').mockImplementation(() => {});
    const progress = startProgress({ title: 'Training', total: 200 });
    progress.update(50);
    progress.finish('stopped');
    expect(lines.mock.calls).toEqual([['Training: 50 of 200 steps in 0 s · stopped']]);
  });
});

test('in a notebook one output is overwritten at most four times a second', () => {
  const outputs = pretendNotebook();
  const progress = startProgress({ title: 'A < B', total: 1000 });
  for (let done = 1; done <= 1000; done++) {
    vi.advanceTimersByTime(10);
    progress.update(done);
  }
  progress.finish();
  expect(outputs).toHaveLength(41);
  expect(outputs.map(({ update }) => update)).toEqual([false, ...Array(40).fill(true)]);
  expect(new Set(outputs.map(({ transient }) => transient.display_id)).size).toBe(1);
  expect(outputs[0]?.data['text/html']).toContain('A &lt; B');
  expect(outputs[0]?.data['text/html']).toContain('width: 0.1%');
  expect(outputs[40]?.data['text/html']).toContain('width: 100.0%');
  expect(outputs[40]?.data['text/plain']).toBe('A < B: 1,000 steps in 10 s');
});

test('in a terminal a bar is drawn and cleared, and the outcome stays', () => {
  const before = process.stderr.isTTY;
  process.stderr.isTTY = true;
  const written: string[] = [];
  const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  const cursor = process.stderr as unknown as Record<string, unknown>;
  const tty = ['cursorTo', 'moveCursor', 'clearLine', 'clearScreenDown'];
  const old = tty.map((name) => cursor[name]);
  for (const name of tty) cursor[name] = () => true;
  const lines = vi.spyOn(console, 'error').mockImplementation(() => {});
  try {
    run(startProgress({ title: 'Training', total: 100 }));
  } finally {
    write.mockRestore();
    process.stderr.isTTY = before;
    tty.forEach((name, i) => {
      cursor[name] = old[i];
    });
  }
  expect(written.join('')).toMatch(/Training █+░+ 50 of 100 steps · 50 s left · loss 3\.500/);
  expect(lines.mock.calls).toEqual([['Training: 100 steps in 1 min 40 s · loss 3 · saved']]);
  expect(process.listenerCount('SIGINT')).toBe(0);
});

describe('live training', () => {
  const record = (step: number): TrainingRecord => ({
    step,
    loss: 4 - step / 1000,
    imagesPerSecond: 99.7,
    ...(step % 100 === 0 ? { validation: { loss: 4.5 - step / 1000 } } : {}),
  });
  const rowsOf = (output: Output | undefined) => {
    const spec = output?.data['application/vnd.vegalite.v5+json'] as
      | { layer: { data: { values: { step: number; value: number; curve: string }[] } }[] }
      | undefined;
    return spec?.layer[0]?.data.values ?? [];
  };

  test('a notebook gets a bar and a curve, both overwritten in place, the last with a picture', async () => {
    const outputs = pretendNotebook();
    const live = liveTraining({ title: 'Loss', steps: 1000 });
    for (let step = 1; step <= 1000; step++) {
      vi.advanceTimersByTime(100);
      live.onStep(record(step));
    }
    await live.finish('done');
    const charts = outputs.filter(({ data }) => 'application/vnd.vegalite.v5+json' in data);
    expect(charts).toHaveLength(51); // one every two seconds, and the last
    expect(new Set(outputs.map(({ transient }) => transient.display_id)).size).toBe(2);
    expect(charts.slice(0, -1).some(({ data }) => 'image/png' in data)).toBe(false);
    const last = charts.at(-1);
    const png = Buffer.from(last?.data['image/png'] as string, 'base64');
    const { width, height } = await sharp(png).metadata();
    expect(last?.metadata).toEqual({
      'image/png': { width: Math.round(width / 2), height: Math.round(height / 2), alt: 'Loss' },
    });
    const bar = outputs.filter(({ data }) => 'text/html' in data).at(-1);
    // A curve of more than 400 points is averaged, and so is the value beside the bar.
    expect(bar?.data['text/plain']).toBe(
      'Loss: 1,000 steps in 1 min 40 s · training 3.001 · held out 3.500 · images/s 100 · done',
    );
  });

  test('a long curve is averaged to a few hundred points, and nothing is left out', async () => {
    const outputs = pretendNotebook();
    const live = liveTraining({ title: 'Loss', steps: 10_000 });
    for (let step = 1; step <= 10_000; step++) live.onStep(record(step));
    await live.finish();
    const rows = rowsOf(outputs.at(-1));
    const training = rows.filter(({ curve }) => curve === 'training');
    expect(training.length).toBeGreaterThanOrEqual(200);
    expect(training.length).toBeLessThanOrEqual(400);
    expect(training.at(-1)?.step).toBe(10_000);
    const mean = training.reduce((sum, { value }) => sum + value, 0) / training.length;
    expect(mean).toBeCloseTo(4 - 10_001 / 2000, 1);
    expect(rows.filter(({ curve }) => curve === 'held out')).toHaveLength(100);
  });

  test('curves can be chosen', async () => {
    const outputs = pretendNotebook();
    const live = liveTraining<TrainingRecord & { norm: number }>({
      title: 'Norm',
      steps: 2,
      curves: { norm: ({ norm }) => norm },
    });
    live.onStep({ ...record(1), norm: 5 });
    live.onStep({ ...record(2), norm: 6 });
    await live.finish();
    expect(rowsOf(outputs.at(-1))).toEqual([
      { step: 1, value: 5, curve: 'norm' },
      { step: 2, value: 6, curve: 'norm' },
    ]);
  });

  test('in plain Node there is only the progress', async () => {
    const lines = vi.spyOn(console, 'error').mockImplementation(() => {});
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    const live = liveTraining({ title: 'Loss', steps: 2 });
    live.onStep(record(1));
    live.onStep(record(2));
    await live.finish('done');
    expect(lines).toHaveBeenCalledTimes(1);
    expect(log).not.toHaveBeenCalled();
  });
});
