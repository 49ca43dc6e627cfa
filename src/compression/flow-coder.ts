import { contextTensors } from '../conditions/context.js';
import { modeOf } from '../core/engine.js';
import { tf, tidy } from '../core/tf.js';
import type { AutoregressiveBlock, Cache, Conditions } from '../flow/autoregressive.js';
import type { Background } from '../flow/background.js';
import type { Gaussian } from '../flow/gaussian.js';
import { ability, blocksOf, dimensions, type Model, type ModelConfig } from '../flow/model.js';
import { callBlock } from '../sampling/solvers/execution.js';
import { decoderOf, placesOf } from '../sampling/solvers/sequential/decode.js';
import type { AnsStack } from './ans-stack.js';
import * as cell from './cells.js';

/** Images of a batch by their tokens in raster order: of each the cells (rows·D). */
type Tokens = readonly Float64Array[];

/**
 * Pixels of a batch of images to a stack and back, through a flow of autoregressive blocks. Both directions
 * have to round alike, and whoever decodes knows a block's input but token by token. So both compute every
 * token from those before it in the same way, for as many images side by side.
 */
export class FlowCoder {
  private readonly blocks: readonly AutoregressiveBlock[];
  private readonly noise: cell.PixelNoise;
  /** Numbers in an image, T·D, and the pixel that each is of those of its tokens in raster order. */
  private readonly size: number;
  private readonly pixels: Int32Array;
  /** Log-deviations of latents (T·D); absent where they are 0. */
  private readonly priorScales: Float32Array | undefined;

  /** @throws UserError for a model without blocks or density */
  constructor(private readonly model: Model) {
    const { family, config } = model;
    ability(family, 'flow');
    this.blocks = blocksOf(model);
    this.size = dimensions(config);
    const { background, image }: ModelConfig & { background?: Background } = config;
    this.noise = new cell.PixelNoise(background);
    // Without a background the tokens are the pixels in another order.
    const plain = { ...config, background: undefined };
    const shape: [number, number, number, number] = [1, image.channels, image.height, image.width];
    this.pixels = tidy(() => {
      const numbers: tf.Tensor4D = tf.reshape(tf.range(0, this.size), shape);
      return Int32Array.from(ability(family, 'tokens').of(plain, numbers).tokens.dataSync());
    });
    this.priorScales = tidy(() => {
      const variance = family.prior?.variance?.(model);
      return variance && Float32Array.from(tf.mul(tf.log(variance), 0.5).dataSync());
    });
  }

  /**
   * Pushes images.
   *
   * @param levels their grey levels (count, channels, height, width)
   * @throws CodingError for images so far from what the model knows that latents are too large
   */
  async push(stack: AnsStack, levels: Uint8Array, label?: readonly number[]): Promise<void> {
    const tokens = this.emptyTokens(levels.length / this.size);
    const numbers = this.numbers(tokens).reverse();
    for (const { own, i, number, row } of numbers) {
      own[i] = this.noise.draw(stack, levels[row * this.size + this.pixels[number]!]!);
    }
    for (const block of this.blocks) {
      const visits = [...this.walk(block, tokens, label)].reverse();
      for (const { own, means, logScales } of visits) {
        for (let i = own.length - 1; i >= 0; i--) {
          own[i] = cell.normalise(stack, own[i]!, means[i]!, logScales[i]!);
        }
      }
      await new Promise(setImmediate);
    }
    for (const { own, i, number } of numbers) {
      const scale = this.priorScales?.[number];
      if (scale !== undefined) own[i] = cell.normalise(stack, own[i]!, 0, scale);
      cell.latentCells.push(stack, own[i]!);
    }
  }

  /**
   * Pops the images pushed last.
   *
   * @returns their grey levels (count, channels, height, width)
   * @throws CodingError where the stack holds no such images
   */
  async pop(stack: AnsStack, count: number, label?: readonly number[]): Promise<Uint8Array> {
    const tokens = this.emptyTokens(count);
    const numbers = this.numbers(tokens);
    for (const { own, i, number } of numbers) {
      const scale = this.priorScales?.[number];
      own[i] = cell.latentCells.pop(stack);
      if (scale !== undefined) own[i] = cell.denormalise(stack, own[i]!, 0, scale);
    }
    for (const block of [...this.blocks].reverse()) {
      for (const { own, means, logScales } of this.walk(block, tokens, label)) {
        for (let i = 0; i < own.length; i++) {
          own[i] = cell.denormalise(stack, own[i]!, means[i]!, logScales[i]!);
        }
      }
      await new Promise(setImmediate);
    }
    const levels = new Uint8Array(count * this.size);
    for (const { own, i, number, row } of numbers) {
      levels[row * this.size + this.pixels[number]!] = this.noise.putBack(stack, own[i]!);
    }
    return levels;
  }

  private emptyTokens(count: number): Tokens {
    const [{ tokens, width }] = this.blocks as [AutoregressiveBlock];
    return Array.from({ length: tokens }, () => new Float64Array(count * width));
  }

  /** The numbers of some images: where their cells are, which ones of an image, and of which image. */
  private numbers(tokens: Tokens) {
    const width = this.size / tokens.length;
    return tokens.flatMap((own, k) =>
      Array.from(own, (_, i) => {
        const row = Math.floor(i / width);
        return { own, i, row, number: (k - row) * width + i };
      }),
    );
  }

  /**
   * Predicts each token of a block, but those given, from the tokens before, the last of which may have
   * been found just before it: its cells, and what is predicted of them (rows·D).
   */
  private *walk(block: AutoregressiveBlock, tokens: Tokens, label?: readonly number[]) {
    const [{ length }] = tokens as [Float64Array];
    const rows = length / block.width;
    const conditions = contextTensors(this.model.config, { label }, rows);
    const places = tidy(() => placesOf(block));
    const ordered = Array.from(places.dataSync(), (k) => tokens[k]!);
    let cache: Cache | undefined = tidy(() =>
      block.given === 1 ? block.decoder?.(rows, places).emptyCache(rows, block.tokens) : undefined,
    );
    try {
      for (let t = block.given; t < block.tokens; t++) {
        const before = cache;
        const made = tidy(() => {
          const known = t === 0 ? [] : Float32Array.from(ordered[t - 1]!, cell.middleOf);
          const token = tf.tensor3d(known, [rows, t === 0 ? 0 : 1, block.width]);
          const step = predictNext(block, t, token, { places, cache, conditions });
          return { ...step.next, cache: step.cache };
        });
        cache = made.cache;
        const means = made.mean.dataSync<'float32'>();
        const logScales = made.logScale?.dataSync<'float32'>() ?? new Float32Array(means.length);
        tf.dispose([before, made.mean, made.logScale]);
        yield { own: ordered[t]!, means, logScales };
      }
    } finally {
      tf.dispose([places, conditions, cache]);
    }
  }
}

/**
 * What is predicted of the token at position t, given the one before, if any: by a step of the block's loop,
 * as one graph where there are any, or where it has none, and for the first token, by `predict`.
 *
 * @param token the one before (rows, 1, D), or none of it
 */
function predictNext(
  block: AutoregressiveBlock,
  t: number,
  token: tf.Tensor3D,
  { places, ...seen }: { places: tf.Tensor1D; cache: Cache | undefined; conditions: Conditions },
): { next: Gaussian<tf.Tensor>; cache?: Cache | undefined } {
  const rows = token.shape[0];
  if (!block.decoder || t === 0) {
    const made = block.predict(token, { start: Math.max(0, t - 1), ...seen, keepCache: true });
    const cache = made.cache && block.decoder?.(rows, places).cacheOf(made.cache, block.tokens);
    return { next: made.next, cache: cache ?? made.cache };
  }
  const { cache = {}, conditions } = seen;
  const own: tf.Tensor2D = tf.squeeze(token, [1]);
  const inputs = { t: tf.scalar(t - 1, 'int32'), token: own, places, cache, conditions };
  const execution = { mode: modeOf(), precision: 'float32' } as const;
  const call = { name: 'codingStep', description: rows };
  return callBlock(block, execution, call, inputs, (traced, given) => {
    const { stepper } = decoderOf(traced, rows, given.places);
    const made = stepper(given.conditions)(given.t, given.token, given.cache);
    return { next: { ...made.next }, cache: made.cache };
  });
}
