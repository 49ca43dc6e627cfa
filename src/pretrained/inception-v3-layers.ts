/** A convolution without a bias, its batch norm (epsilon 0.001) and a ReLU. */
export interface ConvolutionLayer {
  name: string;
  outputs: number;
  kernel: readonly [height: number, width: number];
  stride: number;
  padding: 'same' | 'valid';
}

/** A pool of 3×3. At the border a mean is that of the pixels that there are. */
interface PoolLayer {
  kind: 'mean' | 'maximum';
  stride: number;
  padding: 'same' | 'valid';
}

/** A pool, or convolutions of one input whose outputs are joined. */
export type InceptionLayer = PoolLayer | readonly ConvolutionLayer[];

/** Branches that see the same input; their outputs are joined along the channels. */
type InceptionStage = readonly (readonly InceptionLayer[])[];

/**
 * A stage from its table: a row for each branch, with its layers one after the other. A layer is
 * `NAME OUTPUTS HEIGHTxWIDTH`, `mean` or `maximum`. `/2` is its stride, without padding as where `valid`
 * stands; two convolutions with a `+` between them see one input.
 */
function stage(block: string, ...rows: readonly string[][]): InceptionStage {
  const convolution = (text: string): ConvolutionLayer => {
    const [name, outputs, kernel = '', ...more] = text.split(' ');
    const [height = 1, width = 1] = kernel.split('x').map(Number);
    return {
      name: `${block}${name}`,
      outputs: Number(outputs),
      kernel: [height, width],
      stride: more.includes('/2') ? 2 : 1,
      padding: more.length > 0 ? 'valid' : 'same',
    };
  };
  const layer = (text: string): InceptionLayer => {
    const [, kind, strided] = /^(mean|maximum)( \/2)?$/.exec(text) ?? [];
    if (kind === 'mean' || kind === 'maximum') {
      return { kind, stride: strided ? 2 : 1, padding: strided ? 'valid' : 'same' };
    }
    return text.split(' + ').map(convolution);
  };
  return rows.map((row) => row.map(layer));
}

/** 35×35 pixels; `pooled` channels come from the pool. */
function blockA(block: string, pooled: number): InceptionStage {
  return stage(
    `${block}.`,
    ['branch1x1 64 1x1'],
    ['branch5x5_1 48 1x1', 'branch5x5_2 64 5x5'],
    ['branch3x3dbl_1 64 1x1', 'branch3x3dbl_2 96 3x3', 'branch3x3dbl_3 96 3x3'],
    ['mean', `branch_pool ${pooled} 1x1`],
  );
}

/** 17×17 pixels; `inner` channels between the convolutions along rows and columns. */
function blockC(block: string, inner: number): InceptionStage {
  return stage(
    `${block}.`,
    ['branch1x1 192 1x1'],
    [`branch7x7_1 ${inner} 1x1`, `branch7x7_2 ${inner} 1x7`, 'branch7x7_3 192 7x1'],
    [
      `branch7x7dbl_1 ${inner} 1x1`,
      `branch7x7dbl_2 ${inner} 7x1`,
      `branch7x7dbl_3 ${inner} 1x7`,
      `branch7x7dbl_4 ${inner} 7x1`,
      'branch7x7dbl_5 192 1x7',
    ],
    ['mean', 'branch_pool 192 1x1'],
  );
}

/** 8×8 pixels. */
function blockE(block: string, pool: 'mean' | 'maximum'): InceptionStage {
  return stage(
    `${block}.`,
    ['branch1x1 320 1x1'],
    ['branch3x3_1 384 1x1', 'branch3x3_2a 384 1x3 + branch3x3_2b 384 3x1'],
    [
      'branch3x3dbl_1 448 1x1',
      'branch3x3dbl_2 384 3x3',
      'branch3x3dbl_3a 384 1x3 + branch3x3dbl_3b 384 3x1',
    ],
    [pool, 'branch_pool 192 1x1'],
  );
}

/**
 * Inception-v3 (Szegedy et al. 2016, arXiv 1512.00567) as it is in TensorFlow's graph of 2015, which
 * FID is by: means of pools leave the border out, and the pool of the last block takes the maximum.
 * The names are those of PyTorch's ports of that graph.
 */
export const inceptionStages: readonly InceptionStage[] = [
  stage('', [
    'Conv2d_1a_3x3 32 3x3 /2',
    'Conv2d_2a_3x3 32 3x3 valid',
    'Conv2d_2b_3x3 64 3x3',
    'maximum /2',
    'Conv2d_3b_1x1 80 1x1',
    'Conv2d_4a_3x3 192 3x3 valid',
    'maximum /2',
  ]),
  blockA('Mixed_5b', 32),
  blockA('Mixed_5c', 64),
  blockA('Mixed_5d', 64),
  // From 35×35 to 17×17 pixels.
  stage(
    'Mixed_6a.',
    ['branch3x3 384 3x3 /2'],
    ['branch3x3dbl_1 64 1x1', 'branch3x3dbl_2 96 3x3', 'branch3x3dbl_3 96 3x3 /2'],
    ['maximum /2'],
  ),
  blockC('Mixed_6b', 128),
  blockC('Mixed_6c', 160),
  blockC('Mixed_6d', 160),
  blockC('Mixed_6e', 192),
  // From 17×17 to 8×8 pixels.
  stage(
    'Mixed_7a.',
    ['branch3x3_1 192 1x1', 'branch3x3_2 320 3x3 /2'],
    [
      'branch7x7x3_1 192 1x1',
      'branch7x7x3_2 192 1x7',
      'branch7x7x3_3 192 7x1',
      'branch7x7x3_4 192 3x3 /2',
    ],
    ['maximum /2'],
  ),
  blockE('Mixed_7b', 'mean'),
  blockE('Mixed_7c', 'maximum'),
];

/** Every convolution with the number of channels that it sees, in the order of the layers. */
export function inceptionConvolutions(): { layer: ConvolutionLayer; inputs: number }[] {
  const found: { layer: ConvolutionLayer; inputs: number }[] = [];
  let inputs = 3;
  for (const branches of inceptionStages) {
    let joined = 0;
    for (const branch of branches) {
      let channels = inputs;
      for (const layer of branch) {
        if ('kind' in layer) continue;
        for (const one of layer) found.push({ layer: one, inputs: channels });
        channels = layer.reduce((sum, { outputs }) => sum + outputs, 0);
      }
      joined += channels;
    }
    inputs = joined;
  }
  return found;
}
