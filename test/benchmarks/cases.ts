import type { Family } from '../../src/flow/model.js';
import { tokenCount, tokenWidth } from '../../src/flow/patches.js';
import { configName, type TarFlowConfig, tarflow } from '../../src/models/index.js';
import { type StarFlowConfig, starflowTitle } from '../../src/models/starflow/config.js';
import { fastestMode } from '../../src/training/program.js';

export const workloads = [
  'training step',
  'forward',
  'sampling',
  'guided sampling',
  'denoising step',
] as const;
export type Workload = (typeof workloads)[number];

export type Precision = 'float32' | 'bfloat16';

/** A flow that is measured. */
export type FlowConfig = TarFlowConfig | StarFlowConfig;

/** One thing to measure on every side. */
export interface Case {
  workload: Workload;
  config: FlowConfig;
  batch: number;
  precision: Precision;
  /** How ours runs, where not by its default. */
  mode?: 'xla';
  /** True where the row is no part of the comparison's means and chart. */
  baseline?: true;
}

/** Of a training step, on every side. */
export const learningRate = 1e-5;

const base = { kind: 'tarflow', classes: 10, headWidth: 64, volumePreserving: false } as const;

function square(channels: number, side: number): TarFlowConfig['image'] {
  return { channels, height: side, width: side };
}

/**
 * The configurations, each with the batch of its training. In the last, where a call of an op takes
 * longer than its arithmetic, XLA compiles ours.
 */
export const configurations: readonly (Pick<Case, 'batch' | 'mode'> & {
  config: TarFlowConfig;
})[] = [
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
 * STARFlows as large as the first two TarFlows, which are measured by the same workloads: their layers
 * are shared out as the paper does, two in each block but the last.
 */
export const starflows: readonly { config: StarFlowConfig; batch: number }[] = configurations
  .slice(0, 2)
  .map(({ config: { image, patchSize, channels, headWidth, classes }, batch }) => ({
    config: {
      ...{ kind: 'starflow', image, patchSize, channels, headWidth, classes, nullClass: true },
      layersPerBlock: [2, 2, 2, 10],
      ...{ startToken: true, norm: 'layer', finalNorm: true, softClip: 4, scale: 'softplus' },
      ...{ firstDirection: 'reverse', gridSide: image.width / patchSize },
    },
    batch,
  }));

/**
 * The models that report 4 accelerates, as results/checkpoints/ has them. How long sequential
 * sampling takes, in each mode and in PyTorch, is the baseline of its figures.
 */
export const baselineConfigurations: Record<string, TarFlowConfig> = {
  'emoji-256-tokens': {
    ...base,
    image: square(3, 32),
    patchSize: 2,
    channels: 128,
    blocks: 4,
    layersPerBlock: 2,
    headWidth: 32,
  },
  'emoji-1024-tokens': {
    ...base,
    image: square(3, 64),
    patchSize: 2,
    channels: 64,
    blocks: 8,
    layersPerBlock: 1,
    headWidth: 32,
  },
};

/**
 * The rows of the benchmark, on all configurations in float32 and with bfloat16 matrix products. Of
 * the two the density model trains in float32, which its likelihood needs. Rows of baselines follow.
 *
 * @param gpu true where both sides compute on a GPU: nothing that chooses a mode by itself chooses
 *   XLA there, and so all rows are of the default
 */
export function allCases(gpu = false): Case[] {
  const baselines = Object.values(baselineConfigurations).flatMap((config): Case[] =>
    [1, 8].map((batch) => ({
      workload: 'guided sampling',
      config,
      batch,
      precision: 'float32',
      baseline: true,
    })),
  );
  return [...comparedCases(), ...baselines].map((one) => (gpu ? byDefault(one) : one));
}

function byDefault({ mode: _, ...one }: Case): Case {
  return one;
}

function comparedCases(): Case[] {
  return [...tarflowCases(), ...starflowCases()];
}

/** Without guidance, whose rule is another, and without denoising, which the decoder does. */
function starflowCases(): Case[] {
  return starflows.flatMap((starflow) =>
    (['float32', 'bfloat16'] as const).flatMap((precision): Case[] => [
      { ...starflow, precision, workload: 'training step' },
      { ...starflow, precision, workload: 'forward', ...(precision === 'float32' && xlaMode) },
      ...[1, 8].map((batch): Case => ({ ...starflow, precision, workload: 'sampling', batch })),
    ]),
  );
}

const xlaMode = { mode: 'xla' } as const;

function tarflowCases(): Case[] {
  return configurations.flatMap((configuration) =>
    (['float32', 'bfloat16'] as const).flatMap((precision) => {
      const one = { ...configuration, precision };
      // With 256 tokens each such row takes minutes, and so it is there once.
      const few = precision === 'bfloat16' && tokenCount(one.config) > 64;
      const batches = samplingBatches.filter((batch) => !few || batch <= 8);
      return [
        { ...one, workload: 'training step', ...inFastestMode(one) } as const,
        // In float32 as the likelihood of a data set is computed: from many batches on by XLA.
        { ...one, workload: 'forward', ...(precision === 'float32' && xlaMode) } as const,
        { ...one, workload: 'denoising step' } as const,
        ...(['sampling', 'guided sampling'] as const).flatMap((workload) =>
          batches.map((batch) => ({ ...one, workload, batch })),
        ),
      ];
    }),
  );
}

/** The mode of a training step in a run of `train` on a processor, long enough for a compiler. */
function inFastestMode({ config, batch, precision }: Pick<Case, 'config' | 'batch' | 'precision'>) {
  const family = tarflow as Family;
  return fastestMode({ family, config }, { batchSize: batch, precision }) === 'xla' ? xlaMode : {};
}

/** A series of training steps, and its figure on the x axis. */
export interface Growth {
  series: 'tokens' | 'batch' | 'blocks';
  size: number;
}

/** A case, and where it stands in one series or several. */
export interface GrowthCase {
  growth: Growth[];
  case: Case;
}

/**
 * A training step of a 4-128-2-2 with 64 tokens, batch 8, which begins every series, and with one of
 * the three made larger.
 *
 * @param count how many sizes of each series beside the first, from the smallest; default all
 * @param gpu as in {@link allCases}
 */
export function growthCases(count?: number, gpu = false): GrowthCase[] {
  const config: TarFlowConfig = {
    ...base,
    image: square(3, 32),
    patchSize: 4,
    channels: 128,
    blocks: 2,
    layersPerBlock: 2,
  };
  const step = (changed: Partial<TarFlowConfig>, batch = 8): Case => {
    const one = { config: { ...config, ...changed }, batch, precision: 'float32' } as const;
    return { ...one, workload: 'training step', ...(!gpu && inFastestMode(one)) };
  };
  const larger = (
    series: Growth['series'],
    sizes: readonly number[],
    grown: (size: number) => Case,
  ): GrowthCase[] =>
    sizes.slice(0, count).map((size) => ({ growth: [{ series, size }], case: grown(size) }));
  const first: Growth[] = [
    { series: 'tokens', size: 64 },
    { series: 'batch', size: 8 },
    { series: 'blocks', size: 2 },
  ];
  return [
    { growth: first, case: step({}) },
    ...larger('tokens', [144, 256, 576, 1024], (tokens) =>
      step({ image: square(3, 4 * Math.sqrt(tokens)) }),
    ),
    ...larger('batch', [16, 32, 64, 128], (batch) => step({}, batch)),
    ...larger('blocks', [4, 8, 16], (blocks) => step({ blocks })),
  ];
}

/** A configuration as a row names it, e.g. `4-128-4-4 on 28×28×1`. */
export function configurationName(config: FlowConfig): string {
  const { channels, height, width } = config.image;
  const title =
    config.kind === 'tarflow' ? configName(config) : `STARFlow ${starflowTitle(config)}`;
  return `${title} on ${height}×${width}×${channels}`;
}

/** Tokens of a flow, numbers in each, and its layers in all. */
export function sizesOf(config: FlowConfig): { tokens: number; width: number; layers: number } {
  if (config.kind === 'tarflow') {
    const layers = config.blocks * config.layersPerBlock;
    return { tokens: tokenCount(config), width: tokenWidth(config), layers };
  }
  const layers = config.layersPerBlock.reduce((sum, count) => sum + count, 0);
  return { tokens: tokenCount(config), width: tokenWidth(config), layers };
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
  const { channels } = config;
  const { tokens, width, layers } = sizesOf(config);
  const blocks = config.kind === 'tarflow' ? config.blocks : config.layersPerBlock.length;
  const linear = 2 * tokens * (3 * blocks * width * channels + 12 * layers * channels ** 2);
  const attention = 2 * tokens * 2 * layers * tokens * channels;
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

/** True for a case of which a single run takes minutes. */
export function takesMinutes(one: Case): boolean {
  return flops(one) > 3e12;
}
