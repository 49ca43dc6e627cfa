import type { ExecutionOptions } from '../core/engine.js';
import { counted } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { blocksOf, farthestPixel } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import { sample } from '../sampling/sample.js';
import { addShortfalls, noShortfalls, type Shortfalls } from '../sampling/solvers/solve-block.js';
import { checkMemory } from './arguments.js';
import { type Own, stopwatch, withProgress } from './command.js';
import {
  type ConditionOptions,
  conditionsInTurn,
  type GuidanceOptions,
  guidanceOf,
} from './condition-options.js';
import { denoisingOf } from './denoising.js';
import { chosenSolvers } from './plans.js';

/** Images sampled together. */
export const batchSize = 64;

/** What says which samples are drawn, and how. */
export interface DrawOptions extends GuidanceOptions, ConditionOptions, ExecutionOptions {
  count: number;
  /** The number of the first sample. Default 0. */
  from?: number;
  plan?: string;
  denoise?: number | true;
  sigma?: number;
  priorTemperature?: number;
  seed: number;
}

/**
 * Draws samples with a progress display, and says on stderr where solvers fell short or samples diverged.
 * @returns the images, in the charge of `own`, how they were made, and how that went
 * @throws UserError for options that do not fit the model
 */
export async function drawnSamples(
  flow: LoadedModel,
  checkpoint: string,
  options: DrawOptions,
  own: Own,
) {
  const { count, from, seed, plan, priorTemperature, mode, precision, textEncoder } = options;
  checkMemory(count, flow.config.image);
  const conditions = await conditionsInTurn(flow, checkpoint, options, count, from);
  const { label, text } = conditions;
  own(text);
  const guidance = guidanceOf(flow, conditions, options);
  const denoise = denoisingOf(flow, checkpoint, options);
  const how = { label, guidance, mode, precision };
  const use = { batch: Math.min(count, batchSize), ...how, captions: options.text, textEncoder };
  const solver = plan === undefined ? undefined : await chosenSolvers(flow, checkpoint, plan, use);
  const shortfalls = noShortfalls(flow.family.blocks ? blocksOf(flow).length : 0);
  const elapsed = stopwatch();
  const images = await withProgress('Sampling', count, (onProgress) =>
    sample(flow, {
      ...how,
      count,
      ...(from !== undefined && { from }),
      seed,
      batchSize,
      text,
      solver,
      denoise,
      priorTemperature,
      onTrace: (trace) => addShortfalls(shortfalls, trace),
      onProgress,
    }),
  );
  const seconds = elapsed();
  own(images);
  const remarks = [
    shortfallText(shortfalls),
    divergedText(images, flow.details, guidance !== undefined),
  ];
  for (const remark of remarks) if (remark) console.error(remark);
  const captions = text && options.text;
  const about = {
    checkpoint,
    seed,
    label,
    guidance,
    denoise,
    plan,
    text: captions,
    priorTemperature,
  };
  return { images, about, solver, ...shortfalls, seconds };
}

/** Segments that iterations did not solve as they should have, in a line; empty where none. */
function shortfallText({ fallbacks, unconverged }: Shortfalls): string {
  const sentence = (what: string, counts: readonly number[]): string[] => {
    const blocks = counts.flatMap((n, block) => (n > 0 ? [`${n} in block ${block}`] : []));
    return blocks.length > 0 ? [`${what}: ${blocks.join(', ')}.`] : [];
  };
  return [
    ...sentence('Segments solved token by token, an iterate being not finite', fallbacks),
    ...sentence('Segments left before they converged, at the most iterations allowed', unconverged),
  ].join(' ');
}

/** How many samples left the range of pictures or are not finite, and what to do; empty where none did. */
function divergedText(
  images: tf.Tensor4D,
  { steps }: LoadedModel['details'],
  guided: boolean,
): string {
  const [count, channels] = images.shape;
  const limit = channels <= 3 ? farthestPixel : Number.MAX_VALUE;
  const farthest = tidy(() => tf.max(tf.abs(images), [1, 2, 3]).dataSync());
  const finite = tidy(() => tf.all(tf.isFinite(images), [1, 2, 3]).dataSync());
  const far = farthest.filter((value, i) => !finite[i] || value > limit).length;
  if (far === 0) return '';
  const trained = steps === undefined ? '' : ` after ${counted(steps, 'step')} of training`;
  const ways = [
    ...(guided ? ['a smaller --guidance'] : []),
    '--prior-temperature 0.9',
    'a longer training (tarflow train --from)',
  ];
  return (
    `${far} of ${counted(count, 'sample')} diverged${trained}: pixels are far beyond black and white, or not ` +
    `finite (magenta in a picture). What helps: ${ways.join(', ')}.`
  );
}
