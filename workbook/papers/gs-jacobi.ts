import type { MeasureName, Paper, PaperScale, PublishedFigure, Source } from './paper-table.js';
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
};
