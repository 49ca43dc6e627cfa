import { tf } from '../../src/core/tf.js';
import { mapTree } from '../../src/core/tree.js';
import { imagesTensor, openDataset } from '../../src/data/index.js';
import { mean, standardErrorOfMean } from '../../src/evaluation/statistics.js';
import { solveBlock } from '../../src/sampling/solvers/solve-block.js';
import {
  convergenceRankingMetric,
  initialGuessingMetric,
} from '../../src/sampling/study/metrics.js';
import type { BlockTrajectory } from '../../src/sampling/study/trajectories.js';
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
  /** Their data set, as `openDataset` takes it. Default that of the training. */
  data?: string | undefined;
  seed: number;
  /** The change below which a number of a sample is solved. */
  tolerance: number;
  /** Called with the share that is done. */
  onProgress?: (share: number) => void;
}

const starts = ['latent', 'zeros'] as const;

/** Of a block: iterations and failures from each start, and samples that are not solved. */
type Counts = Record<(typeof starts)[number], { iterations: number[]; failed: number }> & {
  leftOut: number;
};

/**
 * How the blocks of a flow converge by Jacobi iteration, each by itself, from what sequential
 * sampling gives it; and what CRM and IGM say of them.
 *
 * @param checkpoint its name in `results/checkpoints`, or a file
 * @returns a row for each block, by index from the data
 * @throws UserError as `loadCheckpoint` and `openDataset` do
 */
export async function studyBlocks(
  checkpoint: string,
  { samples, batch, images, data: asked, seed, tolerance, onProgress }: BlockStudyOptions,
): Promise<BlockStudyRow[]> {
  /** By block: iterations and failures from each start, in the order of samples. */
  const counts: Counts[] = [];
  const rates: ReturnType<typeof convergenceRate>[] = [];
  const batches = Math.ceil(samples / batch);
  for (let part = 0; part < batches; part++) {
    const size = Math.min(batch, samples - part * batch);
    const subject = await loadSubject(checkpoint, { batch: size, seed: seed + part });
    try {
      for (const index of subject.inOrder) {
        const finite = finiteSamples(trajectoryOf(subject, index));
        counts[index] ??= {
          latent: { iterations: [], failed: 0 },
          zeros: { iterations: [], failed: 0 },
          leftOut: 0,
        };
        counts[index].leftOut += size - finite.z.shape[0];
        await countFromBothStarts(finite, tolerance, counts[index]);
        if (part === 0) {
          const { meanErrors } = await followConvergence(finite, {
            kind: 'jacobi',
            tolerance: 0,
            maximum: 3 * Math.max(...counts[index].latent.iterations),
          });
          rates[index] = convergenceRate(meanErrors);
        }
        tf.dispose([finite.conditions, finite.z, finite.x]);
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
    const name = asked ?? place ?? dataset;
    const data = await openDataset(name, 'validation', { image: flow.config.image });
    const real = await imagesTensor(
      data,
      Array.from({ length: Math.min(images, data.length) }, (_, i) => i),
    );
    try {
      const crm = convergenceRankingMetric(flow, real);
      const ofLatents = convergenceRankingMetric(flow, real, { spread: 'latents' });
      const igm = initialGuessingMetric(flow, real);
      return counts.map(({ latent, zeros, leftOut }, block) => {
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
          leftOut,
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

async function countFromBothStarts(
  { block, conditions, z }: BlockTrajectory,
  tolerance: number,
  counts: Counts,
): Promise<void> {
  for (const start of starts) {
    const solver = { kind: 'jacobi', tolerance, start } as const;
    const { tokens, trace } = await solveBlock(block, z, solver, { conditions });
    tokens.dispose();
    counts[start].iterations.push(...trace.sampleIterations);
    counts[start].failed += trace.fallbacks.length;
  }
}

/** The samples of which sequential sampling gives and finds finite numbers, to be freed. */
function finiteSamples({ block, conditions, z, x }: BlockTrajectory): BlockTrajectory {
  const given = [z, x].map((tensor) => tensor.dataSync());
  const length = z.size / z.shape[0];
  const allFinite = (sample: number) =>
    given.every((values) =>
      values.subarray(sample * length, (sample + 1) * length).every(Number.isFinite),
    );
  const finite = Array.from({ length: z.shape[0] }, (_, sample) => sample).filter(allFinite);
  return { block, ...mapTree({ conditions, z, x }, (all) => tf.gather(all, finite)) };
}

function outcomeOf({ iterations, failed }: { iterations: number[]; failed: number }): StartOutcome {
  return { ...withError(iterations), most: Math.max(...iterations), notFinite: failed };
}

function withError(values: number[]): MeanWithError {
  return { mean: mean(values), error: standardErrorOfMean(values) ?? 0 };
}
