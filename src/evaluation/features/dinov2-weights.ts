import { checkWeights } from '../../formats/network-weights.js';
import type { TensorFile } from '../../formats/tensor-file.js';

/** The size of a DINOv2. */
export interface DinoV2Size {
  width: number;
  depth: number;
  /** Heads of 64 channels. */
  heads: number;
  /** Height and width, in patches, of the images that it was trained on last. */
  grid: number;
}

/** Where a tensor of ours stands in a file: under one name, or in parts along its first axis. */
interface Place {
  names: readonly string[];
  /** Of ours. */
  shape: readonly number[];
}

/** The side of a patch, in pixels. */
export const patch = 14;
const headWidth = 64;

/** What the weights are, for errors. */
export const publishedDinoV2 = {
  network: 'DINOv2',
  address:
    'https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth ' +
    '(or dinov2_vitb14/dinov2_vitb14_pretrain.pth)',
} as const;

/** Names of `Dinov2Model` in the files at Hugging Face, by ours, which are the official ones. */
const hugging: Readonly<Record<string, string>> = {
  cls_token: 'embeddings.cls_token',
  pos_embed: 'embeddings.position_embeddings',
  'patch_embed.proj': 'embeddings.patch_embeddings.projection',
  norm: 'layernorm',
  norm1: 'norm1',
  norm2: 'norm2',
  'attn.proj': 'attention.output.dense',
  'ls1.gamma': 'layer_scale1.lambda1',
  'ls2.gamma': 'layer_scale2.lambda1',
  'mlp.fc1': 'mlp.fc1',
  'mlp.fc2': 'mlp.fc2',
};

const huggingAttention = ['query', 'key', 'value'].map((part) => `attention.attention.${part}`);

/**
 * Reads the weights of a DINOv2 by the official names, those of facebookresearch/dinov2 or those of
 * `Dinov2Model`.
 */
export class DinoV2Weights {
  private constructor(
    private readonly file: TensorFile,
    readonly size: DinoV2Size,
    private readonly places: Readonly<Record<string, Place>>,
  ) {}

  /**
   * Tells the size from the weights, and checks all of them.
   * @throws UserError for other tensors, by name
   */
  static of(file: TensorFile): DinoV2Weights {
    const isHugging = Object.hasOwn(file.tensors, 'embeddings.cls_token');
    const size = sizeOf(file, isHugging);
    const places = placesOf(size, isHugging);
    const shapes = Object.values(places).flatMap(({ names, shape: [first = 0, ...rest] }) =>
      names.map((name) => [name, [first / names.length, ...rest]] as const),
    );
    // What stands for hidden patches in training.
    const more = (name: string) => /^(embeddings\.)?mask_token$/.test(name);
    checkWeights(file, publishedDinoV2, Object.fromEntries(shapes), more);
    return new DinoV2Weights(file, size, places);
  }

  /** The official names of all tensors that are read. */
  get names(): string[] {
    return Object.keys(this.places);
  }

  /** A tensor by its official name. */
  async read(name: string): Promise<{ shape: number[]; data: Float32Array }> {
    const { names, shape } = this.places[name] as Place;
    const parts: Float32Array[] = [];
    for (const one of names) parts.push(Float32Array.from((await this.file.read(one)).data));
    const [only] = parts;
    if (parts.length === 1) return { shape: [...shape], data: only as Float32Array };
    const data = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      data.set(part, at);
      at += part.length;
    }
    return { shape: [...shape], data };
  }
}

/** Of what can be told; `checkWeights` tells what is missing. */
function sizeOf({ tensors }: TensorFile, isHugging: boolean): DinoV2Size {
  const shapeOf = (name: string): number[] => {
    const found = isHugging ? (hugging[name] as string) : name;
    return Object.hasOwn(tensors, found) ? (tensors[found]?.shape ?? []) : [];
  };
  const blocks = Object.keys(tensors).map((name) =>
    Number(/^(?:blocks|encoder\.layer)\.(\d+)\./.exec(name)?.[1] ?? -1),
  );
  const width = shapeOf('cls_token').at(-1) ?? 1024;
  const grid = Math.round(Math.sqrt(Math.max(1, (shapeOf('pos_embed')[1] ?? 1370) - 1)));
  const depth = blocks.reduce((most, block) => Math.max(most, block), -1) + 1;
  return { width, depth, heads: width / headWidth, grid };
}

function placesOf({ width, depth, grid }: DinoV2Size, isHugging: boolean): Record<string, Place> {
  const places: Record<string, Place> = {};
  const add = (block: number | undefined, name: string, shape: number[], kinds: string[]) => {
    const inBlock = block === undefined ? '' : `blocks.${block}.`;
    const inLayer = block === undefined ? '' : `encoder.layer.${block}.`;
    const their = name === 'attn.qkv' ? huggingAttention : [hugging[name] as string];
    for (const kind of kinds) {
      const own = `${inBlock}${name}${kind}`;
      const names = isHugging ? their.map((one) => `${inLayer}${one}${kind}`) : [own];
      places[own] = { names, shape: kind === '.bias' ? shape.slice(0, 1) : shape };
    }
  };
  const both = ['.weight', '.bias'];
  add(undefined, 'cls_token', [1, 1, width], ['']);
  add(undefined, 'pos_embed', [1, grid ** 2 + 1, width], ['']);
  add(undefined, 'patch_embed.proj', [width, 3, patch, patch], both);
  // A file without any block lacks the first one.
  for (let block = 0; block < Math.max(1, depth); block++) {
    add(block, 'norm1', [width], both);
    add(block, 'attn.qkv', [3 * width, width], both);
    add(block, 'attn.proj', [width, width], both);
    add(block, 'ls1.gamma', [width], ['']);
    add(block, 'norm2', [width], both);
    add(block, 'mlp.fc1', [4 * width, width], both);
    add(block, 'mlp.fc2', [width, 4 * width], both);
    add(block, 'ls2.gamma', [width], ['']);
  }
  add(undefined, 'norm', [width], both);
  return places;
}
