import { expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { median, takeTurns, timed } from '../../src/sampling/planner/timing.js';
import { executionText } from '../../src/sampling/solvers/execution.js';
import { expectNoTensorsLeft } from '../leaks.js';

test('the median', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([7])).toBe(7);
});

test('runs take turns, every second round backwards, and free what they make', async () => {
  expectNoTensorsLeft();
  const order: string[] = [];
  const results: string[] = [];
  const run = (name: string, value: number) => async (round: number) => {
    order.push(`${name}${round}`);
    return tf.scalar(value + round);
  };
  const times = await takeTurns([run('a', 10), run('b', 20)], 3, {
    onResult: (index, round, values) => results.push(`${index} ${round} ${values.join()}`),
  });
  expect(order).toEqual(['a0', 'b0', 'b1', 'a1', 'a2', 'b2']);
  expect(results).toEqual(['0 0 10', '1 0 20', '1 1 21', '0 1 11', '0 2 12', '1 2 22']);
  expect(times.map(({ length }) => length)).toEqual([3, 3]);
});

test('a run that fails or is stopped ends the turns', async () => {
  const failing = async (): Promise<tf.Tensor> => {
    throw new Error('no');
  };
  await expect(timed(failing)).rejects.toThrow('no');
  const signal = AbortSignal.abort(new Error('enough'));
  let runs = 0;
  const counted = async () => tf.scalar(++runs);
  await expect(takeTurns([counted], 2, { signal })).rejects.toThrow('enough');
  expect(runs).toBe(0);
});

test('the execution in words', () => {
  const plain = { mode: 'graph', loop: 'graph', precision: 'float32' } as const;
  expect(executionText('wasm', plain)).toBe('wasm, graph, float32');
  expect(executionText('wasm', { ...plain, loop: 'xla' })).toBe(
    'wasm, graph with xla loops, float32',
  );
});
