import * as fs from 'node:fs';
import { disposeCompiled, releaseFreeMemory } from '@tarflow/graph';
import { expect, test } from 'vitest';
import { normal, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { blocksOf } from '../../src/flow/model.js';
import { createTarFlow } from '../../src/models/tarflow/index.js';
import {
  decodeSequentially,
  loopCacheBytes,
} from '../../src/sampling/solvers/sequential/decode.js';
import { smallConfig } from '../models/tarflow/cases.js';

/** A figure of this process's memory in bytes (Linux). */
function memory(figure: 'VmRSS' | 'VmHWM'): number {
  const status = fs.readFileSync('/proc/self/status', 'utf8');
  return 1024 * Number(new RegExp(`^${figure}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
}

// The allocator that comes with oneDNN keeps what is freed, and so its memory says nothing.
process.env.TF_ENABLE_ONEDNN_OPTS = '0';

// Keys and values are 34 MB each, beside which all else is small.
test.skipIf(process.platform !== 'linux').each(['graph', 'xla'] as const)(
  'a loop writes keys and values in place, %s',
  async (loop) => {
    const [batch, tokens] = [512, 256];
    const flow = createTarFlow(
      {
        ...smallConfig,
        image: { channels: 1, height: 16, width: 16 },
        channels: 64,
        blocks: 1,
        headWidth: 32,
      },
      1,
    );
    const block = blocksOf(flow)[0]!;
    const execution = { mode: 'graph', loop, precision: 'float32' } as const;
    const context = { conditions: {}, execution };
    const z = tf.tensor3d(normal(randomKey(1), batch * tokens), [batch, tokens, 1]);
    const decode = async () =>
      (await decodeSequentially(block, z, context, [tokens], [batch])).dispose();
    // The first call compiles.
    await decode();
    releaseFreeMemory();
    const before = memory('VmRSS');
    fs.writeFileSync('/proc/self/clear_refs', '5'); // the peak begins anew
    await decode();
    const grown = memory('VmHWM') - before;
    const cache = loopCacheBytes(block, batch);
    disposeCompiled();
    // A copy of keys or values, in any round, would be half as much again.
    expect(grown / cache).toBeGreaterThan(0.9);
    expect(grown / cache).toBeLessThan(1.3);
  },
);
