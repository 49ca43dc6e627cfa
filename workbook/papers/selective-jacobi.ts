import type { Paper, PaperScale, PublishedFigure, Row, Source } from './paper-table.js';
import { afhq256 } from './tarflow.js';

const work = 'arXiv 2505.24791';
const read = (place: string): Source => ({ work, place, known: 'read' });

type Decoded = [
  method: string,
  seconds: number,
  speedup: number,
  fid: number,
  clip: number,
  brisque: number,
];

interface Model {
  name: string;
  tokens: string;
  scale: PaperScale;
  workbook: string;
  /** Published weights, where there are any. */
  weights?: string;
  decoded: readonly Decoded[];
  /** Mean iterations at τ = 0.5, by block in the order of sampling. */
  iterations: readonly number[];
  /** Seconds of the first block, the second, the others, and the rest: sequential, by SeJD. */
  split: readonly [sequential: number, selective: number][];
}

/** 32×32, patch 2, 6 × 6 layers of width 256; how they were trained is not known. */
const cifar = (data: string): PaperScale => ({
  data,
  ...(data === 'CIFAR-10' && { dataset: 'cifar10' }),
  side: 32,
  patchSize: 2,
  channels: 256,
  blocks: 6,
  layersPerBlock: 6,
});

const models: readonly Model[] = [
  {
    name: 'CIFAR-10',
    tokens: '256 tokens',
    scale: cifar('CIFAR-10'),
    workbook: 'emoji-256-tokens',
    decoded: [
      ['sequential', 9.56, 1, 9.71, 0.35, 56.35],
      ['Jacobi in all blocks', 3.92, 2.4, 10.19, 0.35, 56.79],
      ['SeJD', 2.63, 3.6, 10.2, 0.35, 56.78],
    ],
    iterations: [255, 53.9, 4.9, 4, 3, 6.1],
    split: [
      [1.45, 1.5],
      [1.45, 0.69],
      [5.82, 0.23],
      [1.08, 0.27],
    ],
  },
  {
    name: 'CIFAR-100',
    tokens: '256 tokens',
    scale: cifar('CIFAR-100'),
    workbook: 'emoji-256-tokens',
    decoded: [
      ['sequential', 9.57, 1, 8.22, 0.35, 57.75],
      ['Jacobi in all blocks', 3.3, 2.9, 8.26, 0.35, 57.76],
      ['SeJD', 2.04, 4.7, 8.19, 0.35, 57.78],
    ],
    iterations: [255, 7.5, 4.7, 4, 4, 5.2],
    split: [
      [1.51, 1.55],
      [1.5, 0.1],
      [6, 0.23],
      [0.15, 0.15],
    ],
  },
  {
    name: 'AFHQ',
    tokens: '1,024 tokens',
    scale: afhq256,
    workbook: 'emoji-1024-tokens',
    weights: 'afhq_model_8_768_8_8_0.07.pth',
    decoded: [
      ['sequential', 186.28, 1, 15.42, 0.63, 15.55],
      ['Jacobi in all blocks', 219.24, 0.8, 15.44, 0.63, 15.44],
      ['SeJD', 41.21, 4.5, 15.44, 0.63, 15.56],
    ],
    iterations: [1023, 6.6, 6, 5.2, 5, 5.9, 4.5, 4],
    split: [
      [21.6, 21.46],
      [20.85, 2.56],
      [125.1, 11.85],
      [5.35, 5.38],
    ],
  },
];

function results({ decoded }: Model): PublishedFigure[] {
  const source = read('table of results');
  return decoded.flatMap(([of, ...values]) =>
    (['time of a batch', 'speed-up', 'FID', 'CLIP-IQA', 'BRISQUE'] as const).map((measure, i) => {
      return { measure, of, value: values[i] ?? Number.NaN, source };
    }),
  );
}

/** Before them their mean over the blocks after the first, which this paper's tables do not print. */
function iterationsByBlock({ iterations }: Model): PublishedFigure[] {
  const measure = 'iterations of a block';
  const later = iterations.slice(1);
  const mean = later.reduce((sum, count) => sum + count, 0) / later.length;
  const source = read('iterations by block');
  return [
    {
      measure,
      of: 'mean of the blocks after the first',
      value: Number(mean.toFixed(2)),
      source: read('iterations by block, their mean'),
    },
    ...iterations.map((value, i) => {
      return { measure, of: `block ${i + 1} in the order of sampling`, value, source } as const;
    }),
  ];
}

function timeByPart({ split }: Model): PublishedFigure[] {
  const source = read('time by part');
  const parts = ['first block', 'second block', 'other blocks', 'outside the blocks'];
  return split.flatMap(([sequential, selective], i) => [
    { measure: 'time of a batch', of: `${parts[i]}, sequential`, value: sequential, source },
    { measure: 'time of a batch', of: `${parts[i]}, SeJD`, value: selective, source },
  ]);
}

/** Rows of a table, each with some figures of its model. */
function rowsOf(figures: (model: Model) => PublishedFigure[], on = ''): Row[] {
  return models.map((model) => ({
    name: model.name,
    setting: `${model.tokens}${on}`,
    published: figures(model),
    paper: model.scale,
    workbook: model.workbook,
    ...(model.weights !== undefined && { weights: model.weights }),
  }));
}

/** All blocks but the first inverted by Jacobi iteration. */
export const selectiveJacobi: Paper = {
  id: 'selective-jacobi',
  title:
    'Accelerating Inference of Discrete Autoregressive Normalizing Flows by Selective Jacobi Decoding',
  work,
  tables: [
    {
      id: 'selective-jacobi',
      title: 'Time of a batch of 256 on two L40S GPUs, and quality',
      rows: rowsOf(results, ', GPU'),
    },
    {
      id: 'selective-jacobi-iterations',
      title: 'Iterations of each block at a threshold of 0.5',
      rows: rowsOf(iterationsByBlock),
    },
    {
      id: 'selective-jacobi-time',
      title: 'Where the time of a batch goes',
      rows: rowsOf(timeByPart, ', GPU'),
    },
  ],
};
