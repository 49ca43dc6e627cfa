import { describe, expect, test } from 'vitest';
import { contextTensors } from '../../src/conditions/context.js';
import { classMixture } from '../../src/conditions/labels.js';
import { normal, randomKey, tf, tidy } from '../../src/core/index.js';
import { blockForward, blocksOf, type Model } from '../../src/flow/index.js';
import { withGuidance } from '../../src/sampling/guidance.js';
import { executionOf } from '../../src/sampling/solvers/execution.js';
import { segmentEnds } from '../../src/sampling/solvers/gauss-seidel-jacobi/solve-by-iteration.js';
import { decodeSequentially } from '../../src/sampling/solvers/sequential/decode.js';
import { solveBlock } from '../../src/sampling/solvers/solve-block.js';
import type { Solver } from '../../src/sampling/solvers/solvers.js';
import { referenceInverse } from '../../workbook/acceleration/reference.js';
import { difference, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { movedModel } from '../models/cases.js';
import { smallStarFlow, starflowCases } from '../models/starflow/cases.js';
import { normalisedTokens, withStartToken } from './start-token.js';

/** Blocks of 15 tokens behind a start token, one for each direction, of a flow with two classes. */
function startTokenBlocks() {
  const flow = smallFlow({ classes: 2 });
  return { flow, blocks: blocksOf(flow).map((block) => withStartToken(block, 0.5)) };
}

function latents(batch: number, seed: number): tf.Tensor3D {
  return tf.tensor3d(normal(randomKey(seed), batch * 15), [batch, 15, 1]);
}

const solvers: [string, Solver, number][] = [
  ['token by token', { kind: 'sequential' }, 1e-5],
  ['Jacobi, exact', { kind: 'jacobi', tolerance: 0 }, 1e-5],
  ['Jacobi from zeros', { kind: 'jacobi', tolerance: 0, start: 'zeros' }, 1e-5],
  ['segments', { kind: 'gaussSeidelJacobi', segments: 4, tolerance: 0 }, 1e-5],
  ['as many segments as tokens', { kind: 'gaussSeidelJacobi', segments: 15, tolerance: 0 }, 1e-5],
  [
    'as published',
    { kind: 'publishedGaussSeidelJacobi', segments: 1, maximum: 15, tolerance: 0 },
    1e-5,
  ],
];

describe('a block whose first token a start token predicts', () => {
  test('moves every token, the first too, and the log-determinant counts it', () => {
    const { blocks } = startTokenBlocks();
    tidy(() => {
      const x = latents(2, 3);
      for (const block of blocks) {
        const { z, logDet } = blockForward(block, block.order(x, true));
        expect(difference(block.order(z), normalisedTokens(block, x))).toBeLessThan(1e-5);
        const { logScale } = block.predict(tf.slice(x, [0, 0, 0], [-1, 14, -1])).next;
        expect(logScale?.shape).toEqual([2, 15, 1]);
        expect(difference(logDet, tf.neg(tf.sum(logScale!, [1, 2])))).toBeLessThan(1e-5);
      }
    });
  });

  test.each(['eager', 'graph'] as const)('is inverted by every solver, %s', async (mode) => {
    const { blocks } = startTokenBlocks();
    const x = latents(2, 3);
    for (const block of blocks) {
      const z = tidy(() => normalisedTokens(block, x));
      const before = tf.memory().numTensors;
      // By day each block as graphs takes every other solver.
      const all = mode === 'eager' || process.env.TARFLOW_NIGHTLY;
      const taken = solvers.filter((_, i) => all || i % 2 === block.index % 2);
      for (const [, solver, bound] of taken) {
        const execution = executionOf([block], { mode });
        const { tokens } = await solveBlock(block, z, solver, { execution });
        expect(difference(tokens, x)).toBeLessThan(bound);
        tokens.dispose();
      }
      expect(tf.memory().numTensors).toBe(before);
      z.dispose();
    }
  });

  test.each([
    ['a class', { classes: 3 }],
    ['a caption', { text: { entries: 3, width: 5 } }],
  ])('of a STARFlow that reads %s is solved as published', async (_, read) => {
    const config = { ...smallStarFlow, ...read, channels: 40, headWidth: 20 };
    const model = movedModel(starflowCases, config, { strength: 2 }) as unknown as Model;
    const z = tf.tensor3d(normal(randomKey(4), 2 * 16), [2, 16, 1]);
    const text = tf.tensor3d(normal(randomKey(5), 2 * 15), [2, 3, 5]);
    const told = contextTensors(config, 'classes' in read ? { label: [2, 0] } : { text }, 2);
    expectNoTensorsLeft();
    for (const guidance of [undefined, { rule: 'product', weight: 2 } as const]) {
      for (const block of blocksOf(model)) {
        // The block nearest the noise alone reads the class or the caption.
        const deep = block.index === block.cost.stack - 1;
        expect(block.cache.lead).toBe(deep ? ('classes' in read ? 2 : 4) : 1);
        const { block: guided, conditions } = withGuidance(block, 2, told, guidance);
        expect(guided.cache.rows).toBe(guidance && deep ? 2 : 1);
        const exact = await solveBlock(guided, z, { kind: 'sequential' }, { conditions });
        for (const segments of [1, 2, 4]) {
          const maximum = 16 / segments + 1;
          const solver: Solver = {
            kind: 'publishedGaussSeidelJacobi',
            segments,
            maximum,
            tolerance: 1e-6,
          };
          const { tokens, trace } = await solveBlock(guided, z, solver, { conditions });
          expect(difference(tokens, exact.tokens), `${segments} segments`).toBeLessThan(1e-4);
          expect(trace.unconverged).toEqual([]);
          expect(Math.max(...trace.iterations.map(({ segment }) => segment))).toBe(segments - 1);
          tokens.dispose();
        }
        // One iteration of each segment is not enough.
        const solver: Solver = {
          kind: 'publishedGaussSeidelJacobi',
          segments: 2,
          maximum: 1,
          tolerance: 1e-6,
        };
        const { tokens } = await solveBlock(guided, z, solver, { conditions });
        expect(difference(tokens, exact.tokens)).toBeGreaterThan(1e-3);
        tf.dispose([exact.tokens, tokens, conditions]);
      }
    }
  });

  test('is decoded in one loop, guided, in calls and parts, as it is token by token', async () => {
    const { flow, blocks } = startTokenBlocks();
    const z = latents(3, 5);
    const classes = classMixture(flow.config, [0, 1, 1], 3) as tf.Tensor2D;
    const guidance = { weight: 1, annealed: true, temperature: 0.7 };
    for (const block of blocks) {
      const { block: guided, conditions } = withGuidance(block, 3, { classes }, guidance);
      const execution = executionOf([block], { mode: 'graph' });
      const expected = referenceInverse(guided, z, conditions);
      const solver = { kind: 'jacobi', tolerance: 0 } as const;
      const iterated = await solveBlock(guided, z, solver, { conditions });
      expect(difference(iterated.tokens, expected)).toBeLessThan(1e-5);
      for (const [lengths, sizes] of [
        [[15], [3]],
        [
          [4, 9, 15],
          [1, 2],
        ],
      ] as const) {
        const solved = await decodeSequentially(
          guided,
          z,
          { conditions, execution },
          lengths,
          sizes,
        );
        expect(difference(solved, expected)).toBeLessThan(1e-5);
      }
    }
  });

  test('has segments that begin with its first token', () => {
    expect(segmentEnds(15, 3, 0)).toEqual([5, 10, 15]);
    expect(segmentEnds(4, 4, 0)).toEqual([1, 2, 3, 4]);
  });
});
