import { tokenCount, tokenWidth } from '../../../src/flow/patches.js';
import type { TarFlowConfig } from '../../../src/models/tarflow/config.js';
import type { TorchTensor } from '../../formats/torch-writer.js';
import { filled } from '../../pretrained/counted-weights.js';

/** The shapes of a published state dict by their names, in their order: as the authors' classes make it. */
export function publishedShapes(config: TarFlowConfig): Record<string, { shape: number[] }> {
  const { channels, classes, blocks, layersPerBlock, volumePreserving } = config;
  const [tokens, width] = [tokenCount(config), tokenWidth(config)];
  const outputs = volumePreserving ? width : 2 * width;
  const linear = (name: string, to: number, from: number): [string, number[]][] => [
    [`${name}.weight`, [to, from]],
    [`${name}.bias`, [to]],
  ];
  const norm = (name: string): [string, number[]][] => [
    [`${name}.weight`, [channels]],
    [`${name}.bias`, [channels]],
  ];
  const layer = (name: string): [string, number[]][] => [
    ...norm(`${name}.attention.norm`),
    ...linear(`${name}.attention.qkv`, 3 * channels, channels),
    ...linear(`${name}.attention.proj`, channels, channels),
    ...norm(`${name}.mlp.norm`),
    ...linear(`${name}.mlp.main.0`, 4 * channels, channels),
    ...linear(`${name}.mlp.main.2`, channels, 4 * channels),
  ];
  const block = (name: string): [string, number[]][] => [
    [`${name}.pos_embed`, [tokens, channels]],
    ...(classes > 0 ? [[`${name}.class_embed`, [classes, 1, channels]] as [string, number[]]] : []),
    [`${name}.attn_mask`, [tokens, tokens]],
    ...linear(`${name}.proj_in`, channels, width),
    ...range(layersPerBlock).flatMap((i) => layer(`${name}.attn_blocks.${i}`)),
    ...linear(`${name}.proj_out`, outputs, channels),
  ];
  const shapes: [string, number[]][] = [
    ['var', [tokens, width]],
    ...range(blocks).flatMap((i) => block(`blocks.${i}`)),
  ];
  return Object.fromEntries(shapes.map(([name, shape]) => [name, { shape }]));
}

/** Whether a tensor of a published state dict is a parameter. */
export function isParameter(name: string): boolean {
  return name !== 'var' && !isMask(name);
}

/** A published state dict, filled by name and counter as reference.py fills it. */
export function filledStateDict(config: TarFlowConfig): Record<string, TorchTensor> {
  return Object.fromEntries(
    Object.entries(publishedShapes(config)).map(([name, { shape }]) => [
      name,
      { dtype: 'F32', shape, data: () => numbers(name, shape) },
    ]),
  );
}

function numbers(name: string, shape: readonly number[]): Float32Array {
  const [rows = 0, columns = 0] = shape;
  if (name === 'var') return new Float32Array(rows * columns).fill(1);
  if (isMask(name)) {
    const seen = (i: number): boolean => i % columns <= Math.floor(i / columns);
    return Float32Array.from({ length: rows * columns }, (_, i) => (seen(i) ? 1 : 0));
  }
  const { data } = filled(name, shape);
  if (name.endsWith('proj_out.weight')) return data.map((value) => value / 32);
  return name.endsWith('proj_out.bias') ? data.map((value) => value + 1 / 16) : data;
}

function isMask(name: string): boolean {
  return name.endsWith('.attn_mask');
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}
