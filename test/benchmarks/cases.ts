import { configName, type FlowConfig, tokenCount, tokenWidth } from '../../src/flow/config.js';

export const workloads = [
  'training step',
  'forward',
  'sampling',
  'guided sampling',
  'denoising step',
] as const;
export type Workload = (typeof workloads)[number];

export type Precision = 'float32' | 'bfloat16';

/** One thing to measure on both sides. */
export interface Case {
  workload: Workload;
  config: FlowConfig;
  batch: number;
  precision: Precision;
  /** How ours runs, where not by its default. */
  mode?: 'xla';
}

const base = { classes: 10, headWidth: 64, volumePreserving: false };

function square(channels: number, side: number): FlowConfig['image'] {
  return { channels, height: side, width: side };
}

/**
 * The configurations, each with the batch of its training. In the last, where a call of an op takes
 * longer than its arithmetic, XLA compiles ours.
 */
export const configurations: readonly Pick<Case, 'config' | 'batch' | 'mode'>[] = [
  {
    config: {
      ...base,
      image: square(1, 28),
      patchSize: 4,
      channels: 128,
      blocks: 4,
      layersPerBlock: 4,
    },
    batch: 256,
  },
  {
    config: {
      ...base,
      image: square(3, 32),
      patchSize: 4,
      channels: 256,
      blocks: 4,
      layersPerBlock: 4,
    },
    batch: 32,
  },
  {
    config: {
      ...base,
      image: square(3, 32),
      patchSize: 2,
      channels: 256,
      blocks: 6,
      layersPerBlock: 6,
    },
    batch: 8,
  },
  {
    config: {
      ...base,
      image: square(3, 16),
      patchSize: 4,
      channels: 64,
      blocks: 2,
      layersPerBlock: 1,
    },
    batch: 8,
    mode: 'xla',
  },
];

const samplingBatches = [1, 8, 256];

/**
 * The rows of the benchmark. The likelihood needs float32, and so the density model trains in it;
 * training and a pass forward for samples also run with bfloat16 matrix products.
 */
export function allCases(): Case[] {
  return configurations.flatMap((configuration) => {
    const both: Precision[] = ['float32', 'bfloat16'];
    const one = { ...configuration, precision: 'float32' } as const;
    return [
      ...both.map((precision) => ({ ...one, workload: 'training step', precision }) as const),
      // As the likelihood of a data set is computed: from many batches on by XLA.
      { ...one, workload: 'forward', mode: 'xla' } as const,
      { ...one, workload: 'forward', precision: 'bfloat16' } as const,
      { ...one, workload: 'denoising step' } as const,
      ...(['sampling', 'guided sampling'] as const).flatMap((workload) =>
        samplingBatches.map((batch) => ({ ...one, workload, batch }) as const),
      ),
    ];
  });
}

/** What grows in a series of training steps: the figure on the x axis and the case. */
export interface GrowthCase {
  series: 'tokens' | 'batch' | 'blocks';
  size: number;
  case: Case;
}

/**
 * A training step of a 4-128-2-2 with 64 tokens, batch 8, and one of the three made larger.
 *
 * @param count how many sizes of each series, from the smallest; default all
 */
export function growthCases(count?: number): GrowthCase[] {
  const config: FlowConfig = {
    ...base,
    image: square(3, 32),
    patchSize: 4,
    channels: 128,
    blocks: 2,
    layersPerBlock: 2,
  };
  const step = (changed: Partial<FlowConfig>, batch = 8): Case => ({
    workload: 'training step',
    config: { ...config, ...changed },
    batch,
    precision: 'float32',
  });
  return [
    ...[32, 48, 64, 96, 128].slice(0, count).map((side) => ({
      series: 'tokens' as const,
      size: (side / 4) ** 2,
      case: step({ image: square(3, side) }),
    })),
    ...[8, 16, 32, 64, 128].slice(0, count).map((batch) => ({
      series: 'batch' as const,
      size: batch,
      case: step({}, batch),
    })),
    ...[2, 4, 8, 16].slice(0, count).map((blocks) => ({
      series: 'blocks' as const,
      size: blocks,
      case: step({ blocks }),
    })),
  ];
}

/** A configuration as a row names it, e.g. `4-128-4-4 on 28×28×1`. */
export function configurationName(config: FlowConfig): string {
  const { channels, height, width } = config.image;
  return `${configName(config)} on ${height}×${width}×${channels}`;
}

/** The name of a case, which `--only` searches. */
export function caseName({ workload, config, batch, precision }: Case): string {
  return `${workload}, ${configurationName(config)}, batch ${batch}, ${precision}`;
}

/**
 * Floating-point operations of one run, as matrix products alone have them: two for each multiply
 * and add, attention counted in full in parallel passes and by half token by token.
 */
export function flops({ workload, config, batch }: Case): number {
  const { channels, blocks, layersPerBlock: layers } = config;
  const [tokens, width] = [tokenCount(config), tokenWidth(config)];
  const linear = 2 * blocks * tokens * (3 * width * channels + 12 * layers * channels ** 2);
  const attention = 2 * blocks * tokens * 2 * layers * tokens * channels;
  switch (workload) {
    case 'training step':
      return 3 * batch * (linear + attention);
    case 'forward':
      return batch * (linear + attention);
    case 'denoising step':
      // No gradient of weights; attention has products with both of its arguments.
      return batch * (2 * linear + 3 * attention);
    case 'sampling':
      return batch * (linear + attention / 2);
    case 'guided sampling':
      return 2 * batch * (linear + attention / 2);
  }
}
