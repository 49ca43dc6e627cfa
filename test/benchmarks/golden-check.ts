import * as path from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../../src/core/package-root.js';
import type { HostTensor } from '../../src/formats/safetensors.js';
import { goldenStarFlowConfig } from '../conformance/conform-starflow.js';
import {
  described,
  type GoldenFile,
  goldenConfig,
  readGolden,
} from '../conformance/golden-file.js';
import { type Difference, differences, type Results } from './agreement.js';
import { type Case, learningRate } from './cases.js';

/** A case on weights and inputs of a golden file, and what the published code makes of them. */
export interface GoldenCase {
  name: string;
  case: Case & { guidance?: number };
  /** What a side reads. */
  given: Record<string, HostTensor>;
  expected: Results;
}

/** One model with labels and one without, both with several heads and layers. */
const files = ['tf5_cond_p2_c48', 'tf2_uncond_p2_c32'];
/** A STARFlow of classes. */
const starflowFile = 'sf1_class_c64';

const samplingSchema = z.looseObject({
  sampling: z.array(z.looseObject({ name: z.string(), guidance: z.number() })),
});

/**
 * What the golden files say of the workloads: losses, samples, guided ones where there are labels, a
 * denoising step, and the gradient by the first moments of a training step.
 */
export async function goldenCases(): Promise<GoldenCase[]> {
  const folder = path.join(packageRoot(), 'test', 'golden');
  const found: GoldenCase[] = [];
  for (const file of files) {
    found.push(...casesOf(file, await readGolden(path.join(folder, `${file}.safetensors`))));
  }
  const file = path.join(folder, `${starflowFile}.safetensors`);
  return [...found, ...starflowCasesOf(starflowFile, await readGolden(file))];
}

/** How far a side's results are from the file's; without an end where it lacks one of them. */
export function goldenDifferences(
  { case: one, given, expected }: GoldenCase,
  results: Results,
  tolerance: number,
): Difference[] {
  const asked = Object.entries(results).filter(
    ([name]) => (name.split('/')[0] as string) in expected,
  );
  const names = new Set(asked.map(([name]) => name.split('/')[0]));
  const missing = Object.keys(expected).filter((name) => !names.has(name));
  return [
    ...missing.map((what) => ({ what, value: Number.POSITIVE_INFINITY, limit: tolerance })),
    ...differences(expected, Object.fromEntries(asked), {
      tolerance,
      learningRate,
      input: one.workload === 'denoising step' ? given.images?.data : undefined,
    }),
  ];
}

function casesOf(file: string, golden: GoldenFile): GoldenCase[] {
  const { tensors } = golden;
  const tensor = (name: string): HostTensor => tensors[name] as HostTensor;
  const config = goldenConfig(golden);
  const parameters = parametersOf(golden);
  const labels = tensors.y && { labels: tensors.y };
  const batch = tensor('x').shape[0] as number;
  const made = (
    workload: Case['workload'],
    expected: Results,
    { images = 'x', guidance }: { images?: string; guidance?: number } = {},
  ): GoldenCase => ({
    name: `${file}, ${workload}`,
    case: { workload, config, batch, precision: 'float32', ...(guidance && { guidance }) },
    given: { ...parameters, ...labels, images: tensor(images), latents: tensor('noise') },
    expected,
  });
  const { sampling } = described(golden, samplingSchema);
  const guided = sampling.find(
    ({ name }) => /^sample\.g[\d.]+$/.test(name) && name !== 'sample.g0',
  );
  return [
    made('forward', { loss: tensor('loss') }),
    made('sampling', { images: tensor('sample.g0') }),
    made('denoising step', { images: tensor('denoise.out') }, { images: 'denoise.in' }),
    ...(labels && guided
      ? [made('guided sampling', { images: tensor(guided.name) }, { guidance: guided.guidance })]
      : // The gradients of a model with labels are those with some of them dropped.
        [made('training step', { loss: tensor('loss'), ...firstMoments(tensors) })]),
  ];
}

/** The same of a STARFlow: its loss, samples, and the gradient. */
function starflowCasesOf(file: string, golden: GoldenFile): GoldenCase[] {
  const { tensors } = golden;
  const tensor = (name: string): HostTensor => tensors[name] as HostTensor;
  const config = goldenStarFlowConfig(golden);
  const batch = tensor('x').shape[0] as number;
  if (config.patchSize !== 1) throw new Error(`${file} has patches of more than a pixel.`);
  const given = {
    ...parametersOf(golden),
    ...{ labels: tensor('cond'), images: tensor('x'), latents: pixelsAsTokens(tensor('noise')) },
  };
  const made = (workload: Case['workload'], expected: Results): GoldenCase => ({
    name: `${file}, ${workload}`,
    case: { workload, config, batch, precision: 'float32' },
    given,
    expected,
  });
  return [
    made('forward', { loss: tensor('loss') }),
    made('sampling', { images: tensor('sample.g0') }),
    made('training step', { loss: tensor('loss'), ...firstMoments(tensors) }),
  ];
}

function parametersOf({ tensors }: GoldenFile): Record<string, HostTensor> {
  return Object.fromEntries(
    Object.entries(tensors).flatMap(([name, value]) => {
      const own = name.replace(/^sd\./, '');
      return own !== name && own !== 'var' && !own.endsWith('attn_mask') ? [[own, value]] : [];
    }),
  );
}

/** Images (batch, channels, height, width) as a token for each pixel (batch, T, channels). */
function pixelsAsTokens({ dtype, shape, data }: HostTensor): HostTensor {
  const [batch, channels, height, width] = shape as [number, number, number, number];
  const pixels = height * width;
  const tokens = Float32Array.from({ length: data.length }, (_, i) => {
    const [sample, pixel] = [
      Math.floor(i / (pixels * channels)),
      Math.floor(i / channels) % pixels,
    ];
    return Number(data[(sample * channels + (i % channels)) * pixels + pixel]);
  });
  return { dtype, shape: [batch, pixels, channels], data: tokens };
}

/** The first moments that a first step by the file's gradients makes. */
function firstMoments(tensors: GoldenFile['tensors']): Results {
  return Object.fromEntries(
    Object.entries(tensors)
      .filter(([name]) => name.startsWith('grad.'))
      .map(([name, { data }]) => [
        name.replace('grad.', 'first.'),
        { data: Array.from(data, (g) => 0.1 * g) },
      ]),
  );
}
