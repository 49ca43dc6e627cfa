import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Limits, type Output, Outputs } from '../../src/front/outputs.js';

const limits: Limits = { delay: 20, characters: 1000 };

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const text = (cell: number, words: string, name: 'stdout' | 'stderr' = 'stdout'): Output => ({
  type: 'stream',
  cell,
  name,
  text: words,
});

const update = (id: string, words: string): Output => ({
  type: 'display',
  cell: 1,
  update: true,
  shown: { data: { 'text/plain': words }, metadata: {}, transient: { display_id: id } },
});

function outputs(given = limits) {
  const published: Output[] = [];
  const made = new Outputs(
    given,
    (output) => published.push(output),
    () => {},
  );
  return { made, published };
}

describe('outputs', () => {
  test('of one stream are put together, in order with all others', () => {
    const { made, published } = outputs();
    made.add(text(1, 'a'));
    made.add(text(1, 'b'));
    made.add(text(1, 'c', 'stderr'));
    made.add(text(2, 'd', 'stderr'));
    made.add({ type: 'clear', cell: 2, wait: false });
    made.add(text(2, 'e'));
    vi.advanceTimersByTime(limits.delay);
    expect(published).toEqual([
      text(1, 'ab'),
      text(1, 'c', 'stderr'),
      text(2, 'd', 'stderr'),
      { type: 'clear', cell: 2, wait: false },
      text(2, 'e'),
    ]);
  });

  test('that are long go at once, and what comes after waits for what came before', () => {
    const { made, published } = outputs();
    made.add(text(1, 'x'.repeat(1000)));
    expect(published).toHaveLength(1);
    made.add(text(1, 'y'));
    const done = vi.fn(() => expect(published).toHaveLength(2));
    made.after(done);
    expect(done).toHaveBeenCalledOnce();
  });

  test('that update a display are merged to the last', () => {
    const { made, published } = outputs();
    for (let i = 0; i < 100; i++) {
      made.add(update('one', `${i}`));
      made.add(update('two', `${-i}`));
    }
    vi.advanceTimersByTime(limits.delay);
    expect(published).toEqual([update('one', '99'), update('two', '-99')]);
  });

  test('wait where there is a pace, and all of them arrive', () => {
    const pace = { burst: 10_000, perSecond: 10_000 };
    const { made, published } = outputs({ ...limits, pace });
    for (let i = 0; i < 40; i++) made.add(text(1, 'z'.repeat(1000)));
    const done = vi.fn();
    made.after(done);
    expect(published.length).toBeGreaterThan(2);
    expect(published.length).toBeLessThan(6);
    expect(made.waiting).toBeGreaterThan(60_000);
    vi.advanceTimersByTime(1000);
    expect(published.length).toBeGreaterThan(6);
    expect(published.length).toBeLessThan(12);
    expect(done).not.toHaveBeenCalled();
    vi.advanceTimersByTime(10_000);
    expect(published).toHaveLength(40);
    expect(made.waiting).toBe(0);
    expect(done).toHaveBeenCalledOnce();
  });
});
