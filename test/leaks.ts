import { expect, onTestFinished } from 'vitest';
import { tf } from '../src/core/tf.js';

/** Fails the running test if it ends with more tensors than there are now, or with fewer. */
export function expectNoTensorsLeft(): void {
  const before = tf.memory().numTensors;
  onTestFinished(() => expect(tf.memory().numTensors, 'tensors').toBe(before));
}
