import { createHash } from 'node:crypto';
import { contextTensors } from '../conditions/context.js';
import { modeOf } from '../core/engine.js';
import { foldIn, normal, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import type { AutoregressiveBlock, Cache, Conditions, Prediction } from '../flow/autoregressive.js';
import type { Background } from '../flow/background.js';
import { ability, blocksOf, dimensions, type Model, type ModelConfig } from '../flow/model.js';
import { callBlock } from '../sampling/solvers/execution.js';
import type { AnsStack } from './ans-stack.js';
import * as cell from './cells.js';

/** Images of a batch by their tokens in raster order: of each the cells (rows·D). */
type Tokens = readonly Float64Array[];

/** What a block predicts of a token (rows·D). */
interface Predicted {
  means: Float32Array;
  logScales: Float32Array;
}

/** Other work of the process, as showing progress, waits no longer, in milliseconds. */
const patience = 100;

/**
 * Pixels of a batch of images to a stack and back, through a flow of autoregressive blocks. Both directions
 * have to round alike, and whoever decodes knows a block's input but token by token. So both compute every
 * token from those before it in the same way, with batches of one size, which unused rows fill.
 */
export class FlowCoder {
  private readonly blocks: readonly AutoregressiveBlock[];
  private readonly noise: cell.PixelNoise;
  /** Numbers in an image, T·D, and the pixel that each is of those of its tokens in raster order. */
  private readonly size: number;
  private readonly pixels: Int32Array;
  /** Log-deviations of latents (T·D); absent where they are 0. */
  private readonly priorScales: Float32Array | undefined;
  private lastRest = Date.now();

  /**
   * @param rows images that are computed side by side
   * @throws UserError for a model without blocks or density
   */
  constructor(
    private readonly model: Model,
    private readonly rows: number,
  ) {
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
   * @param levels their grey levels (count, channels, height, width), for at most as many as there are rows
   * @throws CodingError for images so far from what the model knows that latents are too large
   */
  async push(stack: AnsStack, levels: Uint8Array, label?: readonly number[]): Promise<void> {
    const count = levels.length / this.size;
    const tokens = this.emptyTokens();
    for (const { own, i, number, row } of this.numbers(tokens, count, 'backwards')) {
      own[i] = this.noise.draw(stack, levels[row * this.size + this.pixels[number]!]!);
    }
    for (const block of this.blocks) {
      const visits: (() => void)[] = [];
      await this.walk(block, tokens, label, (own, { means, logScales }) => {
        visits.push(() => {
          for (let i = count * block.width - 1; i >= 0; i--) {
            own[i] = cell.normalise(stack, own[i]!, means[i]!, logScales[i]!);
          }
        });
      });
      for (const visit of visits.reverse()) visit();
    }
    for (const { own, i, number } of this.numbers(tokens, count, 'backwards')) {
      const scale = this.priorScales?.[number];
      if (scale !== undefined) own[i] = cell.normalise(stack, own[i]!, 0, scale);
      cell.pushLatent(stack, own[i]!);
    }
  }

  /**
   * Pops the images pushed last.
   *
   * @returns their grey levels (count, channels, height, width)
   * @throws CodingError where the stack holds no such images
   */
  async pop(stack: AnsStack, count: number, label?: readonly number[]): Promise<Uint8Array> {
    const tokens = this.emptyTokens();
    for (const { own, i, number } of this.numbers(tokens, count)) {
      const scale = this.priorScales?.[number];
      own[i] = cell.popLatent(stack);
      if (scale !== undefined) own[i] = cell.denormalise(stack, own[i]!, 0, scale);
    }
    for (const block of [...this.blocks].reverse()) {
      await this.walk(block, tokens, label, (own, { means, logScales }) => {
        for (let i = 0; i < count * block.width; i++) {
          own[i] = cell.denormalise(stack, own[i]!, means[i]!, logScales[i]!);
        }
      });
    }
    const levels = new Uint8Array(count * this.size);
    for (const { own, i, number, row } of this.numbers(tokens, count)) {
      levels[row * this.size + this.pixels[number]!] = this.noise.putBack(stack, own[i]!);
    }
    return levels;
  }

  /**
   * Sixteen hexadecimal digits of what the blocks predict of numbers made up for it: they tell an engine or
   * a processor that computes otherwise before it decodes anything.
   */
  async arithmetic(): Promise<string> {
    const digest = createHash('sha256');
    const key = foldIn(randomKey(0), 'arithmetic');
    const tokens = this.emptyTokens().map((own, k) =>
      Float64Array.from(normal(foldIn(key, k), own.length), cell.cellOf),
    );
    for (const block of this.blocks) {
      const visit = (_: unknown, { means, logScales }: Predicted): void => {
        digest.update(means).update(logScales);
      };
      await this.walk(block, tokens, undefined, visit, Math.min(block.tokens, 4));
    }
    return digest.digest('hex').slice(0, 16);
  }

  private emptyTokens(): Float64Array[] {
    const [{ tokens, width }] = this.blocks as [AutoregressiveBlock];
    return Array.from({ length: tokens }, () => new Float64Array(this.rows * width));
  }

  /** The numbers of some images: where their cells are, which ones of an image, and of which image. */
  private *numbers(tokens: Tokens, count: number, order?: 'backwards') {
    const width = this.size / tokens.length;
    for (let j = 0; j < count * this.size; j++) {
      const at = order ? count * this.size - 1 - j : j;
      const k = Math.floor(at / (count * width));
      const i = at - k * count * width;
      const row = Math.floor(i / width);
      yield { own: tokens[k]!, i, number: (k - row) * width + i, row };
    }
  }

  /**
   * Predicts each token of a block, but those given, from the tokens before, which `visit` may have found
   * just before.
   *
   * @param visit is called with the cells of a token, and what is predicted of it
   * @param end position before which tokens are visited; default all
   */
  private async walk(
    block: AutoregressiveBlock,
    tokens: Tokens,
    label: readonly number[] | undefined,
    visit: (own: Float64Array, next: Predicted) => void,
    end = block.tokens,
  ): Promise<void> {
    const { rows, model } = this;
    const filled = label && Array.from({ length: rows }, (_, row) => label[row] ?? -1);
    const conditions: Conditions = contextTensors(model.config, { label: filled }, rows);
    const raster = tidy(() =>
      block.order(tf.reshape(tf.range(0, block.tokens), [1, -1, 1])).dataSync(),
    );
    const ordered = Array.from(raster, (k) => tokens[k]!);
    const places = tf.tensor1d(raster, 'int32');
    let cache: Cache | undefined = tidy(() =>
      block.decoder?.(rows, places).emptyCache(rows, block.tokens),
    );
    try {
      for (let t = block.given; t < end; t++) {
        const before = cache;
        const { mean, logScale, longer } = tidy(() => {
          const known = t === 0 ? [] : Float32Array.from(ordered[t - 1]!, cell.middleOf);
          const input = tf.tensor3d(known, [rows, t === 0 ? 0 : 1, block.width]);
          const { next, cache: longer } =
            block.decoder && cache && t > 0
              ? decoderStep(block, t - 1, input, { places, cache, conditions })
              : predictedStep(block, t, input, { places, cache, conditions });
          return { ...next, longer };
        });
        cache = longer;
        const means = mean.dataSync<'float32'>();
        const logScales = logScale?.dataSync<'float32'>() ?? new Float32Array(means.length);
        tf.dispose([before, mean, logScale]);
        visit(ordered[t]!, { means, logScales });
        if (Date.now() - this.lastRest > patience) {
          await new Promise(setImmediate);
          this.lastRest = Date.now();
        }
      }
    } finally {
      tf.dispose([places, conditions, cache]);
    }
  }
}

interface StepContext {
  /** The raster index of each token in the block's order (T) int32. */
  places: tf.Tensor1D;
  cache: Cache | undefined;
  conditions: Conditions;
}

/** What follows the token at position t, by a step of the block's loop, as one graph where there are any. */
function decoderStep(
  block: AutoregressiveBlock,
  t: number,
  input: tf.Tensor3D,
  { places, cache, conditions }: StepContext,
): Prediction {
  const rows = input.shape[0];
  const token: tf.Tensor2D = tf.squeeze(input, [1]);
  const call = { name: 'codingStep', description: rows };
  const inputs = { t: tf.scalar(t, 'int32'), token, places, cache: cache ?? {}, conditions };
  const execution = { mode: modeOf(), precision: 'float32' } as const;
  return callBlock(block, execution, call, inputs, (own, given) => {
    const decoder = own.decoder?.(rows, given.places);
    if (!decoder) throw new Error('The block has no step.');
    const made = decoder.stepper(given.conditions)(given.t, given.token, given.cache);
    return { next: { ...made.next }, cache: made.cache };
  }) as unknown as Prediction;
}

/** The same where a block has no such step, and for the first token, which a start token predicts. */
function predictedStep(
  block: AutoregressiveBlock,
  t: number,
  input: tf.Tensor3D,
  { places, cache, conditions }: StepContext,
): Prediction {
  const seen = t > 0 ? cache : undefined;
  const place = { start: Math.max(0, t - 1), cache: seen, conditions, keepCache: true };
  const { next, cache: longer } = block.predict(input, place);
  const decoder = block.decoder?.(input.shape[0], places);
  return { next, cache: longer && (decoder?.cacheOf(longer, block.tokens) ?? longer) };
}
