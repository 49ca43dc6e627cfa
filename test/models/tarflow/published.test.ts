import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { disposeModel, modelOfState, publishedConfig } from '../../../src/flow/state-dict.js';
import { loadCheckpoint, type TarFlowConfig, tarflow } from '../../../src/models/index.js';
import { writeTorchFile } from '../../formats/torch-writer.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { sharedFolder } from '../../temporary-folder.js';
import { kept, type Measured, measuredGradient } from './measured-gradient.js';
import { filledStateDict, isParameter, publishedShapes } from './state-dict.js';

type Reference = Measured & { config: TarFlowConfig };

const { results } = JSON.parse(fs.readFileSync(path.join(__dirname, 'reference.json'), 'utf8')) as {
  results: Record<'small' | 'imagenet64', Reference>;
};

const folder = sharedFolder();
function named(name: string, side: number, classes: number): TarFlowConfig {
  const [patchSize, channels, blocks, layersPerBlock] = name.split('-').map(Number) as [
    ...[number, number, number, number],
  ];
  return {
    kind: 'tarflow',
    image: { channels: 3, height: side, width: side },
    ...{ patchSize, channels, blocks, layersPerBlock },
    headWidth: 64,
    classes,
    volumePreserving: false,
  };
}

describe('the configuration of a published state dict', () => {
  // Numbers of parameters as the authors' classes count them.
  test.each([
    ['afhq_model_8_768_8_8_0.07.pth', named('8-768-8-8', 256, 3), 463_481_856],
    ['imagenet_model_4_1024_8_8_0.15.pth', named('4-1024-8-8', 128, 1000), 823_927_552],
    ['imagenet64_model_2_768_8_8_0.05.pth', named('2-768-8-8', 64, 0), 460_142_784],
    ['imagenet_model_2_768_8_8_0.05.pth', named('2-768-8-8', 64, 1000), 466_286_784],
    ['imagenet_model_4_1024_8_8_0.05.pth', named('4-1024-8-8', 64, 1000), 817_636_096],
  ])('%s is understood, with nothing allocated', (file, config, parameters) => {
    expectNoTensorsLeft();
    const shapes = publishedShapes(config);
    expect(publishedConfig(tarflow, shapes, file, {})).toEqual(config);
    const sizes = Object.entries(shapes).map(([name, { shape }]) =>
      isParameter(name) ? shape.reduce((size, side) => size * side, 1) : 0,
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(parameters);
  });

  test("that of the authors' notebook is, too, once its channels are given", () => {
    const config = {
      ...named('4-128-4-4', 28, 10),
      image: { channels: 1, height: 28, width: 28 },
    };
    const shapes = publishedShapes(config);
    expect(publishedConfig(tarflow, shapes, 'mnist.pth', { imageChannels: 1 })).toEqual(config);
    expect(() => publishedConfig(tarflow, shapes, 'mnist.pth', {})).toThrow(
      /49 tokens of 16 numbers are not a square image of 3 channels/,
    );
    const additive = { ...config, volumePreserving: true };
    const known = { imageChannels: 1 };
    expect(publishedConfig(tarflow, publishedShapes(additive), 'mnist.pth', known)).toEqual(
      additive,
    );
  });

  test('masks may be absent, and nothing else', () => {
    const config = named('2-64-3-2', 8, 5);
    const complete = Object.entries(publishedShapes(config));
    const refused = complete
      .map(([absent]) => absent)
      .filter((absent) => {
        const rest = Object.fromEntries(complete.filter(([name]) => name !== absent));
        try {
          expect(publishedConfig(tarflow, rest, 'a.pth', {})).toEqual(config);
          return false;
        } catch (error) {
          const { message } = error as Error;
          expect(message).toContain(
            `a.pth does not hold the weights of a TarFlow: it lacks ${absent}.`,
          );
          return true;
        }
      });
    expect(refused).toEqual(complete.map(([name]) => name).filter((name) => !/mask$/.test(name)));
  });
});

describe('a state dict that does not fit is refused with all names', () => {
  const config = named('2-64-3-2', 8, 0);
  const shapes = publishedShapes(config);
  const wrong = {
    ...Object.fromEntries(
      Object.entries(shapes).filter(
        ([name]) =>
          name !== 'blocks.0.proj_in.bias' && !/^blocks\.1\.attn_blocks\.0\.mlp/.test(name),
      ),
    ),
    'blocks.2.pos_embed': { shape: [15, 64] },
    'blocks.2.proj_out.bias': { shape: [12] },
    'blocks.0.final_norm.weight': { shape: [64] },
    'optimizer.step': { shape: [] },
  };
  const told =
    'lacks blocks.0.proj_in.bias, blocks.1.attn_blocks.0.mlp.norm.weight, ' +
    'blocks.1.attn_blocks.0.mlp.norm.bias, blocks.1.attn_blocks.0.mlp.main.0.weight, ' +
    'blocks.1.attn_blocks.0.mlp.main.0.bias, blocks.1.attn_blocks.0.mlp.main.2.weight, ' +
    'blocks.1.attn_blocks.0.mlp.main.2.bias; ' +
    'it has blocks.2.pos_embed (15, 64) for (16, 64), blocks.2.proj_out.bias (12) for (24); ' +
    'it has besides blocks.0.final_norm.weight, optimizer.step. ';

  test('a published one', () => {
    expect(() => publishedConfig(tarflow, wrong, 'a.pth', {})).toThrow(
      `a.pth does not hold the weights of a TarFlow: it ${told}The published file is at https://github.com/apple/ml-tarflow`,
    );
  });

  test('one whose configuration is known, before a tensor of it is taken', () => {
    const given: Record<string, { shape: number[] }> = wrong;
    const state = Object.fromEntries(
      Object.entries(given).map(([name, { shape }]) => [
        name,
        { shape, data: new Float32Array(shape.reduce((size, side) => size * side, 1)) },
      ]),
    );
    expectNoTensorsLeft();
    expect(() => modelOfState(tarflow, config, state, 'a.safetensors')).toThrow(
      `a.safetensors does not hold the weights of a model of kind 'tarflow' (2-64-3-2): it ${told}Take a complete file, or check the numbers of blocks, layers and classes of the configuration.`,
    );
  });

  test('one without a whole block', () => {
    const rest = Object.entries(shapes).filter(([name]) => !/^blocks\.1\./.test(name));
    expect(() => publishedConfig(tarflow, Object.fromEntries(rest), 'a.pth', {})).toThrow(
      /it lacks blocks\.1\.pos_embed, .* and \d+ more\. The published file is at/,
    );
  });

  test('one with a block or layer of a number that no model has', () => {
    const odd = ['blocks.999999999.proj_in.bias', 'blocks.0.attn_blocks.99999999999.x'];
    const more = Object.fromEntries(odd.map((name) => [name, { shape: [64] }]));
    expect(() => publishedConfig(tarflow, { ...shapes, ...more }, 'a.pth', {})).toThrow(
      `it has besides ${odd.join(', ')}.`,
    );
  });

  test('what is no TarFlow at all', () => {
    expect(() => publishedConfig(tarflow, { toString: { shape: [1] } }, 'a.pth', {})).toThrow(
      /it lacks var, blocks\.0\.pos_embed, .*; it has besides toString\./,
    );
  });
});

/**
 * The largest difference from the stored numbers: of an entry relative to the root mean square of its
 * tensor, since single entries may be zero, and relative to the number itself of all others.
 */
function largestDifference(measured: Measured, name: keyof typeof results): number {
  const { config, ...expected } = results[name];
  const relative = (a: number, b: number, size = Math.abs(b)): number => Math.abs(a - b) / size;
  const shapes = Object.entries(publishedShapes(config)).filter(([tensor]) => isParameter(tensor));
  const sizes = shapes
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { shape }]) => shape.reduce((size, side) => size * side, 1));
  expect(measured.norms).toHaveLength(sizes.length);
  expect(expected.entries).toHaveLength(kept * sizes.length);
  const scalars = (['loss', 'logDet', 'gradientNorm'] as const).map((one) =>
    relative(measured[one], expected[one]),
  );
  const norms = expected.norms.map((norm, i) => relative(measured.norms[i] as number, norm));
  const entries = expected.entries.map((entry, i) => {
    const at = Math.floor(i / kept);
    const deviation = (expected.norms[at] as number) / Math.sqrt(sizes[at] as number);
    return relative(measured.entries[i] as number, entry, deviation);
  });
  const all = [...scalars, ...norms, ...entries];
  expect(all.every(Number.isFinite)).toBe(true);
  return Math.max(...all);
}

describe('likelihood and gradient by the weights are those of PyTorch', () => {
  test('of a small TarFlow from a .pth file', async () => {
    expectNoTensorsLeft();
    const file = path.join(folder, 'small.pth');
    const { config } = results.small;
    writeTorchFile(file, filledStateDict(config));
    const model = await loadCheckpoint(file, { headWidth: config.headWidth });
    expect(model.config).toEqual(config);
    disposeModel(model);
    const measured = await measuredGradient(file, config.headWidth);
    expect(largestDifference(measured, 'small')).toBeLessThan(1e-4);
  });

  // Five minutes, 2 GB of disk and 12 GB of memory: `npm run nightly` sets TARFLOW_NIGHTLY.
  test.runIf(process.env.TARFLOW_NIGHTLY)(
    'of 2-768-8-8 at 64², 460 million parameters, in under 16 GB',
    () => {
      const file = path.join(folder, 'imagenet64.pth');
      const { config } = results.imagenet64;
      writeTorchFile(file, filledStateDict(config));
      // A process of its own, whose peak is that of the work alone.
      const script = path.join(__dirname, 'peak-memory.ts');
      const told = execFileSync(
        process.execPath,
        ['--import', 'tsx', script, file, String(config.headWidth)],
        { encoding: 'utf8' },
      );
      fs.rmSync(file);
      const { measured, peakBytes } = JSON.parse(told.trim().split('\n').at(-1) as string);
      expect(peakBytes).toBeLessThan(16e9);
      expect(largestDifference(measured, 'imagenet64')).toBeLessThan(1e-4);
    },
    1_800_000,
  );
});
