// Around the tests of each file: the engine that computes, until a test chooses another. Tensors that a
// test still has at its end go then; that the library leaves none is for tests to say.
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, vi } from 'vitest';
import { type EngineName, startEngine } from '../src/core/engine.js';
import { tf } from '../src/core/tf.js';

let usual: EngineName;

/** Whether a file tests what is chosen before an engine starts. */
const early = expect.getState().testPath?.endsWith('training-threads.test.ts');

beforeAll(async () => {
  if (early) return;
  usual = (await startEngine()).engine;
});

afterAll(async () => {
  vi.unstubAllEnvs();
  if (early) return;
  await startEngine({ engine: usual });
});

beforeEach(() => {
  const engine = tf.engine();
  engine.startScope('test');
  onTestFinished(() => engine.endScope());
});
