import { pairedDifference, unpairedDifference } from '../measures/comparison.js';
import { type FigureName, published } from '../papers/index.js';
import { type anomalyScoreNames, outlierSets } from '../papers/measurements/anomalies.js';
import { residualArms } from '../papers/measurements/design.js';
import { guidanceWeights, linearRules } from '../papers/measurements/guidance.js';
import {
  blocksDiffer,
  crmTells,
  fewIterations,
  flowsOfFewIterations,
  igmIsQuicker,
  igmOverflowsLess,
  namedByCrm,
  namedByIgm,
  overflows,
  superlinear,
  superlinearBlocks,
  toughness,
} from './block-rules.js';
import {
  type Claim,
  clearlyBelow,
  computed,
  type Evidence,
  type Outcome,
  ofTrainings,
  ours,
  sentence,
} from './paper-claim.js';
import {
  bestDiffusion,
  bitsOf,
  comparableSamples,
  competitive,
  diffusions,
  distanceOf,
  exactInverse,
  excessBits,
  faster,
  fewerBits,
  isUnstable,
  keepsModes,
  nearGans,
  ofKind,
  type PeerKind,
  secondsOf,
  sharper,
  sharpnessOf,
  stable,
} from './peer-rules.js';
import {
  bottleneck,
  boundedBySteps,
  type CompiledStrategy,
  evaluationsPerLoops,
  laterBlocksTakeFew,
  leansOnNearTokens,
  overAuthorsLoop,
  overCompiledLoop,
  type Strategy,
  sameQuality,
  timesAsFast,
  timesOverCompiled,
} from './speed-rules.js';
import { fillsIn, inNewClass, inpaintingMean, isAbove, middlesGain, varied } from './use-rules.js';

/** A figure of the models that were trained on clothes at one cost; NaN where it is not there. */
const ofClothes = (
  figure: (clothes: Evidence['peers'][number]) => number | undefined,
  decimals: number,
) => computed(({ peers: [clothes] }) => (clothes && figure(clothes)) ?? Number.NaN, { decimals });

const trained = (kind: PeerKind) => ofClothes(({ models }) => ofKind(models, kind).length, 0);
const unstable = (kind: PeerKind) =>
  ofClothes(({ models }) => ofKind(models, kind).filter(isUnstable).length, 0);

/** Where a claim on kinds of models stands, and whether these kinds are measured. */
const atOneCost = (
  ...kinds: readonly PeerKind[]
): Pick<Claim, 'measurements' | 'files' | 'measured'> => ({
  measurements: [],
  files: ['peers/fashion-mnist.json'],
  measured: ({ peers: [clothes] }) =>
    clothes !== undefined && kinds.every((kind) => ofKind(clothes.models, kind).length > 0),
});

/** Whether all of some outcomes hold: no where one does not, else open where one is. */
function all(...outcomes: Outcome[]): Outcome {
  if (outcomes.includes(false)) return false;
  return outcomes.every((outcome) => outcome === true) || undefined;
}

type Scores = (typeof anomalyScoreNames)[number];

const auroc = (score: Scores, set: (typeof outlierSets)[number]) =>
  ours('anomalies', `AUROC, ${score}, ${set}`, { decimals: 2, error: true });

/** P1: whether a score tells all of some sets of outliers from clothes, or some of them. */
function tellsApart(figure: Evidence['figure'], score: Scores): Outcome {
  const told = outlierSets.filter((set) => {
    const { value, error = Number.NaN } = figure('anomalies', `AUROC, ${score}, ${set}`);
    return value - 2 * error >= 0.9;
  });
  return told.length === outlierSets.length || (told.length > 0 ? 'in part' : false);
}

/** P4: by how much PSNR of right halves of clothes is above that of pasted samples. */
function gainInDecibels({ editing }: Evidence): number {
  const of = (how: 'drawn' | 'pasted') =>
    inpaintingMean(editing?.inpainting ?? [], 'clothes, right half', how, 'psnr').value;
  return of('drawn') - of('pasted');
}

/** A5: smooth with both kinds of residual connection, and at most once without one of them. */
function becauseOfResiduals(smooth: (arm: (typeof residualArms)[number]) => number): Outcome {
  const [both, ...others] = residualArms;
  const rough = others.filter((arm) => smooth(arm) <= 1).length;
  if (smooth(both) < 3 || rough === 0) return false;
  return rough === others.length || 'in part';
}

/** Rows of the table of designs. */
const designRows = {
  alternating: 'scale and shift (NVP)',
  oneDirection: 'four blocks, all from left to right',
  oneBlock: 'one block, from left to right only',
};

/** Rows of the table of latents and pixels. */
const domainRows = {
  latents: 'latents, decoder trained on noise',
  pixels: 'pixels, patches of 8×8, σ = 0.05',
};

/** Rows of the table of kinds of noise. */
const noiseRows = {
  uniform: 'uniform noise of one grey level',
  gaussian: 'Gaussian noise of 0.1',
};

/** Rows of the table of splits. */
const splitRows = {
  deep: 'one deep block nearest the noise, 1-1-1-5',
  even: 'an even split, 2-2-2-2',
};

/**
 * Of claim C1: a flow and a larger one. The fresh trainings, seeds 4 to 6, are put into
 * `results/tables/sizes-fresh-workbook.json` when all are measured (`results/pending/c1` until then).
 */
const sizesCompared = [
  ['4 blocks of 1 layer', '4 blocks of 2 layers'],
  ['4 blocks of 2 layers', '4 blocks of 4 layers'],
  ['4 blocks of 1 layer', '8 blocks of 1 layer'],
] as const;

/**
 * Whether in each of three pairs the second trainings are below the first ones, by Welch's intervals for
 * three comparisons.
 *
 * @returns false where in one they are above; undefined where trainings are missing, or all are too near
 */
function allBelow(pairs: readonly (readonly [readonly number[], readonly number[]])[]): Outcome {
  if (pairs.some(([one, other]) => Math.min(one.length, other.length) < 3)) return undefined;
  const intervals = pairs.map(([one, other]) => unpairedDifference(one, other, 0.983).interval);
  if (intervals.some(([low]) => low > 0)) return false;
  const below = intervals.filter(([, high]) => high < 0).length;
  if (below === 0) return undefined;
  return below === intervals.length || 'in part';
}

/**
 * Whether TarFlow takes fewer bits than another flow in each of some tables, by pairs of trainings.
 *
 * @param least the mean difference that is asked for
 */
function bitsBelow(
  trainings: Evidence['trainings'],
  tables: readonly string[],
  other: string,
  least: number,
): Outcome {
  const outcomes = tables.map((table): Outcome => {
    const bits = (row: string) => trainings(table, row, 'bits per dimension');
    const [theirs, ours] = [bits(other), bits('TarFlow')];
    if (ours.length < 3 || ours.length !== theirs.length) return undefined;
    const { mean, interval } = pairedDifference(theirs, ours, 0.975);
    if (interval[1] < 0) return mean <= -least;
    return interval[0] > 0 ? false : undefined;
  });
  return all(...outcomes);
}

/** The least or most evaluations that fit into the loop of a block of a published size. */
const ofLoops = (choose: (...values: number[]) => number, batch: number) =>
  computed(({ paperSizes }) => choose(...evaluationsPerLoops(paperSizes, batch)));

/** How many times as fast a strategy is, over the authors' kind of loop and over ours. */
function overLoops(strategy: Strategy, compiled: CompiledStrategy): Claim['ours'] {
  type Multiples = (evidence: Evidence) => readonly number[];
  const authors =
    (batch: number): Multiples =>
    ({ authorsLoop }) =>
      authorsLoop.map((flow) => timesAsFast(flow, strategy, batch) ?? 1);
  const [one, eight] = [authors(1), authors(8)];
  const ours: Multiples = ({ accelerations }) => timesOverCompiled(accelerations, compiled);
  const least = (of: Multiples) =>
    computed((evidence) => Math.min(...of(evidence)), { decimals: 1 });
  const most = (of: Multiples) =>
    computed((evidence) => Math.max(...of(evidence)), { decimals: 1 });
  return sentence`Over the authors’ loop ${least(one)}× to ${most(one)}× for one image, ${least(eight)}× to ${most(eight)}× for eight; over our compiled loop, for one, ${least(ours)}× to ${most(ours)}×.`;
}

/** Coders that learn nothing, and what they take at a time. */
const otherCoders = (['PNG', 'WebP', 'AVIF', 'Zstandard'] as const).flatMap(
  (coder) => [`${coder}, each image`, `${coder}, all in one`] as const,
);

/** Of L3: yes where it is so of both models, in part where of one. */
function inBothModels(isSo: (model: 'clothes' | 'emoji') => boolean): Outcome {
  const [one, other] = [isSo('clothes'), isSo('emoji')];
  return (one && other) || ((one || other) && 'in part');
}

/** The claims of the papers, in their order, each with the rule by which our figures decide it. */
export const claims: readonly Claim[] = [
  {
    id: 'A1',
    title: 'a masked flow of causal transformers, as published',
    claim:
      'A TarFlow is a masked autoregressive flow whose map is a stack of causal transformer blocks over image patches.',
    measurements: ['foundations'],
    ours: sentence`${ours('foundations', 'tensors within their bounds on each engine')} of ${ours('foundations', 'tensors of the authors’ code')} tensors of the authors’ code agree on each of ${ours('foundations', 'engines')} engines.`,
    parts: [
      {
        rule: 'All tensors of the authors’ code agree on three engines, and no prediction depends on its own patch or a later one.',
        holds: ({ figure }) =>
          figure('foundations', 'engines').value >= 3 &&
          figure('foundations', 'tensors within their bounds on each engine').value ===
            figure('foundations', 'tensors of the authors’ code').value &&
          figure('foundations', 'predictions changed by their own or a later patch').value === 0,
      },
    ],
  },
  {
    id: 'A2',
    title: 'directions must alternate',
    claim:
      'The direction alternates between blocks; without the alternation, or with a single block, it fails.',
    measurements: ['first-patch'],
    tables: ['design-ablation'],
    published: sentence`FID ${published('design-ablation', 'one block, from left to right only', 'FID')} with one block, ${published('design-ablation', 'scale and shift (NVP)', 'FID')} for the whole model`,
    ours: sentence`FD on Fashion-MNIST: alternating ${ofTrainings('design-ablation', designRows.alternating, 'FID', 0)}, in one direction ${ofTrainings('design-ablation', designRows.oneDirection, 'FID', 0)}, one block ${ofTrainings('design-ablation', designRows.oneBlock, 'FID', 0)}.`,
    parts: [
      {
        rule: 'On Fashion-MNIST flows of one direction, or of one block, have more than twice the FD of alternating ones, in each of three trainings.',
        holds: ({ trainings }) => {
          const fd = (row: string) => trainings('design-ablation', row, 'FID');
          const base = fd(designRows.alternating);
          const fails = (row: string) =>
            base.length === fd(row).length && fd(row).every((value, i) => value > 2 * base[i]!);
          return base.length > 0 && fails(designRows.oneDirection) && fails(designRows.oneBlock);
        },
      },
    ],
  },
  {
    id: 'A3',
    title: 'exact likelihood, exact inverse',
    claim:
      'The Jacobian is triangular, so the likelihood is exact and cheap; the map is exactly invertible.',
    measurements: ['exactness'],
    ours: sentence`Largest entry outside the triangle ${ours('exactness', 'largest entry outside the triangle')}; a round trip changes pixels by at most ${ours('exactness', 'round trip of images, uniform noise')}; a density adds up to one within ${ours('exactness', 'sum of a density less 1')}.`,
    parts: [
      {
        rule: 'Nothing lies outside the triangle, a density sums to one within 10⁻⁴, log-determinants agree with elimination to 10⁻³ nats, and round trips to 10⁻⁴.',
        holds: ({ figure }) =>
          figure('exactness', 'largest entry outside the triangle').value === 0 &&
          figure('exactness', 'sum of a density less 1').value < 1e-4 &&
          figure('exactness', 'log-determinant: elimination less forward pass').value < 1e-3 &&
          figure('exactness', 'round trip of images, uniform noise').value < 1e-4 &&
          figure('exactness', 'round trip of images, Gaussian noise').value < 1e-4,
      },
    ],
  },
  {
    id: 'A4',
    title: 'parallel training, sequential inverse',
    claim: 'Training is parallel over all patches; inversion is sequential.',
    measurements: ['foundations'],
    ours: sentence`One pass and a patch at a time predict the same up to ${ours('foundations', 'one pass less a patch at a time, largest difference')}; inverting one image takes longer than the pass.`,
    parts: [
      {
        rule: 'One pass predicts all patches as a patch at a time does, to 10⁻⁴, and inverting an image takes longer than the pass.',
        holds: ({ figure }) =>
          figure('foundations', 'one pass less a patch at a time, largest difference').value <
            1e-4 && figure('foundations', 'time of inverse ÷ time of forward, one image').value > 1,
      },
    ],
  },
  {
    id: 'A5',
    title: 'the loss falls smoothly and monotonically',
    claim:
      'Two kinds of residual connection make training as stable as a standard transformer’s: the loss falls smoothly and monotonically.',
    measurements: ['loss-and-distance', 'residuals'],
    ours: sentence`Falling at every validation: ${ours('loss-and-distance', 'trainings in which every validation is lower than the one before')} of ${ours('loss-and-distance', 'trainings')} small flows. Smooth, of three: both residuals ${ours('residuals', 'smooth trainings of three, both')}, hidden ${ours('residuals', 'smooth trainings of three, hidden alone')}, latent ${ours('residuals', 'smooth trainings of three, latent alone')}, none ${ours('residuals', 'smooth trainings of three, none')}.`,
    parts: [
      {
        part: 'validations fall',
        rule: 'In each of the 21 trainings of small flows of report 9 every validation is below the one before.',
        holds: ({ figure }) =>
          figure(
            'loss-and-distance',
            'trainings in which every validation is lower than the one before',
          ).value === figure('loss-and-distance', 'trainings').value,
      },
      {
        part: 'because of the residuals',
        rule: 'With both kinds all three trainings are smooth, in each other arm at most one; in part: in some arms.',
        holds: ({ figure }) =>
          becauseOfResiduals((arm) => {
            return figure('residuals', `smooth trainings of three, ${arm}`).value;
          }),
      },
    ],
  },
  {
    id: 'A6',
    title: 'one deterministic loss, end to end',
    claim: 'The whole is trained end to end with one deterministic loss.',
    measurements: ['foundations'],
    ours: sentence`The loss of the same images differs by ${ours('foundations', 'loss of the same images, twice, difference')}; ${ours('foundations', 'tensors of parameters without a gradient')} of ${ours('foundations', 'tensors of parameters')} tensors of parameters have no gradient.`,
    parts: [
      {
        rule: 'The same images have the same loss to the last digit, so have two trainings of one seed, and every parameter has a gradient.',
        holds: ({ figure }) =>
          figure('foundations', 'loss of the same images, twice, difference').value === 0 &&
          figure('foundations', 'loss of two trainings of one seed, difference').value === 0 &&
          figure('foundations', 'tensors of parameters without a gradient').value === 0,
      },
    ],
  },
  {
    id: 'C1',
    title: 'likelihood and FID improve with size',
    claim: 'Likelihood and FID improve with model size (more blocks or more layers).',
    measurements: [],
    tables: ['sizes'],
    ours: sentence`FD at equal steps, seen before: 4 blocks of 1 layer ${ofTrainings('sizes', '4 blocks of 1 layer', 'FID', 0)}, of 2 ${ofTrainings('sizes', '4 blocks of 2 layers', 'FID', 0)}, of 4 ${ofTrainings('sizes', '4 blocks of 4 layers', 'FID', 0)}; 8 of 1 ${ofTrainings('sizes', '8 blocks of 1 layer', 'FID', 0)}.`,
    parts: (['likelihood', 'FID'] as const).map((part) => ({
      part,
      rule:
        part === 'FID'
          ? 'The same, by FID.'
          : 'The larger flow is better in three comparisons of three fresh trainings each (Welch, 98.3 %).',
      holds: ({ trainings }) => {
        const of = (row: string) =>
          trainings('sizes-fresh', row, part === 'FID' ? 'FID' : 'held-out loss');
        return allBelow(sizesCompared.map(([smaller, larger]) => [of(smaller), of(larger)]));
      },
      ...(part === 'FID' && { toSettle: 'six trainings more, about two hours' }),
    })),
  },
  {
    id: 'C2',
    title: 'the loss falls together with FD',
    claim:
      'The training loss curve is smooth and monotonic, and correlates strongly with the FID curve.',
    measurements: ['loss-and-distance', 'residuals'],
    tables: ['loss-and-distance'],
    ours: sentence`Over a training the ranks of held-out loss and FD correlate with at least ${ours('loss-and-distance', 'correlation of ranks, lowest of the trainings', { decimals: 3 })} (three trainings, ten points each).`,
    parts: [
      {
        part: 'correlates',
        rule: 'The ranks of loss and FD correlate with at least 0.9 in each of three trainings.',
        holds: ({ figure }) =>
          figure('loss-and-distance', 'correlation of ranks, lowest of the trainings').value >= 0.9,
      },
      {
        part: 'smooth and monotonic',
        rule: 'All three trainings of A5 with both kinds of residual connection are smooth.',
        holds: ({ figure }) => figure('residuals', 'smooth trainings of three, both').value >= 3,
      },
    ],
  },
  {
    id: 'Table 2',
    title: 'likelihood',
    claim: 'TarFlow has the best likelihood of all kinds of models on ImageNet 64×64.',
    ...atOneCost('density', 'vae', 'pixelcnn', ...diffusions),
    measurements: ['bits-per-dimension'],
    published: sentence`${published('likelihood', 'TarFlow 2-768-8-8', 'bits per dimension')} bits/dim on ImageNet 64×64`,
    ours: sentence`Clothes, bits per dimension at one small cost: TarFlow ${ofClothes(({ models }) => bitsOf(models, 'density'), 2)}, VAE ${ofClothes(({ models }) => bitsOf(models, 'vae'), 2)}, PixelCNN ${ofClothes(({ models }) => bitsOf(models, 'pixelcnn'), 2)}. Our longest training has ${ours('bits-per-dimension', 'bits per dimension, test split', { decimals: 3, error: true })}.`,
    parts: [
      {
        part: 'below VAE',
        rule: 'At one cost fewer bits per dimension than the VAE, by more than two errors.',
        holds: ({ peers }) => fewerBits(peers, 'vae'),
      },
      {
        part: 'below PixelCNN',
        rule: 'At one cost fewer bits per dimension than the PixelCNN, by more than two errors.',
        holds: ({ peers }) => fewerBits(peers, 'pixelcnn'),
      },
      {
        part: 'below diffusion',
        rule: 'At one cost fewer bits per dimension than each diffusion model, by more than two errors.',
        holds: ({ peers }) => fewerBits(peers, ...diffusions),
      },
    ],
  },
  {
    id: 'Table 3',
    title: 'sample quality',
    claim: 'TarFlow’s class-conditional samples are near those of diffusion models and GANs.',
    ...atOneCost('tarflow', 'gan', ...diffusions),
    measurements: ['sample-quality', 'emoji-quality'],
    published: sentence`FID ${published('fid-imagenet-64-conditional', 'TarFlow 2-768-8-8, N(0, 0.05²)', 'FID')} on ImageNet 64×64 with classes`,
    ours: sentence`Clothes at one small cost, FD: TarFlow ${ofClothes(({ models }) => distanceOf(models, 'tarflow'), 1)}, diffusion ${ofClothes(({ models }) => distanceOf(models, bestDiffusion(models) ?? 'v'), 1)}, GAN ${ofClothes(({ models }) => distanceOf(models, 'gan'), 1)}. Our longest training has ${ours('sample-quality', 'FD, labels, guided, denoised', { decimals: 1, error: true })}.`,
    parts: [
      {
        part: 'near diffusion',
        rule: 'At one cost FD at most 1.25 times that of the best of three diffusion models.',
        holds: ({ peers }) => comparableSamples(peers),
      },
      {
        part: 'near GANs',
        rule: 'At one cost FD at most 1.25 times that of the GAN.',
        holds: ({ peers }) => nearGans(peers),
      },
    ],
  },
  {
    id: 'T1',
    title: 'Gaussian noise is decisive',
    claim:
      'Gaussian noise added to the training data is decisive for sample quality; narrow uniform noise leads to numerical trouble and poor samples.',
    measurements: ['noise-kinds'],
    tables: ['noise-kinds'],
    published: sentence`best σ ${published('noise-ablation', 'TarFlow, ablation at 64×64', 'best σ')} on ImageNet 64×64`,
    ours: sentence`FD with uniform noise ${ofTrainings('noise-kinds', noiseRows.uniform, 'FID', 0)}, with Gaussian ${ofTrainings('noise-kinds', noiseRows.gaussian, 'FID', 0)}; emoji that are not finite: ${ours('noise-kinds', 'emoji not finite, uniform', { decimals: 0 })} % and ${ours('noise-kinds', 'emoji not finite, gaussian')} %.`,
    parts: [
      {
        part: 'numerical trouble',
        rule: 'Samples of flows of uniform noise are partly not finite, those of Gaussian noise never.',
        holds: ({ figure }) =>
          figure('noise-kinds', 'emoji not finite, uniform').value > 0 &&
          figure('noise-kinds', 'samples not finite, uniform').value > 0 &&
          figure('noise-kinds', 'emoji not finite, gaussian').value === 0 &&
          figure('noise-kinds', 'samples not finite, gaussian').value === 0,
      },
      {
        part: 'decisive for quality',
        rule: 'In each training FD with uniform noise is more than twice that with Gaussian noise; no where it is lower in one.',
        holds: ({ trainings }) => {
          const gaussian = trainings('noise-kinds', noiseRows.gaussian, 'FID');
          const multiples = trainings('noise-kinds', noiseRows.uniform, 'FID').map(
            (fd, i) => fd / gaussian[i]!,
          );
          if (multiples.length === 0) return undefined;
          const least = Math.min(...multiples);
          return least > 2 || (least < 1 ? false : undefined);
        },
        toSettle: 'the flow of 3 million parameters, 20 epochs, two seeds, about five hours',
      },
    ],
  },
  {
    id: 'T2',
    title: 'one denoising step',
    claim:
      'One training-free denoising step, using the model’s own score, cleans the noisy samples.',
    measurements: ['denoising', 'sample-quality'],
    ours: sentence`It removes ${ours('denoising', 'share of the noise’s power removed', { percent: true, decimals: 0 })} of the noise’s power in test images; FD of samples falls from ${ours('sample-quality', 'FD, labels, as sampled', { decimals: 0, error: true })} to ${ours('sample-quality', 'FD, labels, denoised', { decimals: 0, error: true })}.`,
    parts: [
      {
        rule: 'The step and clipping remove more noise than clipping alone, and FD of samples falls.',
        holds: ({ figure }) =>
          all(
            clearlyBelow(
              figure('denoising', 'share removed by clipping alone'),
              figure('denoising', 'share removed by the step and clipping'),
            ),
            clearlyBelow(
              figure('sample-quality', 'FD, labels, denoised'),
              figure('sample-quality', 'FD, labels, as sampled'),
            ),
          ),
      },
    ],
  },
  {
    id: 'T3',
    title: 'guidance',
    claim:
      'Guidance works for class-conditional and for unconditional models (attention temperature).',
    measurements: ['sample-quality'],
    ours: sentence`Guided, FD falls from ${ours('sample-quality', 'FD, labels, denoised', { decimals: 1, error: true })} to ${ours('sample-quality', 'FD, labels, guided, denoised', { decimals: 1, error: true })} with labels, from ${ours('sample-quality', 'FD, no labels, denoised', { decimals: 0, error: true })} to ${ours('sample-quality', 'FD, no labels, guided, denoised', { decimals: 0, error: true })} without.`,
    parts: [
      {
        part: 'with labels',
        rule: 'Guided samples have a lower FD, and more of them look like their class.',
        holds: ({ figure }) =>
          all(
            clearlyBelow(
              figure('sample-quality', 'FD, labels, guided, denoised'),
              figure('sample-quality', 'FD, labels, denoised'),
            ),
            clearlyBelow(
              figure('sample-quality', 'in class, labels, denoised'),
              figure('sample-quality', 'in class, labels, guided, denoised'),
            ),
          ),
      },
      {
        part: 'without labels',
        rule: 'Samples that are guided by attention temperature have a lower FD.',
        holds: ({ figure }) =>
          clearlyBelow(
            figure('sample-quality', 'FD, no labels, guided, denoised'),
            figure('sample-quality', 'FD, no labels, denoised'),
          ),
      },
    ],
  },
  {
    id: 'P1',
    title: 'anomaly detection',
    claim: 'An exact likelihood serves anomaly detection.',
    measurements: ['anomalies'],
    ours: sentence`AUROC of digits against clothes: ${auroc('bitsPerDimension', 'digits')} by likelihood alone, ${auroc('complexityCorrected', 'digits')} corrected for complexity, ${auroc('likelihoodRatio', 'digits')} as a ratio.`,
    parts: [
      {
        part: 'likelihood',
        rule: 'AUROC less two errors is at least 0.9 for digits, noise, constants and photographs.',
        holds: ({ figure }) => tellsApart(figure, 'bitsPerDimension'),
      },
      {
        part: 'complexity corrected',
        rule: 'The same, by bits less those of a lossless file.',
        holds: ({ figure }) => tellsApart(figure, 'complexityCorrected'),
      },
      {
        part: 'ratio',
        rule: 'The same, by bits less those of a small flow of mutated images.',
        holds: ({ figure }) => tellsApart(figure, 'likelihoodRatio'),
      },
    ],
  },
  {
    id: 'P2',
    title: 'Bayes classification',
    claim: 'A class-conditional flow classifies by Bayes’ rule from p(x|y).',
    measurements: ['bayes-classifier'],
    ours: sentence`${ours('bayes-classifier', "accuracy of the flow by Bayes' rule", { decimals: 1, error: true })} % right; logistic regression ${ours('bayes-classifier', 'accuracy of logistic regression', { decimals: 1, error: true })} %, a small convolutional network ${ours('bayes-classifier', 'accuracy of the small convolutional network', { decimals: 1, error: true })} %.`,
    parts: [
      {
        rule: 'The flow is right more often than logistic regression.',
        holds: ({ figure }) =>
          clearlyBelow(
            figure('bayes-classifier', 'accuracy of logistic regression'),
            figure('bayes-classifier', "accuracy of the flow by Bayes' rule"),
          ),
      },
    ],
  },
  {
    id: 'P3',
    title: 'lossless compression',
    claim: 'An exact likelihood serves lossless compression.',
    measurements: ['lossless-compression'],
    published: sentence`${published('learned-coders', 'iFlow on CIFAR-10', 'bits per dimension')} bits/dim on CIFAR-10 (iFlow), ${published('learned-coders', 'Bit-Swap on Fashion-MNIST, its bound', 'bits per dimension')} on Fashion-MNIST (Bit-Swap)`,
    ours: sentence`Files of ${ours('lossless-compression', 'images', { decimals: 0 })} test images: ${ours('lossless-compression', 'files', { decimals: 3 })} bits per dimension, the density ${ours('lossless-compression', 'density', { decimals: 3 })}; WebP ${ours('lossless-compression', 'WebP, all in one', { decimals: 2 })}, PNG ${ours('lossless-compression', 'PNG, all in one', { decimals: 2 })}, Zstandard ${ours('lossless-compression', 'Zstandard, all in one', { decimals: 2 })}.`,
    parts: [
      {
        part: 'near the density',
        rule: 'Files of all 10,000 test images take at most 1.03 times the density’s bits, and each came back bit for bit.',
        holds: ({ figure }) => {
          const of = (name: FigureName<'lossless-compression'>) =>
            figure('lossless-compression', name).value;
          if (of('files') > 1.03 * of('density')) return false;
          if (of('images that came back') < of('images')) return false;
          return of('images') >= 10_000 || undefined;
        },
        toSettle: 'coding the rest of the images, a second of processor time each',
      },
      {
        part: 'smaller',
        rule: 'Fewer bits than optimised PNG, lossless WebP, AVIF and Zstandard, of each image and of a thousand in one.',
        holds: ({ figure }) =>
          otherCoders.every(
            (coder) =>
              figure('lossless-compression', 'files').value <
              figure('lossless-compression', coder).value,
          ),
      },
    ],
  },
  {
    id: 'P4',
    title: 'editing, inpainting, interpolation',
    claim: 'Images are edited, inpainted and interpolated in latent space.',
    measurements: [],
    files: ['uses/editing.json'],
    ours: sentence`Right halves of clothes drawn by chains: ${computed(gainInDecibels, { decimals: 1 })} dB above pasted samples; ${computed(({ editing }) => 100 * inNewClass(editing?.styles ?? []).value)} % of relabelled images are in their new class.`,
    parts: [
      {
        part: 'fills in',
        rule: 'Drawn pictures are nearer to the image than pasted samples of its class, in pixels and features.',
        holds: ({ editing }) => fillsIn(editing?.inpainting ?? []),
        toSettle: 'twelve emoji by chains, half an hour',
      },
      {
        part: 'varied',
        rule: 'Pictures of one image differ at least half as much as pasted samples.',
        holds: ({ editing }) => varied(editing?.inpainting ?? []),
        toSettle: 'the same emoji',
      },
      {
        part: 'interpolates',
        rule: 'A classifier is surer of middles in noise than of means of pixels.',
        holds: ({ editing }) => isAbove(middlesGain(editing?.middles ?? [])),
        toSettle: 'a thousand pairs, about ten minutes',
      },
      {
        part: 'edits',
        rule: 'More than half of the images that keep their noise are in the class of their new label.',
        holds: ({ editing }) => isAbove(inNewClass(editing?.styles ?? []), 0.5),
      },
    ],
  },
  {
    id: 'X1',
    title: 'against diffusion',
    claim:
      'Comparable samples; exact likelihood and one exactly invertible function, which diffusion lacks.',
    ...atOneCost('tarflow', ...diffusions),
    ours: sentence`Clothes at one cost: FD of the TarFlow ${ofClothes(({ models }) => distanceOf(models, 'tarflow'), 1)}, of the best diffusion model ${ofClothes(({ models }) => distanceOf(models, bestDiffusion(models) ?? 'v'), 1)}.`,
    parts: [
      {
        part: 'comparable samples',
        rule: 'FD at most 1.25 times that of the best of three diffusion models, at one cost.',
        holds: ({ peers }) => comparableSamples(peers),
      },
      {
        part: 'exact inverse',
        rule: 'Images that went to noise and back differ at most a tenth as much as those of that model.',
        holds: ({ peers }) => exactInverse(peers),
      },
    ],
  },
  {
    id: 'X2',
    title: 'against GANs',
    claim: 'Stable training, a likelihood; no mode collapse.',
    ...atOneCost('tarflow', 'gan'),
    ours: sentence`Clothes: FD rose by half in ${unstable('tarflow')} of ${trained('tarflow')} trainings of TarFlow, ${unstable('gan')} of ${trained('gan')} of GAN; FD ${ofClothes(({ models }) => distanceOf(models, 'tarflow'), 1)} and ${ofClothes(({ models }) => distanceOf(models, 'gan'), 1)}.`,
    parts: [
      {
        part: 'stable',
        rule: 'FD never rises by half in three trainings of the TarFlow, and does in one of the GAN.',
        holds: ({ peers }) => stable(peers),
        toSettle: 'more trainings of the GAN, a quarter of an hour each',
      },
      {
        part: 'modes',
        rule: 'Coverage and recall are above the GAN’s by more than two errors.',
        holds: ({ peers }) => keepsModes(peers),
        toSettle: 'more trainings of both, a quarter of an hour each',
      },
    ],
  },
  {
    id: 'X3',
    title: 'against VAEs',
    claim: 'Exact likelihood instead of a bound; sharper samples.',
    ...atOneCost('tarflow', 'density', 'vae'),
    ours: sentence`Clothes at one cost: the VAE’s bound takes ${ofClothes(({ models }) => excessBits(models, 'vae')?.value, 2)} bits per dimension more; sharpness as a share of real images’, ${ofClothes((record) => sharpnessOf(record, 'tarflow'), 2)}, VAE ${ofClothes((record) => sharpnessOf(record, 'vae'), 2)}.`,
    parts: [
      {
        part: 'likelihood',
        rule: 'Fewer bits per dimension than the VAE’s bound, by more than two errors.',
        holds: ({ peers }) => fewerBits(peers, 'vae'),
      },
      {
        part: 'sharper',
        rule: 'The Laplacian of samples is nearer to that of test images than the VAE’s.',
        holds: ({ peers }) => sharper(peers),
      },
    ],
  },
  {
    id: 'X4',
    title: 'against autoregressive pixel models',
    claim: 'Competitive likelihood with PixelCNN, a latent space, faster sampling with GS-Jacobi.',
    ...atOneCost('tarflow', 'density', 'pixelcnn'),
    ours: sentence`Clothes at one cost, bits per dimension: TarFlow ${ofClothes(({ models }) => bitsOf(models, 'density'), 2)}, PixelCNN ${ofClothes(({ models }) => bitsOf(models, 'pixelcnn'), 2)}; the PixelCNN takes ${ofClothes(({ models }) => secondsOf(models, 'pixelcnn', 250) / secondsOf(models, 'tarflow', 250), 0)} times as long for an image among 250.`,
    parts: [
      {
        part: 'competitive',
        rule: 'At most 1.05 times the bits per dimension of a PixelCNN at one cost.',
        holds: ({ peers }) => competitive(peers),
      },
      {
        part: 'faster',
        rule: 'An image takes at most half of the PixelCNN’s time, alone and among 250.',
        holds: ({ peers }) => faster(peers),
      },
    ],
  },
  {
    id: 'X5',
    title: 'against earlier flows',
    claim:
      'Far better likelihood than earlier flows such as MAF, RealNVP and Glow (Table 2); at equal cost is our question.',
    measurements: [],
    tables: ['likelihood-at-one-cost', 'likelihood-at-one-cost-cifar10'],
    ours: sentence`Bits per dimension on Fashion-MNIST at one small cost: TarFlow ${ofTrainings('likelihood-at-one-cost', 'TarFlow', 'bits per dimension', 3)}, affine couplings ${ofTrainings('likelihood-at-one-cost', 'Affine couplings', 'bits per dimension', 3)}, MAF ${ofTrainings('likelihood-at-one-cost', 'MAF', 'bits per dimension', 3)}.`,
    parts: [
      {
        part: 'better than MAF',
        rule: 'On clothes, fewer bits per dimension than MAF (97.5 % interval), by a tenth or more on average.',
        holds: ({ trainings }) => bitsBelow(trainings, ['likelihood-at-one-cost'], 'MAF', 0.1),
      },
      {
        part: 'better than couplings',
        rule: 'On clothes and on photographs, fewer bits per dimension than affine couplings (97.5 % intervals).',
        holds: ({ trainings }) =>
          bitsBelow(
            trainings,
            ['likelihood-at-one-cost', 'likelihood-at-one-cost-cifar10'],
            'Affine couplings',
            0,
          ),
      },
    ],
  },
  {
    id: 'S1',
    title: 'sampling is the bottleneck',
    claim: 'Sampling is the bottleneck, because causal attention is sequential.',
    measurements: [],
    accelerations: ['paper-size'],
    ours: sentence`At published sizes the loop takes ${ofLoops(Math.min, 1)} to ${ofLoops(Math.max, 1)} times as long as a forward pass for one image, ${ofLoops(Math.min, 8)} to ${ofLoops(Math.max, 8)} for eight.`,
    parts: ([1, 8] as const).map((batch) => ({
      part: batch === 1 ? 'for one image' : 'for eight images',
      rule: `For ${batch === 1 ? 'one image' : 'eight images'} the loop takes at least ten times as long as an evaluation, in a block of each of three published sizes.`,
      holds: ({ paperSizes }) => bottleneck(paperSizes, batch),
      toSettle: 'a block of each published size, half an hour',
    })),
  },
  {
    id: 'S2',
    title: 'few Jacobi iterations',
    claim:
      'Inverting a block is a triangular non-linear system that Jacobi iteration solves in at most T steps, usually far fewer; convergence is superlinear.',
    measurements: [],
    accelerations: ['blocks'],
    ours: sentence`Iterations are few in ${computed(({ blocks }) => flowsOfFewIterations(blocks))} of ten flows, not in two of uniform noise; ${computed(({ blocks }) => superlinearBlocks(blocks).so)} of ${computed(({ blocks }) => superlinearBlocks(blocks).all)} blocks converge superlinearly, among them ${computed(({ blocks }) => superlinearBlocks(blocks.filter(({ first }) => first)).so)} inverted first.`,
    parts: [
      {
        part: 'few iterations',
        rule: 'In each flow the block inverted first takes at most half of the steps, the others on average a quarter; in part: in most flows.',
        holds: ({ blocks }) => fewIterations(blocks),
      },
      {
        part: 'superlinear',
        rule: 'In nine of ten blocks of ten iterations or more an iteration gains at least a tenth more digits at the end.',
        holds: ({ blocks }) => superlinear(blocks),
      },
    ],
  },
  {
    id: 'S3',
    title: 'tough blocks, and CRM',
    claim:
      'Blocks differ: a few are tough, most are simple; the Convergence Ranking Metric tells which.',
    measurements: [],
    accelerations: ['blocks'],
    published: sentence`toughest of eight blocks: 0 (${published('crm', 'ImageNet 64×64, unconditional', 'share of CRM', 'block 0')} % of CRM), 0 (${published('crm', 'ImageNet 64×64, conditional', 'share of CRM', 'block 0')} %), 6 (${published('crm', 'ImageNet 128×128, conditional', 'share of CRM', 'block 6')} %), 7 (${published('crm', 'AFHQ 256×256', 'share of CRM', 'block 7')} %)`,
    ours: sentence`The toughest block takes ${computed(({ blocks }) => Math.min(...toughness(blocks)), { decimals: 1 })} to ${computed(({ blocks }) => Math.max(...toughness(blocks)), { decimals: 1 })} times as many iterations as the others; CRM names it in ${computed(({ blocks }) => namedByCrm(blocks).so)} of ten flows.`,
    parts: [
      {
        part: 'blocks differ',
        rule: 'In each flow the toughest block takes at least twice the median of the others.',
        holds: ({ blocks }) => blocksDiffer(blocks),
      },
      {
        part: 'CRM tells which',
        rule: 'CRM names the toughest block of nine in ten flows; no where it does of half or fewer.',
        holds: ({ blocks }) => crmTells(blocks),
        toSettle: 'more trained flows of eight blocks, hours for each',
      },
    ],
  },
  {
    id: 'S4',
    title: 'IGM chooses the start',
    claim:
      'The Initial Guessing Metric tells which start to use, lowers the risk of overflow and speeds convergence up.',
    measurements: [],
    accelerations: ['blocks'],
    ours: sentence`IGM names the quicker start of ${computed(({ blocks }) => namedByIgm(blocks).so)} of ${computed(({ blocks }) => namedByIgm(blocks).all)} blocks; with uniform noise ${computed(({ blocks }) => overflows(blocks).named)} samples overflow from its start, ${computed(({ blocks }) => overflows(blocks).other)} from the other.`,
    parts: [
      {
        part: 'the quicker start',
        rule: 'Of blocks whose starts differ IGM names the quicker one of nine in ten; no where it does of half or fewer.',
        holds: ({ blocks }) => igmIsQuicker(blocks),
        toSettle: 'blocks of more flows',
      },
      {
        part: 'less overflow',
        rule: 'Over three flows of uniform noise together, fewer samples overflow from the start that IGM names.',
        holds: ({ blocks }) => igmOverflowsLess(blocks),
      },
    ],
  },
  {
    id: 'S5',
    title: 'Table 1: faster by GS-Jacobi',
    claim:
      'Gauss–Seidel–Jacobi (segments in sequence, Jacobi inside) is several times as fast as sequential sampling without loss of FID.',
    measurements: [],
    accelerations: ['authors-loop', 'emoji-256-tokens-xla', 'emoji-conditional-xla'],
    published: sentence`${published('gs-jacobi', 'ImageNet 64×64, conditional', 'speed-up', 'GS-Jacobi')}× to ${published('gs-jacobi', 'AFHQ 256×256', 'speed-up', 'GS-Jacobi')}× on GPUs`,
    ours: overLoops('GS-Jacobi', 'GS-Jacobi, published form'),
    parts: [
      {
        part: 'authors’ loop',
        rule: 'In eager PyTorch, at eight images, at least twice as fast as token by token, in each of three flows.',
        holds: ({ authorsLoop }) => overAuthorsLoop(authorsLoop, 'GS-Jacobi'),
        toSettle: 'choosing the settings and timing, about two hours',
      },
      {
        part: 'compiled loop',
        rule: 'For one image faster than the loop that XLA compiles, in each of two flows of 256 tokens.',
        holds: ({ accelerations }) => overCompiledLoop(accelerations, 'GS-Jacobi, published form'),
      },
      {
        part: 'same FD',
        rule: 'FD of 2,000 samples rises by at most two errors of the difference, in each of two flows.',
        holds: ({ authorsLoop }) => sameQuality(authorsLoop, 'GS-Jacobi'),
        toSettle: 'drawing 2,000 samples of two flows, about an hour',
      },
    ],
  },
  {
    id: 'S6',
    title: 'redundancy, and Selective Jacobi Decoding',
    claim:
      'Dependency redundancy is low in the block inverted first and high in the later ones; Selective Jacobi Decoding exploits it and never needs more iterations than sequential sampling has steps.',
    measurements: ['redundancy'],
    accelerations: ['authors-loop', 'emoji-256-tokens-xla', 'emoji-conditional-xla'],
    published: sentence`${published('selective-jacobi', 'CIFAR-10', 'speed-up', 'SeJD')}× and ${published('selective-jacobi', 'CIFAR-100', 'speed-up', 'SeJD')}× (256 tokens), ${published('selective-jacobi', 'AFHQ', 'speed-up', 'SeJD')}× (1,024) on GPUs`,
    ours: overLoops('SeJD', 'SeJD, published rule'),
    parts: [
      {
        part: 'redundancy',
        rule: 'With its nearest token hidden the block inverted first errs over 1.5 times as much as any other, in five probes.',
        holds: ({ figure }) => leansOnNearTokens(figure),
      },
      {
        part: 'few iterations',
        rule: 'Later blocks take at most a quarter of the steps, in each of three flows.',
        holds: ({ authorsLoop }) => laterBlocksTakeFew(authorsLoop),
        toSettle: 'the same measurement as for S5',
      },
      {
        part: 'bounded',
        rule: 'No block takes more evaluations than the loop has steps, in each of three flows.',
        holds: ({ authorsLoop }) => boundedBySteps(authorsLoop),
        toSettle: 'the same measurement as for S5',
      },
      {
        part: 'authors’ loop',
        rule: 'In eager PyTorch, at eight images, at least twice as fast as token by token, in each of three flows.',
        holds: ({ authorsLoop }) => overAuthorsLoop(authorsLoop, 'SeJD'),
        toSettle: 'the same measurement as for S5',
      },
      {
        part: 'compiled loop',
        rule: 'For one image faster than the loop that XLA compiles, in each of two flows of 256 tokens.',
        holds: ({ accelerations }) => overCompiledLoop(accelerations, 'SeJD, published rule'),
      },
      {
        part: 'same FD',
        rule: 'FD of 2,000 samples rises by at most two errors of the difference, in each of two flows.',
        holds: ({ authorsLoop }) => sameQuality(authorsLoop, 'SeJD'),
        toSettle: 'the same measurement as for S5',
      },
    ],
  },
  {
    id: 'L1',
    title: 'latents scale to large images and text',
    claim:
      'A TarFlow in the latent space of a pretrained autoencoder scales to 256² and 512² and to text-to-image.',
    measurements: ['latents-and-pixels', 'text-to-image'],
    tables: ['latents-and-pixels', 'latents-and-pixels-emoji-judge'],
    published: sentence`FID ${published('fid-imagenet-256', 'STARFlow (1.4B), latents', 'FID')} (256²), ${published('fid-imagenet-512', 'STARFlow', 'FID')} (512²), ${published('text-to-image', 'STARFlow (3.8B), CC12M', 'FID')} (COCO)`,
    ours: sentence`FD of emoji of 64×64: latents ${ofTrainings('latents-and-pixels', domainRows.latents, 'FID', 0)}, pixels ${ofTrainings('latents-and-pixels', domainRows.pixels, 'FID', 0)}; from names ${ours('text-to-image', 'names seen in training, guided samples, cooler noise', { decimals: 0 })} % are recognised, of copies ${ours('text-to-image', 'names seen in training, copies of drawings', { decimals: 0 })} %.`,
    parts: [
      {
        part: 'latents beat pixels',
        rule: 'At one cost, the autoencoder not counted, latents have the lower FD in three pairs of trainings, by two networks (95 %).',
        holds: ({ trainings }) =>
          all(
            ...['latents-and-pixels', 'latents-and-pixels-emoji-judge'].map((table): Outcome => {
              const fd = (row: string) => trainings(table, row, 'FID');
              const [pixels, latents] = [fd(domainRows.pixels), fd(domainRows.latents)];
              if (latents.length < 3 || latents.length !== pixels.length) return undefined;
              const [low, high] = pairedDifference(pixels, latents).interval;
              return high < 0 || (low > 0 ? false : undefined);
            }),
          ),
      },
      {
        part: 'scales to 256²',
        rule: 'A flow of latents of 256×256 pixels draws recognisable images.',
        toSettle: 'a training of days on a GPU',
      },
      {
        part: 'text becomes images',
        rule: 'At least 0.6 as many samples as copies of drawings are recognised by their names.',
        holds: ({ figure }) =>
          figure('text-to-image', 'names seen in training, guided samples, cooler noise').value >=
          0.6 * figure('text-to-image', 'names seen in training, copies of drawings').value,
      },
    ],
  },
  {
    id: 'L2',
    title: 'deep and shallow blocks',
    claim:
      'One deep block nearest the noise and a few shallow ones beat an even split at equal cost.',
    measurements: ['deep-and-shallow'],
    tables: ['deep-shallow'],
    ours: sentence`FD of six trainings each: one deep block nearest the noise ${ofTrainings('deep-shallow', splitRows.deep, 'FID', 0)}, an even split ${ofTrainings('deep-shallow', splitRows.even, 'FID', 0)}.`,
    parts: [
      {
        rule: 'Over six pairs of trainings the deep block nearest the noise has the lower FD (97.5 % interval).',
        holds: ({ trainings }) => {
          const fd = (row: string) => trainings('deep-shallow', row, 'FID');
          const [deep, even] = [fd(splitRows.deep), fd(splitRows.even)];
          if (deep.length < 6 || deep.length !== even.length) return undefined;
          const [low, high] = pairedDifference(even, deep, 0.975).interval;
          return high < 0 || (low > 0 ? false : undefined);
        },
      },
    ],
  },
  {
    id: 'L3',
    title: 'guidance in closed form',
    claim: 'Score-based guidance in closed form is stable at large weights.',
    measurements: ['guidance-weights'],
    ours: sentence`FD at w = 10, product and the linear rule, constant and annealed: clothes ${ours('guidance-weights', 'FD, clothes, product, w = 10', { decimals: 0 })}, ${ours('guidance-weights', 'FD, clothes, linear, constant, w = 10', { decimals: 0 })}, ${ours('guidance-weights', 'FD, clothes, linear, annealed, w = 10', { decimals: 0 })}; emoji ${ours('guidance-weights', 'FD, emoji, product, w = 10', { decimals: 0 })}, ${ours('guidance-weights', 'FD, emoji, linear, constant, w = 10', { decimals: 0 })}, ${ours('guidance-weights', 'FD, emoji, linear, annealed, w = 10', { decimals: 0 })}.`,
    parts: [
      {
        part: 'steadier than linear',
        rule: 'At w = 10 the product has a lower FD than each linear rule, or one of these has samples that are not finite, in both models.',
        holds: ({ figure }) =>
          inBothModels((model) => {
            const at = (
              what: 'FD' | 'not finite',
              rule: 'product' | (typeof linearRules)[number],
            ) => figure('guidance-weights', `${what}, ${model}, ${rule}, w = 10`);
            const fails = linearRules.some((rule) => at('not finite', rule).value > 0);
            if (fails && at('not finite', 'product').value === 0) return true;
            return linearRules.every(
              (rule) => clearlyBelow(at('FD', 'product'), at('FD', rule)) === true,
            );
          }),
      },
      {
        part: 'stable',
        rule: 'At w = 2.5, 3 and 4 the FD of the product is at most twice its least over all weights, in both models.',
        holds: ({ figure }) =>
          inBothModels((model) => {
            const at = (weight: (typeof guidanceWeights)[number]) =>
              figure('guidance-weights', `FD, ${model}, product, w = ${weight}`).value;
            const least = Math.min(...guidanceWeights.map(at));
            return ([2.5, 3, 4] as const).every((weight) => at(weight) <= 2 * least);
          }),
      },
    ],
  },
];
