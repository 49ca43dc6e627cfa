import { UserError } from '../../core/errors.js';
import { attention, gelu, layerNorm, linear } from '../../core/ops.js';
import { tf, tidy } from '../../core/tf.js';
import { openWeights } from '../../formats/network-weights.js';
import { colourImages, greyLevels } from '../../pretrained/seen-images.js';
import { type DinoV2Size, DinoV2Weights, patch, publishedDinoV2 } from './dinov2-weights.js';
import type { FeatureNetwork } from './network.js';
import { plainBicubic, type Resampling, smoothBicubic } from './resampling.js';

/** Images are brought to this height and width. */
const side = 224;
/** Height and width in patches. */
const grid = side / patch;
/** Added to a row's variance before its root. */
const epsilon = 1e-6;
/** Of ImageNet's pixels in [0, 1], by channel. */
const means = [0.485, 0.456, 0.406];
const deviations = [0.229, 0.224, 0.225];
/** Added to the wanted grid where position embeddings are interpolated (`interpolate_offset`). */
const gridOffset = 0.1;

/** The names of the published sizes, by width and depth. */
const sizeNames: Readonly<Record<string, string>> = {
  '384 12': 'ViT-S/14',
  '768 12': 'ViT-B/14',
  '1024 24': 'ViT-L/14',
};

/** Weights as they are applied, by the official names. */
type Parameters = ReadonlyMap<string, tf.Tensor>;

/**
 * A DINOv2 vision transformer with patches of 14 pixels (Oquab et al. 2023, arXiv 2304.07193), by
 * which Stein et al. 2023 (arXiv 2306.04675) compare generated images: its feature is the class token
 * after the last norm. Width, depth and heads are told from the weights.
 *
 * Images are made ready as in dgm-eval, the code of that comparison: whole grey levels, resized to
 * 224×224 by the bicubic filter of Pillow before 13 with its rounding, ImageNet's mean and deviation;
 * grey ones are seen in three equal channels. Position embeddings are interpolated as in facebookresearch/dinov2, by the
 * factor (16 + 0.1)/37; transformers' `Dinov2Model` takes 16/37, and so has other features.
 *
 * @param path `dinov2_vitb14_pretrain.pth`, `dinov2_vitl14_pretrain.pth`, the same names in safetensors,
 *   or `model.safetensors` of `Dinov2Model`; register tokens and SwiGLU are not read
 * @returns a network that the caller frees
 * @throws UserError where the file is not there (with the official address), and for other tensors, by
 *   name
 */
export async function loadDinoV2(path: string): Promise<FeatureNetwork> {
  const file = await openWeights(path, publishedDinoV2);
  const parameters = new Map<string, tf.Tensor>();
  const dispose = () => tf.dispose([...parameters.values()]);
  try {
    const weights = DinoV2Weights.of(file);
    const { size } = weights;
    checkHeads(path, size);
    for (const name of weights.names) {
      const { shape, data } = await weights.read(name);
      const tensor = tf.tensor(data, shape);
      const applied = tidy(() => asApplied(name, tensor, size));
      if (applied !== tensor) tensor.dispose();
      parameters.set(name, applied);
    }
    const { width, depth } = size;
    const sizeName = sizeNames[`${width} ${depth}`] ?? `of width ${width} and depth ${depth}`;
    return {
      name: `${publishedDinoV2.network} ${sizeName}`,
      width,
      weights: await file.sha256(),
      features: (images) => tidy(() => classToken(prepared(images), parameters, size)),
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  } finally {
    await file.close();
  }
}

function checkHeads(path: string, { width, heads }: DinoV2Size): void {
  if (Number.isInteger(heads) && heads > 0) return;
  throw new UserError(
    `${path} has the weights of a DINOv2 of width ${width}`,
    'Expected a multiple of 64, the width of a head',
  );
}

/** A weight in the form in which it is applied, which may be the tensor itself. */
function asApplied(name: string, tensor: tf.Tensor, size: DinoV2Size): tf.Tensor {
  if (name === 'pos_embed') return positions(tensor as tf.Tensor3D, size);
  return name === 'patch_embed.proj.weight' ? tf.transpose(tensor, [2, 3, 1, 0]) : tensor;
}

/** Position embeddings of the class token and of 16×16 patches: (1, 257, width). */
function positions(embedding: tf.Tensor3D, { grid: trained, width }: DinoV2Size): tf.Tensor {
  if (trained === grid) return embedding;
  const resampling = plainBicubic(trained, grid, trained / (grid + gridOffset));
  const known = tf.slice(embedding, [0, 1, 0], [1, -1, width]);
  const patches = tf.reshape(known, [1, trained, trained, width]) as tf.Tensor4D;
  const resized = alongWidth(alongHeight(patches, resampling), resampling);
  const flat = tf.reshape(resized, [1, grid * grid, width]);
  return tf.concat([tf.slice(embedding, [0, 0, 0], [1, 1, width]), flat], 1);
}

/** Images as the network was trained to see them: (batch, 224, 224, 3). */
function prepared(images: tf.Tensor4D): tf.Tensor4D {
  const levels = greyLevels(colourImages(images, publishedDinoV2.network));
  const [, height, width] = levels.shape;
  let resized = levels;
  // Pillow before 13 goes along the rows first, and rounds between.
  if (width !== side) resized = rounded(alongWidth(resized, smoothBicubic(width, side)));
  if (height !== side) resized = rounded(alongHeight(resized, smoothBicubic(height, side)));
  return tf.div(tf.sub(tf.div(resized, 255), means), deviations) as tf.Tensor4D;
}

function rounded(levels: tf.Tensor4D): tf.Tensor4D {
  return tf.clipByValue(tf.floor(tf.add(levels, 0.5)), 0, 255) as tf.Tensor4D;
}

/** (batch, height, from, channels) to (batch, height, to, channels). */
function alongWidth(x: tf.Tensor4D, { from, to, weights }: Resampling): tf.Tensor4D {
  const [batch, height, , channels] = x.shape;
  const rows = tf.reshape(tf.transpose(x, [0, 1, 3, 2]), [-1, from]) as tf.Tensor2D;
  const made = tf.matMul(rows, tf.tensor2d(weights, [to, from]), false, true);
  const apart = tf.reshape(made, [batch, height, channels, to]);
  return tf.transpose(apart, [0, 1, 3, 2]) as tf.Tensor4D;
}

/** (batch, from, width, channels) to (batch, to, width, channels). */
function alongHeight(x: tf.Tensor4D, resampling: Resampling): tf.Tensor4D {
  const turned = tf.transpose(x, [0, 2, 1, 3]) as tf.Tensor4D;
  return tf.transpose(alongWidth(turned, resampling), [0, 2, 1, 3]) as tf.Tensor4D;
}

/** The feature of prepared images: (batch, width). */
function classToken(x: tf.Tensor4D, parameters: Parameters, size: DinoV2Size): tf.Tensor2D {
  const [batch] = x.shape;
  const { width, depth } = size;
  const vector = (name: string) => parameters.get(name) as tf.Tensor1D;
  const normed = (h: tf.Tensor2D, name: string) =>
    layerNorm(h, vector(`${name}.weight`), vector(`${name}.bias`), epsilon);
  const linearly = (h: tf.Tensor2D, name: string) =>
    linear(h, parameters.get(`${name}.weight`) as tf.Tensor2D, vector(`${name}.bias`));
  const kernel = parameters.get('patch_embed.proj.weight') as tf.Tensor4D;
  const patches = tf.add(tf.conv2d(x, kernel, patch, 'valid'), vector('patch_embed.proj.bias'));
  const tokens = tf.concat(
    [
      tf.tile(parameters.get('cls_token') as tf.Tensor3D, [batch, 1, 1]),
      tf.reshape(patches, [batch, grid * grid, width]) as tf.Tensor3D,
    ],
    1,
  );
  const count = tokens.shape[1] as number;
  const placed = tf.add(tokens, parameters.get('pos_embed') as tf.Tensor3D);
  let h = tf.reshape(placed, [batch * count, width]) as tf.Tensor2D;
  for (let block = 0; block < depth; block++) {
    const name = `blocks.${block}`;
    const before = h;
    h = tidy(() => {
      const projected = linearly(normed(before, `${name}.norm1`), `${name}.attn.qkv`);
      const mixed = attended(projected, { batch, count, ...size });
      const attentive = tf.add(
        before,
        tf.mul(linearly(mixed, `${name}.attn.proj`), vector(`${name}.ls1.gamma`)),
      ) as tf.Tensor2D;
      const wide = gelu(linearly(normed(attentive, `${name}.norm2`), `${name}.mlp.fc1`));
      const narrow = linearly(wide, `${name}.mlp.fc2`);
      return tf.add(attentive, tf.mul(narrow, vector(`${name}.ls2.gamma`))) as tf.Tensor2D;
    });
    before.dispose();
  }
  const last = tf.reshape(h, [batch, count, width]);
  return normed(tf.reshape(tf.slice(last, [0, 0, 0], [batch, 1, width]), [batch, width]), 'norm');
}

/**
 * Every token attends to all of its image.
 * @param projected (batch · count, 3 · width): queries, keys, values
 * @returns (batch · count, width)
 */
function attended(
  projected: tf.Tensor2D,
  { batch, count, width, heads }: DinoV2Size & { batch: number; count: number },
): tf.Tensor2D {
  const channels = width / heads;
  const parts = tf.transpose(tf.reshape(projected, [batch, count, 3, heads, channels]), [
    ...[2, 0, 3, 1, 4],
  ]);
  const [q, k, v] = tf.unstack(parts) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
  const mixed = attention(q, k, v, { scale: 1 / Math.sqrt(channels) });
  return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * count, width]) as tf.Tensor2D;
}
