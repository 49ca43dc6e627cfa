import { ours, type Paper, sentence } from './paper-claim.js';
import {
  type PaperScale,
  type PublishedFigure,
  published,
  type Row,
  type Source,
} from './paper-table.js';
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
  claims: [
    {
      id: 'S6',
      title: 'redundancy, and Selective Jacobi Decoding',
      claim:
        'Dependency redundancy is low in the block inverted first and high in the later ones; Selective Jacobi Decoding exploits it and never needs more iterations than sequential sampling has steps.',
      measurements: ['07-redundancy', '07-selective-jacobi', '08-acceleration', '15-speed'],
      published: sentence`${published('selective-jacobi', 'CIFAR-10', 'speed-up', 'SeJD')}× (256 tokens) and ${published('selective-jacobi', 'AFHQ', 'speed-up', 'SeJD')}× (1,024) on GPUs`,
      ours: sentence`later blocks take at most ${ours('07-selective-jacobi', 'the same, inverted later', { decimals: 0 })} % of the steps (we call up to a quarter few). Speed against the compiled loop by the published stopping rule: 256 tokens ${ours('07-selective-jacobi', 'speed-up, published rule, 256 tokens', { decimals: 1 })}× (guided, one image ${ours('08-acceleration', 'SeJD, published rule, times as fast as sequential, 256 tokens, batch 1, xla', { decimals: 1 })}×), 13 million parameters and 256 tokens, guided, ${ours('15-speed', 'times as fast, SeJD, published rule, batch 1', { decimals: 1 })}× for one image and ${ours('15-speed', 'times as fast, SeJD, published rule, batch 8', { decimals: 1 })}× for eight, 1,024 tokens ${ours('07-selective-jacobi', 'speed-up, published rule, 1,024 tokens', { decimals: 1 })}× (${ours('08-acceleration', 'SeJD, published rule, times as fast as sequential, 1,024 tokens, batch 1, xla', { decimals: 1 })}×). With 1,024 tokens that rule gives other images: two samples differ from the sequential ones by ${ours('07-selective-jacobi', 'rms difference by the published rule, of that between two seeds, 1,024 tokens', { decimals: 0 })} % of what another seed changes; with 256 tokens by ${ours('07-selective-jacobi', 'rms difference by the published rule, of that between two seeds, 256 tokens', { decimals: 0 })} %`,
      verdict: 'holds',
      scope: 'in iterations, not in time at the same samples; the redundancy in part',
      brief: 'holds in iterations, not in time',
      reason: sentence`Later blocks need few iterations, and none more than sequential sampling has steps. With 49 tokens that verdict hangs on one or two iterations of the slowest of a hundred samples, so near is it to our limit of a quarter. In 3 of 5 probes of hidden tokens the first block suffers more than one and a half times as much as the worst of the others; but read as zeros, a hidden token harms the others, too, and read as the latent, which is pure noise in the first block alone, the probe is not the same for all blocks (one seed; 100, 8 and 2 samples). In time it depends on the processor. Without guidance (batches of 8 and 2) the published rule is about as fast as the compiled loop with 256 tokens on an Intel processor with AMX, and faster with 1,024, where it gives other images; on an AMD one it was slower and about as fast. Guided (batches of 1 to 32, measured apart, on AMD processors) it is mostly slower. In the flow of 13 million parameters, also measured on an AMD processor, it is faster for one image, whose pixels it changes by up to ${ours('15-speed', 'largest error, SeJD, published rule, batch 1', { decimals: 2 })} of the range (64 images; FD was not measured), and not for eight. Within a thousandth of the range no row of these tables is faster than the compiled loop. Of all settings of our own iterations that were tried, the fastest within that was ${ours('15-speed', 'fastest setting that keeps the aim, times as fast', { decimals: 2, error: true })} times as fast as the loop (on an Intel processor with AMX; ten images; the ± does not count that it is the best of them).`,
    },
  ],
};
