/** A convolution without a bias, its batch norm (epsilon 0.001) and a ReLU. */
export interface ConvolutionLayer {
  kind: 'convolution';
  name: string;
  outputs: number;
  kernel: readonly [height: number, width: number];
  stride: number;
  padding: 'same' | 'valid';
}

/** A pool of 3×3. At the border a mean is that of the pixels that there are. */
export interface PoolLayer {
  kind: 'mean' | 'maximum';
  stride: number;
  padding: 'same' | 'valid';
}

/** Convolutions of one input, whose outputs are joined. */
export interface SplitLayer {
  kind: 'split';
  layers: readonly ConvolutionLayer[];
}

export type InceptionLayer = ConvolutionLayer | PoolLayer | SplitLayer;

/** Branches that see the same input; their outputs are joined along the channels. */
export type InceptionStage = readonly (readonly InceptionLayer[])[];

function convolution(
  name: string,
  outputs: number,
  kernel: number | readonly [number, number],
  stride = 1,
  padding: 'same' | 'valid' = stride === 1 ? 'same' : 'valid',
): ConvolutionLayer {
  const sides = typeof kernel === 'number' ? ([kernel, kernel] as const) : kernel;
  return { kind: 'convolution', name, outputs, kernel: sides, stride, padding };
}

const halve: PoolLayer = { kind: 'maximum', stride: 2, padding: 'valid' };
const mean: PoolLayer = { kind: 'mean', stride: 1, padding: 'same' };
const maximum: PoolLayer = { kind: 'maximum', stride: 1, padding: 'same' };
const [row, column] = [
  [1, 7],
  [7, 1],
] as const;

/** 35×35 pixels; `pooled` channels come from the pool. */
function blockA(block: string, pooled: number): InceptionStage {
  const layer = (name: string, outputs: number, kernel: number) =>
    convolution(`${block}.${name}`, outputs, kernel);
  return [
    [layer('branch1x1', 64, 1)],
    [layer('branch5x5_1', 48, 1), layer('branch5x5_2', 64, 5)],
    [
      layer('branch3x3dbl_1', 64, 1),
      layer('branch3x3dbl_2', 96, 3),
      layer('branch3x3dbl_3', 96, 3),
    ],
    [mean, layer('branch_pool', pooled, 1)],
  ];
}

/** From 35×35 to 17×17 pixels. */
function blockB(block: string): InceptionStage {
  return [
    [convolution(`${block}.branch3x3`, 384, 3, 2)],
    [
      convolution(`${block}.branch3x3dbl_1`, 64, 1),
      convolution(`${block}.branch3x3dbl_2`, 96, 3),
      convolution(`${block}.branch3x3dbl_3`, 96, 3, 2),
    ],
    [halve],
  ];
}

/** 17×17 pixels; `inner` channels between the convolutions along rows and columns. */
function blockC(block: string, inner: number): InceptionStage {
  const layer = (name: string, outputs: number, kernel: 1 | typeof row | typeof column) =>
    convolution(`${block}.${name}`, outputs, kernel);
  return [
    [layer('branch1x1', 192, 1)],
    [
      layer('branch7x7_1', inner, 1),
      layer('branch7x7_2', inner, row),
      layer('branch7x7_3', 192, column),
    ],
    [
      layer('branch7x7dbl_1', inner, 1),
      layer('branch7x7dbl_2', inner, column),
      layer('branch7x7dbl_3', inner, row),
      layer('branch7x7dbl_4', inner, column),
      layer('branch7x7dbl_5', 192, row),
    ],
    [mean, layer('branch_pool', 192, 1)],
  ];
}

/** From 17×17 to 8×8 pixels. */
function blockD(block: string): InceptionStage {
  return [
    [convolution(`${block}.branch3x3_1`, 192, 1), convolution(`${block}.branch3x3_2`, 320, 3, 2)],
    [
      convolution(`${block}.branch7x7x3_1`, 192, 1),
      convolution(`${block}.branch7x7x3_2`, 192, row),
      convolution(`${block}.branch7x7x3_3`, 192, column),
      convolution(`${block}.branch7x7x3_4`, 192, 3, 2),
    ],
    [halve],
  ];
}

/** 8×8 pixels. */
function blockE(block: string, pool: PoolLayer): InceptionStage {
  const both = (name: string): SplitLayer => ({
    kind: 'split',
    layers: [
      convolution(`${block}.${name}a`, 384, [1, 3]),
      convolution(`${block}.${name}b`, 384, [3, 1]),
    ],
  });
  return [
    [convolution(`${block}.branch1x1`, 320, 1)],
    [convolution(`${block}.branch3x3_1`, 384, 1), both('branch3x3_2')],
    [
      convolution(`${block}.branch3x3dbl_1`, 448, 1),
      convolution(`${block}.branch3x3dbl_2`, 384, 3),
      both('branch3x3dbl_3'),
    ],
    [pool, convolution(`${block}.branch_pool`, 192, 1)],
  ];
}

/**
 * Inception-v3 (Szegedy et al. 2016, arXiv 1512.00567) as it is in TensorFlow's graph of 2015, which
 * FID is by: means of pools leave the border out, and the pool of the last block takes the maximum.
 * The names are those of PyTorch's ports of that graph.
 */
export const inceptionStages: readonly InceptionStage[] = [
  [
    [
      convolution('Conv2d_1a_3x3', 32, 3, 2),
      convolution('Conv2d_2a_3x3', 32, 3, 1, 'valid'),
      convolution('Conv2d_2b_3x3', 64, 3),
      halve,
      convolution('Conv2d_3b_1x1', 80, 1),
      convolution('Conv2d_4a_3x3', 192, 3, 1, 'valid'),
      halve,
    ],
  ],
  blockA('Mixed_5b', 32),
  blockA('Mixed_5c', 64),
  blockA('Mixed_5d', 64),
  blockB('Mixed_6a'),
  blockC('Mixed_6b', 128),
  blockC('Mixed_6c', 160),
  blockC('Mixed_6d', 160),
  blockC('Mixed_6e', 192),
  blockD('Mixed_7a'),
  blockE('Mixed_7b', mean),
  blockE('Mixed_7c', maximum),
];

/** Every convolution with the number of channels that it sees, in the order of the layers. */
export function inceptionConvolutions(): { layer: ConvolutionLayer; inputs: number }[] {
  const found: { layer: ConvolutionLayer; inputs: number }[] = [];
  let inputs = 3;
  for (const stage of inceptionStages) {
    let joined = 0;
    for (const branch of stage) {
      let channels = inputs;
      for (const layer of branch) {
        const layers = convolutionsIn(layer);
        if (layers.length === 0) continue;
        for (const one of layers) found.push({ layer: one, inputs: channels });
        channels = layers.reduce((sum, { outputs }) => sum + outputs, 0);
      }
      joined += channels;
    }
    inputs = joined;
  }
  return found;
}

function convolutionsIn(layer: InceptionLayer): readonly ConvolutionLayer[] {
  if (layer.kind === 'split') return layer.layers;
  return layer.kind === 'convolution' ? [layer] : [];
}
