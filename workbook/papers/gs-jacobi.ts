import { ours, type Paper, sentence } from './paper-claim.js';
import {
  type MeasureName,
  type PaperScale,
  type PublishedFigure,
  published,
  type Source,
} from './paper-table.js';
import { afhq256, paperScales } from './tarflow.js';

const work = 'arXiv 2505.12849';
const source: Source = { work, place: 'README of its code', known: 'read' };

interface Model {
  name: string;
  tokens: string;
  scale: PaperScale;
  workbook: string;
  /** The name of its strategy among the published ones, and of its weights. */
  strategy: string;
  weights: string;
  /** Sequential, by GS-Jacobi. */
  time: [number, number];
  speedup: number;
  fid: [number, number];
  /** Shares of CRM in per cent, block 0 (nearest the data) first. */
  shares: number[];
}

/** Retrained by the authors of GS-Jacobi, but for the scale as TarFlow's. */
const models: readonly Model[] = [
  {
    name: 'ImageNet 128×128, conditional',
    tokens: '1,024 tokens',
    scale: paperScales.conditional128,
    workbook: 'emoji-1024-tokens',
    strategy: 'Img128cond',
    weights: 'imagenet_model_4_1024_8_8_0.15.pth',
    time: [133.19, 29.41],
    speedup: 4.53,
    fid: [5.06, 5.09],
    shares: [5.22, 5.63, 2.47, 10.93, 7.74, 7.35, 56.57, 4.05],
  },
  {
    name: 'AFHQ 256×256',
    tokens: '1,024 tokens',
    scale: afhq256,
    workbook: 'emoji-1024-tokens',
    strategy: 'AFHQ',
    weights: 'afhq_model_8_768_8_8_0.07.pth',
    time: [109.24, 20.54],
    speedup: 5.32,
    fid: [13.6, 13.73],
    shares: [6.33, 6.28, 8.16, 7.94, 9.01, 10.27, 9.36, 42.6],
  },
  {
    name: 'ImageNet 64×64, unconditional',
    tokens: '1,024 tokens',
    scale: paperScales.unconditional64,
    workbook: 'emoji-1024-tokens',
    strategy: 'Img64uncond',
    weights: 'imagenet64_model_2_768_8_8_0.05.pth',
    time: [109.05, 36.84],
    speedup: 2.96,
    fid: [14.67, 14.8],
    shares: [50.71, 2.42, 2.29, 3.38, 1.77, 1.33, 33.62, 4.44],
  },
  {
    name: 'ImageNet 64×64, conditional',
    tokens: '256 tokens',
    scale: {
      data: 'ImageNet 64×64, 1,000 classes',
      dataset: 'imagenet',
      classes: 1000,
      side: 64,
      patchSize: 4,
      channels: 1024,
      blocks: 8,
      layersPerBlock: 8,
      noise: 0.05,
      epochs: 300,
      sampling: { guidance: 2, denoising: 1 },
    },
    workbook: 'emoji-256-tokens',
    strategy: 'Img64cond',
    weights: 'imagenet_model_4_1024_8_8_0.05.pth',
    time: [12.16, 4.97],
    speedup: 2.51,
    fid: [4.42, 4.42],
    shares: [74.58, 4.88, 0.72, 0.96, 4.05, 2.68, 1.62, 10.46],
  },
];

function accelerated({ time, speedup, fid }: Model): PublishedFigure[] {
  const both = (measure: MeasureName, [sequential, ours]: [number, number]) => [
    { measure, of: 'sequential', value: sequential, source },
    { measure, of: 'GS-Jacobi', value: ours, source },
  ];
  const gain: PublishedFigure = { measure: 'speed-up', of: 'GS-Jacobi', value: speedup, source };
  return [...both('time', time), gain, ...both('FID', fid)];
}

/** Blocks inverted by Gauss–Seidel–Jacobi iteration, with metrics that tell how. */
export const gsJacobi: Paper = {
  id: 'gs-jacobi',
  title: 'Accelerate TarFlow Sampling with GS-Jacobi Iteration',
  work,
  tables: [
    {
      id: 'gs-jacobi',
      title: 'Table 1: time of 50,000 samples on eight A800 GPUs, and their FID',
      rows: models.map((model) => ({
        name: model.name,
        setting: `${model.tokens}, GPU`,
        published: accelerated(model),
        paper: model.scale,
        workbook: model.workbook,
        strategy: model.strategy,
        weights: model.weights,
      })),
    },
    {
      id: 'crm',
      title: 'Shares of the Convergence Ranking Metric by block, block 0 nearest the data',
      rows: models.map(({ name, tokens, scale, workbook, weights, shares }) => ({
        name,
        setting: `${tokens}, eight blocks`,
        published: shares.map((value, block) => ({
          measure: 'share of CRM' as const,
          of: `block ${block}`,
          value,
          source,
        })),
        paper: scale,
        workbook,
        weights,
      })),
    },
  ],
  claims: [
    {
      id: 'S1',
      title: 'sampling is the bottleneck',
      claim: 'Sampling is the bottleneck, because causal attention is sequential.',
      measurements: ['02-parallel-and-sequential', '06-bottleneck'],
      ours: sentence`sampling takes ${ours('06-bottleneck', 'sampling time / forward time, 49 tokens', { decimals: 1 })}, ${ours('06-bottleneck', 'sampling time / forward time, 256 tokens', { decimals: 1 })} and ${ours('06-bottleneck', 'sampling time / forward time, 1024 tokens', { decimals: 1 })} times a forward pass with 49, 256 and 1,024 tokens (three models; batches of 4, 4 and 2)`,
      verdict: 'cannot be told at this size',
      reason: sentence`On a processor with a compiled loop, sampling takes ${ours('06-bottleneck', 'sampling time / forward time, 49 tokens', { decimals: 1 })}, ${ours('06-bottleneck', 'sampling time / forward time, 256 tokens', { decimals: 1 })} and ${ours('06-bottleneck', 'sampling time / forward time, 1024 tokens', { decimals: 1 })} times as long as a forward pass; we call it the bottleneck from ten times on. The three models differ in more than their tokens, so no trend can be read from these ratios. On a GPU, which a forward pass fills and a single token does not, this was not measured.`,
    },
    {
      id: 'S2',
      title: 'few Jacobi iterations',
      claim:
        'Inverting a block is a triangular non-linear system that Jacobi iteration solves in at most T steps, usually far fewer; convergence is superlinear.',
      measurements: ['06-jacobi', '07-selective-jacobi'],
      ours: sentence`iterations, to a change of 5·10⁻⁴, of the block inverted first ${ours('06-jacobi', 'iterations, block inverted first, 49 tokens')} of 48, ${ours('06-jacobi', 'iterations, block inverted first, 256 tokens')} of 255 and ${ours('06-jacobi', 'iterations, block inverted first, 1,024 tokens')} of 1,023 (the slowest of two to four samples, one seed), of the others on average ${ours('06-jacobi', 'iterations, other blocks, mean, 49 tokens', { decimals: 0 })}, ${ours('06-jacobi', 'iterations, other blocks, mean, 256 tokens', { decimals: 0 })} and ${ours('06-jacobi', 'iterations, other blocks, mean, 1,024 tokens', { decimals: 0 })}`,
      verdict: 'holds',
      scope: 'superlinear in part',
      reason: sentence`All blocks of three models need fewer iterations than steps, the block inverted first far fewer with 256 and 1,024 tokens, the others far fewer in all. With 49 tokens it depends on how many samples there are, since the slowest counts: of a hundred, the slowest needs ${ours('07-selective-jacobi', 'most iterations of a block that iterates, share of the sequential steps, inverted first', { decimals: 0 })} % of the steps in the block inverted first. Of 20 curves ${ours('06-jacobi', 'blocks that converge faster at the end')} become steeper at the end by our limit of a tenth, so superlinear convergence shows in part.`,
    },
    {
      id: 'S3',
      title: 'tough blocks, and CRM',
      claim:
        'Blocks differ: a few are tough, most are simple; the Convergence Ranking Metric tells which.',
      measurements: ['06-tough-blocks'],
      published: sentence`toughest of eight blocks (nearest the data) ${published('crm', 'ImageNet 64×64, unconditional', 'share of CRM', 'block 0')} % of CRM, 1,024 tokens; ${published('crm', 'ImageNet 64×64, conditional', 'share of CRM', 'block 0')} %, 256 tokens`,
      ours: sentence`the block nearest the noise, of eight ${ours('06-tough-blocks', 'its share of CRM, 49 tokens', { decimals: 0 })} % of CRM and ${ours('06-tough-blocks', "toughest block's share of the iterations, 49 tokens", { decimals: 0 })} % of the iterations, 49 tokens; of eight ${ours('06-tough-blocks', 'its share of CRM, 1,024 tokens', { decimals: 0 })} % of CRM and ${ours('06-tough-blocks', "toughest block's share of the iterations, 1,024 tokens", { decimals: 0 })} % of the iterations, 1,024 tokens; of four ${ours('06-tough-blocks', 'its share of CRM, 256 tokens', { decimals: 0 })} % and ${ours('06-tough-blocks', "toughest block's share of the iterations, 256 tokens", { decimals: 0 })} %, 256 tokens`,
      verdict: 'does not hold here',
      scope: 'as far as CRM is concerned; blocks do differ',
      brief: 'does not hold here for CRM; blocks differ',
      reason: sentence`CRM names the toughest block in ${ours('06-tough-blocks', 'models of 3 whose toughest block CRM names')} of 3 models. In all three the toughest block is the one inverted first. In the flow of 49 tokens, the only one that was trained for long, the block nearest the data has the largest share of CRM, as in two of the published models. CRM orders ${ours('06-tough-blocks', 'pairs of blocks that CRM orders rightly', { decimals: 0 })} % of the pairs of blocks rightly; of pairs without the toughest block ${ours('06-tough-blocks', 'of these, ordered rightly')} of ${ours('06-tough-blocks', 'pairs without the toughest block')}, where guessing would order half (dependent pairs of three models, no test).`,
    },
    {
      id: 'S4',
      title: 'IGM chooses the start',
      claim:
        'The Initial Guessing Metric tells which start to use, lowers the risk of overflow and speeds convergence up.',
      measurements: ['06-initial-guess'],
      ours: sentence`iterations of all blocks as IGM says ${ours('06-initial-guess', 'iterations of all blocks, started as IGM says')}, always from the latent ${ours('06-initial-guess', 'always from the latent')}, from zeros ${ours('06-initial-guess', 'always from zeros')}`,
      verdict: 'cannot be told at this size',
      reason: sentence`IGM says the latent for every block, so to follow it is to start there always. That is the quicker start in ${ours('06-initial-guess', 'of these, IGM names the quicker start')} of the ${ours('06-initial-guess', 'blocks whose starts differ in iterations')} blocks whose starts differ, mostly by a single iteration of the slowest of two to four samples; the block that differs most is quicker from zeros. Nothing overflows.`,
    },
    {
      id: 'S5',
      title: 'Table 1: faster by GS-Jacobi',
      claim:
        'Gauss–Seidel–Jacobi (segments in sequence, Jacobi inside) is several times as fast as sequential sampling without loss of FID.',
      measurements: ['06-gauss-seidel-jacobi', '08-acceleration', '15-speed'],
      published: sentence`${published('gs-jacobi', 'ImageNet 64×64, conditional', 'speed-up', 'GS-Jacobi')}× to ${published('gs-jacobi', 'AFHQ 256×256', 'speed-up', 'GS-Jacobi')}× on GPUs`,
      ours: sentence`one image, not the same samples, against a loop compiled by XLA: ${ours('15-speed', 'times as fast, GS-Jacobi, published form, batch 1', { decimals: 2 })}× (256 tokens, 13 million parameters), ${ours('08-acceleration', 'GS-Jacobi, published form, times as fast as sequential, 256 tokens, batch 1, xla', { decimals: 2 })}× (256 tokens, a small flow), ${ours('08-acceleration', 'GS-Jacobi, published form, times as fast as sequential, 1,024 tokens, batch 1, xla', { decimals: 2 })}× (1,024); op by op ${ours('08-acceleration', 'GS-Jacobi, published form, times as fast as sequential, 256 tokens, batch 1, eager', { decimals: 1 })}× and ${ours('08-acceleration', 'GS-Jacobi, published form, times as fast as sequential, 1,024 tokens, batch 1, eager', { decimals: 1 })}×`,
      verdict: 'does not hold here',
      reason: sentence`Against the compiled loop, the fair baseline on a processor, neither the published form nor ours with segments is faster, and a planner that chose among the solvers left all blocks sequential, those of the flow of 13 million parameters too: a plan nearly twice as fast was the aim there. With each block solved in the quicker way, as a whole and to a change of 5·10⁻⁴, it would be ${ours('15-speed', 'each block in the quicker way, times as fast', { decimals: 2, error: true })} times as fast (evaluations timed for ten images on an Intel processor with AMX); for that aim the loop of a block would have to take as long as ${ours('15-speed', 'n* that a gain of 1.8 takes', { decimals: 0 })} evaluations. Over loops that are themselves slow there are speed-ups. Quality of the published form, on one flow of clothes trained for long (guided, 1,000 samples of one seed): FD ${ours('08-acceleration', 'FD (Fashion-MNIST classifier features), GS-Jacobi, published form', { decimals: 0 })} where sequential sampling has ${ours('08-acceleration', 'FD (Fashion-MNIST classifier features), sequential', { decimals: 0 })}, since its iterates are clamped to ±3 and this flow has values beyond; without the clamp ${ours('08-acceleration', 'FD (Fashion-MNIST classifier features), GS-Jacobi, published form, no clamp', { decimals: 0 })}.`,
    },
  ],
};
