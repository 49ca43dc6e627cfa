import { z } from 'zod';
import { tf } from '../../../core/tf.js';
import { emptyRecord, type SolverDefinition } from '../definition.js';
import { plainly } from '../execution.js';
import { decodeSequentially, loopCacheBytes } from './decode.js';
import { givenTokens, solveSequentially } from './steps.js';

const schema = z.strictObject({ kind: z.literal('sequential') });

/** Token by token with a key/value cache, exact (TarFlow, section 3.1). */
export type Sequential = z.infer<typeof schema>;

export const sequential: SolverDefinition<Sequential> = {
  kind: 'sequential',
  schema,
  text: () => 'sequential',
  showsIterates: false,
  async solve(block, z, _, context) {
    const [batch, end] = z.shape;
    const record = emptyRecord(batch);
    const { execution } = context;
    if (block.decoder && execution.loop !== 'eager') {
      const tokens = await decodeSequentially(block, z, context);
      record.evaluations = end - block.given;
      record.evaluatedTokens = batch * (end - 1);
      record.cacheBytes = loopCacheBytes(block, batch);
      return { tokens, record };
    }
    const first = givenTokens(block, z);
    // A token more is another shape: graphs are for loops.
    const plain = { ...context, execution: plainly(execution) };
    try {
      const result = await solveSequentially(block, z, { tokens: first }, end, plain);
      const { tokens, cache, ...work } = result;
      if (cache) tf.dispose(cache);
      return { tokens, record: { ...record, ...work } };
    } finally {
      first.dispose();
    }
  },
};
