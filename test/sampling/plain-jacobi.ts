import { z } from 'zod';
import { tf, tidy } from '../../src/core/tf.js';
import { predictAll } from '../../src/flow/forward.js';
import { denormalise } from '../../src/flow/gaussian.js';
import { emptyRecord, type SolverDefinition } from '../../src/sampling/solvers/definition.js';
import { registerSolver } from '../../src/sampling/solvers/solvers.js';

const schema = z.strictObject({
  kind: z.literal('plainJacobi'),
  rounds: z.int({ error: 'Expected a whole number' }),
});

type PlainJacobi = z.infer<typeof schema>;

declare module '../../src/sampling/solvers/solvers.js' {
  interface RegisteredSolvers {
    plainJacobi: PlainJacobi;
  }
}

/** Jacobi iteration without a cache or a test: all tokens from the last iterate, so many times. */
const plainJacobi: SolverDefinition<PlainJacobi> = {
  kind: 'plainJacobi',
  schema,
  text: ({ rounds }) => `plain Jacobi, ${rounds} rounds`,
  showsIterates: false,
  async solve(block, latents, { rounds }, { conditions, onStep }) {
    const [batch, tokens] = latents.shape;
    const known = tf.slice(latents, [0, 0, 0], [-1, block.given, -1]);
    const open = tf.slice(latents, [0, block.given, 0]);
    let x = latents.clone();
    for (let round = 1; round <= rounds; round++) {
      const before = x;
      x = tidy(() =>
        tf.concat([known, denormalise(open, predictAll(block, before, conditions))], 1),
      );
      before.dispose();
      await onStep?.(Math.min(round + 1, tokens));
    }
    tf.dispose([known, open]);
    const work = { evaluations: rounds, evaluatedTokens: rounds * batch * (tokens - 1) };
    return { tokens: x, record: { ...emptyRecord(batch), ...work } };
  },
  async tryForms({ tokens, look }) {
    await look({ kind: 'plainJacobi', rounds: tokens - 1 });
  },
  strategies: {
    'all plain': (blocks) =>
      blocks.map(({ tokens }) => ({ kind: 'plainJacobi', rounds: tokens - 1 })),
  },
};

registerSolver(plainJacobi);
