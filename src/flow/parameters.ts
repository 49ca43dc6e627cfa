import { foldIn, normal, type RandomKey, uniform } from '../backend/random.js';
import { tf } from '../backend/tf.js';
import { checkConfig, type FlowConfig, tokenCount, tokenWidth } from './config.js';

/** Weight (outputs, inputs) and bias (outputs) of a linear layer. */
export type LinearParameters = { weight: tf.Tensor2D; bias: tf.Tensor1D };

/** Scale and offset (channels) of a layer norm. */
export type NormParameters = { weight: tf.Tensor1D; bias: tf.Tensor1D };

/** One transformer layer. The keys are those of the published state dicts. */
export type LayerParameters = {
  attention: { norm: NormParameters; qkv: LinearParameters; proj: LinearParameters };
  mlp: { norm: NormParameters; main: { 0: LinearParameters; 2: LinearParameters } };
};

/** One autoregressive flow block. */
export type BlockParameters = {
  /** (T, channels), in raster order of the patches. */
  pos_embed: tf.Tensor2D;
  /** (classes, 1, channels); absent in an unconditional model. */
  class_embed?: tf.Tensor3D;
  proj_in: LinearParameters;
  attn_blocks: LayerParameters[];
  /** (2·D, channels): a above b; (D, channels) in a volume-preserving model. */
  proj_out: LinearParameters;
};

/** All trained parameters of a TarFlow. */
export type FlowParameters = { blocks: BlockParameters[] };

/**
 * Fresh parameters: linear layers uniform within ±1/√inputs, position and class tables normal with
 * deviation 0.01, the output weight zero. The model starts near the identity, not at it: the
 * output bias is not zero.
 */
export function initialParameters(config: FlowConfig, key: RandomKey): FlowParameters {
  checkConfig(config);
  const { channels, classes } = config;
  const [tokens, width] = [tokenCount(config), tokenWidth(config)];

  const table = (k: RandomKey, shape: number[]): tf.Tensor =>
    tf.tensor(
      normal(k, product(shape)).map((value) => value * 0.01),
      shape,
    );
  const linearLayer = (k: RandomKey, outputs: number, inputs: number): LinearParameters => {
    const bound = 1 / Math.sqrt(inputs);
    const draw = (name: string, count: number): Float32Array =>
      uniform(foldIn(k, name), count).map((value) => (2 * value - 1) * bound);
    return {
      weight: tf.tensor2d(draw('weight', outputs * inputs), [outputs, inputs]),
      bias: tf.tensor1d(draw('bias', outputs)),
    };
  };
  const norm = (): NormParameters => ({
    weight: tf.ones([channels]) as tf.Tensor1D,
    bias: tf.zeros([channels]) as tf.Tensor1D,
  });
  const layer = (k: RandomKey): LayerParameters => ({
    attention: {
      norm: norm(),
      qkv: linearLayer(foldIn(k, 'qkv'), 3 * channels, channels),
      proj: linearLayer(foldIn(k, 'proj'), channels, channels),
    },
    mlp: {
      norm: norm(),
      main: {
        0: linearLayer(foldIn(k, 'main.0'), 4 * channels, channels),
        2: linearLayer(foldIn(k, 'main.2'), channels, 4 * channels),
      },
    },
  });
  const block = (k: RandomKey): BlockParameters => {
    const out = linearLayer(
      foldIn(k, 'proj_out'),
      (config.volumePreserving ? 1 : 2) * width,
      channels,
    );
    const zero = tf.zerosLike(out.weight);
    out.weight.dispose();
    return {
      pos_embed: table(foldIn(k, 'pos_embed'), [tokens, channels]) as tf.Tensor2D,
      ...(classes > 0 && {
        class_embed: table(foldIn(k, 'class_embed'), [classes, 1, channels]) as tf.Tensor3D,
      }),
      proj_in: linearLayer(foldIn(k, 'proj_in'), channels, width),
      attn_blocks: range(config.layersPerBlock).map((l) => layer(foldIn(foldIn(k, 'layer'), l))),
      proj_out: { weight: zero, bias: out.bias },
    };
  };
  return { blocks: range(config.blocks).map((b) => block(foldIn(foldIn(key, 'block'), b))) };
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}

function product(shape: number[]): number {
  return shape.reduce((size, side) => size * side, 1);
}
