import { at } from '../../core/errors.js';
import { tf } from '../../core/tf.js';
import { gridOf } from '../../flow/patches.js';
import { type Rotary, rotaryOf } from '../../nn/rotary.js';
import { captionNumbers, prefixEntries, type StarFlowConfig } from './config.js';

/** Angles fall from 1 by powers of this. */
const base = 10_000;

/**
 * The angles by which queries and keys turn (entries, headWidth), both numbers of a pair alike: first
 * those of a class or a caption, where `withPrefix` asks for them, then those of the tokens in raster
 * order. A block that reads in reverse takes them in the same order: they belong to places in its
 * sequence. The grid is scaled to the one of training (STARFlow, section 3.2 and its published code).
 */
export function angleTable(config: StarFlowConfig, withPrefix: boolean): Float32Array {
  const entries = prefixEntries(config);
  const [rows, columns] = gridOf(config);
  const scale = config.gridSide / Math.sqrt(rows * columns);
  const places: [row: number, column: number, caption: number][] = [];
  if (withPrefix) {
    for (let k = 0; k < entries; k++) places.push([0, 0, (k / entries) * config.gridSide]);
  }
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      places.push([row * scale, column * scale, 0]);
    }
  }
  // Pairs of a head: half of those that are not a caption's turn by row, half by column.
  const forCaptions = entries > 0 ? captionNumbers / 2 : 0;
  const forGrid = config.headWidth / 2 - forCaptions;
  const gridRates = Array.from({ length: forGrid / 2 }, (_, j) => base ** ((-2 * j) / forGrid));
  const captionRates = Array.from({ length: forCaptions }, (_, j) => base ** (-j / forCaptions));
  const angles = places.flatMap(([row, column, caption]) => [
    ...gridRates.map((rate) => row * rate),
    ...gridRates.map((rate) => column * rate),
    ...captionRates.map((rate) => caption * rate),
  ]);
  return Float32Array.from({ length: 2 * angles.length }, (_, i) => at(angles, i >> 1));
}

/** Cosines and sines of {@link angleTable}. */
export function rotaryTable(config: StarFlowConfig, withPrefix: boolean): Rotary {
  const angles = angleTable(config, withPrefix);
  const { headWidth } = config;
  return rotaryOf(tf.tensor2d(angles, [angles.length / headWidth, headWidth]));
}
