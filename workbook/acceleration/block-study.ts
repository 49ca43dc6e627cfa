import { imagesTensor, openDataset } from '../../src/data/index.js';
import { mean, standardErrorOfMean } from '../../src/evaluation/statistics.js';
import { solveBlock } from '../../src/sampling/solvers/solve-block.js';
import {
  convergenceRankingMetric,
  initialGuessingMetric,
} from '../../src/sampling/study/metrics.js';
import { followConvergence } from '../measures/convergence.js';
import { convergenceRate } from '../measures/error-measures.js';
import type { BlockStudyRow, MeanWithError, StartOutcome } from '../records/record.js';
import { disposeSubject, loadSubject, type Subject, trajectoryOf } from './solver-study.js';

/** How blocks are studied. */
export interface BlockStudyOptions {
  /** Samples that are drawn, each block of which is solved again; and how many together. */
  samples: number;
  batch: number;
  /** Validation images for CRM and IGM. */
  images: number;
  seed: number;
  /** The change below which a number of a sample is solved. */
  tolerance: number;
  /** Called with the share that is done. */
  onProgress?: (share: number) => void;
}

const starts = ['latent', 'zeros'] as const;

/**
 * How the blocks of a committed flow converge by Jacobi iteration, each by itself, from what sequential
 * sampling gives it; and what CRM and IGM say of them.
 *
 * @param checkpoint its name in `results/checkpoints`
 * @returns a row for each block, by index from the data
 * @throws UserError as `loadCheckpoint` and `openDataset` do
 */
export async function studyBlocks(
  checkpoint: string,
  { samples, batch, images, seed, tolerance, onProgress }: BlockStudyOptions,
): Promise<BlockStudyRow[]> {
  /** By block: iterations and failures from each start, in the order of samples. */
  const counts: Record<(typeof starts)[number], { iterations: number[]; failed: number }>[] = [];
  const rates: ReturnType<typeof convergenceRate>[] = [];
  const batches = Math.ceil(samples / batch);
  for (let part = 0; part < batches; part++) {
    const size = Math.min(batch, samples - part * batch);
    const subject = await loadSubject(checkpoint, { batch: size, seed: seed + part });
    try {
      for (const index of subject.inOrder) {
        const { block, conditions, z } = trajectoryOf(subject, index);
        counts[index] ??= {
          latent: { iterations: [], failed: 0 },
          zeros: { iterations: [], failed: 0 },
        };
        for (const start of starts) {
          const solver = { kind: 'jacobi', tolerance, start } as const;
          const { tokens, trace } = await solveBlock(block, z, solver, { conditions });
          tokens.dispose();
          counts[index][start].iterations.push(...trace.sampleIterations);
          counts[index][start].failed += trace.fallbacks.length;
        }
        if (part === 0) {
          const { meanErrors } = await followConvergence(trajectoryOf(subject, index), {
            kind: 'jacobi',
            tolerance: 0,
            maximum: 3 * Math.max(...counts[index].latent.iterations),
          });
          rates[index] = convergenceRate(meanErrors);
        }
        await new Promise(setImmediate);
      }
      if (part === batches - 1) return await withMetrics(subject);
    } finally {
      disposeSubject(subject);
    }
    onProgress?.((part + 1) / (batches + 1));
  }
  return [];

  async function withMetrics({ flow, tokens, first }: Subject): Promise<BlockStudyRow[]> {
    const { place, dataset = '', noise } = flow.details;
    const data = await openDataset(place ?? dataset, 'validation', { image: flow.config.image });
    const real = await imagesTensor(
      data,
      Array.from({ length: Math.min(images, data.length) }, (_, i) => i),
    );
    try {
      const crm = convergenceRankingMetric(flow, real);
      const ofLatents = convergenceRankingMetric(flow, real, { spread: 'latents' });
      const igm = initialGuessingMetric(flow, real);
      return counts.map(({ latent, zeros }, block) => {
        const difference = zeros.iterations.map((count, i) => count - latent.iterations[i]!);
        const { early, late, count } = rates[block]!;
        return {
          model: checkpoint,
          noise: noise?.kind ?? '',
          tokens,
          blocks: counts.length,
          block,
          first: block === first,
          latent: outcomeOf(latent),
          zeros: outcomeOf(zeros),
          zerosLessLatent: withError(difference),
          crm: 100 * crm[block]!.share,
          crmOfLatents: 100 * ofLatents[block]!.share,
          igm: { latent: igm[block]!.latent, zeros: igm[block]!.zeros, says: igm[block]!.better },
          factors: { early, late, iterations: count },
        };
      });
    } finally {
      real.dispose();
    }
  }
}

function outcomeOf({ iterations, failed }: { iterations: number[]; failed: number }): StartOutcome {
  return { ...withError(iterations), most: Math.max(...iterations), notFinite: failed };
}

function withError(values: number[]): MeanWithError {
  return { mean: mean(values), error: standardErrorOfMean(values) ?? 0 };
}
