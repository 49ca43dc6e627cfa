import type { Background } from '../flow/background.js';
import { spreadCut, spreadDeviation } from '../flow/background.js';
import { type AnsStack, allFrequencies, CodingError } from './ans-stack.js';

/** Cells in a grey level. Pixels and latents are whole numbers of cells, numbered from 0 upwards. */
const cellsOfLevel = 64;
/** [−1, 1] has 256 grey levels. */
const levels = 256;
const cellsOfUnit = (levels / 2) * cellsOfLevel;

/** The number in the middle of a cell. */
export function middleOf(cell: number): number {
  return (cell + 0.5) / cellsOfUnit;
}

/** A scale is a whole number of about so many bits over a power of two. */
const scaleBits = 12;
/** What is divided has to be exact in a double, and its quotients, too. */
const mostProduct = 2 ** 52;

/** (x − mean)·exp(−logScale) on cells: (x − shift)·factor/divisor in whole numbers. */
function scaleOf(mean: number, logScale: number) {
  if (!Number.isFinite(mean) || !Number.isFinite(logScale)) {
    throw new CodingError('a prediction is not finite');
  }
  const scale = Math.exp(-logScale);
  const bits = Math.min(Math.max(scaleBits - Math.floor(Math.log2(scale)), 0), 24);
  const factor = Math.min(Math.max(Math.round(scale * 2 ** bits), 1), allFrequencies);
  return { shift: Math.round(mean * cellsOfUnit), factor, divisor: 2 ** bits };
}

function exact(product: number): number {
  if (Math.abs(product) <= mostProduct) return product;
  throw new CodingError('a latent is too large');
}

/**
 * The cell of (x − mean)·exp(−logScale) from that of x, one to one: the remainder that a smaller scale
 * loses is pushed, what a larger one has to know beside is popped (the modular scale transform of iFlow;
 * Zhang et al. 2021). The stack grows by logScale/ln 2 bits, as the density asks.
 */
export function normalise(stack: AnsStack, cell: number, mean: number, logScale: number): number {
  const { shift, factor, divisor } = scaleOf(mean, logScale);
  const product = exact((cell - shift) * factor) + stack.popUniform(factor);
  const quotient = Math.floor(product / divisor);
  stack.pushUniform(product - quotient * divisor, divisor);
  return quotient;
}

/** The way back of {@link normalise}. */
export function denormalise(stack: AnsStack, cell: number, mean: number, logScale: number): number {
  const { shift, factor, divisor } = scaleOf(mean, logScale);
  const product = exact(cell * divisor) + stack.popUniform(divisor);
  const quotient = Math.floor(product / factor);
  stack.pushUniform(product - quotient * factor, factor);
  return quotient + shift;
}

/** Cells from `first` on by their weights: a bin of cells by its frequency, the place in it uniform. */
export class Bins {
  /** Where each bin's frequencies start, and where the last one's end; none has the frequency 0. */
  private readonly starts: Uint32Array;

  constructor(
    private readonly first: number,
    private readonly width: number,
    weights: readonly number[],
  ) {
    const sum = weights.reduce((a, b) => a + b, 0);
    const shares = weights.map(
      (weight) => 1 + Math.floor((weight / sum) * (allFrequencies - weights.length)),
    );
    // What rounding leaves goes where it changes least.
    const largest = weights.indexOf(weights.reduce((a, b) => Math.max(a, b)));
    shares[largest]! += allFrequencies - shares.reduce((a, b) => a + b, 0);
    this.starts = new Uint32Array(shares.length + 1);
    shares.forEach((share, bin) => {
      this.starts[bin + 1] = this.starts[bin]! + share;
    });
  }

  /** @throws CodingError for a cell of no bin */
  push(stack: AnsStack, cell: number): void {
    const bin = Math.floor((cell - this.first) / this.width);
    const [start, end] = [this.starts[bin], this.starts[bin + 1]];
    if (start === undefined || end === undefined) throw new CodingError('a number is too far out');
    stack.pushUniform(cell - this.first - bin * this.width, this.width);
    stack.push(start, end - start);
  }

  pop(stack: AnsStack): number {
    const { place } = stack;
    let [low, high] = [0, this.starts.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle]! <= place) low = middle;
      else high = middle;
    }
    const start = this.starts[low]!;
    stack.pop(start, this.starts[low + 1]! - start);
    return this.first + low * this.width + stack.popUniform(this.width);
  }
}

/**
 * Cells under a normal density, in bins of an eighth of its deviation, each as if the density were constant.
 *
 * @param reach so many deviations below the mean the bins begin
 * @param end the cell before which they end
 */
function normalBins(mean: number, deviation: number, reach: number, end: number): Bins {
  const width = Math.floor(deviation / 8);
  const bins = Math.ceil((end - mean + reach * deviation) / width);
  const first = end - bins * width;
  const weights = Array.from({ length: bins }, (_, bin) => {
    const middle = first + (bin + 0.5) * width;
    return Math.exp(-0.5 * ((middle - mean) / deviation) ** 2);
  });
  return new Bins(first, width, weights);
}

/** Latents are coded up to so many deviations: a pixel that a sharp density did not expect goes far. */
const farthest = 1024;

/** Cells of latents, which are standard normal numbers. */
export const latentCells: Bins = normalBins(0, cellsOfUnit, farthest, farthest * cellsOfUnit);

/**
 * Dequantisation noise by bits back: a cell of a grey level, uniform, or as `spreadBackground` spreads the
 * level of the background. There the cells of black end where those of level 1 begin, and their noise is
 * the normal one of that map, cut off; white is the mirror image.
 */
export class PixelNoise {
  private readonly black?: Bins;
  private readonly mirrored: boolean;

  constructor(background: Background | undefined) {
    this.mirrored = background === 255;
    if (background === undefined) return;
    const deviation = spreadDeviation * cellsOfUnit;
    this.black = normalBins(firstGrey - spreadCut * deviation, deviation, 8, firstGrey);
  }

  /** Draws a cell of a grey level. */
  draw(stack: AnsStack, level: number): number {
    const grey = this.mirrored ? levels - 1 - level : level;
    const cell =
      grey === 0 && this.black
        ? this.black.pop(stack)
        : (grey - levels / 2) * cellsOfLevel + stack.popUniform(cellsOfLevel);
    return this.mirrored ? -1 - cell : cell;
  }

  /** The grey level of a cell, whose noise is put back. */
  putBack(stack: AnsStack, drawn: number): number {
    const cell = this.mirrored ? -1 - drawn : drawn;
    let grey = 0;
    if (cell < firstGrey && this.black) this.black.push(stack, cell);
    else {
      const level = Math.floor(cell / cellsOfLevel);
      stack.pushUniform(cell - level * cellsOfLevel, cellsOfLevel);
      grey = level + levels / 2;
    }
    if (!(grey >= 0 && grey < levels)) throw new CodingError('a cell of no grey level');
    return this.mirrored ? levels - 1 - grey : grey;
  }
}

/** The first cell of level 1. */
const firstGrey = (1 - levels / 2) * cellsOfLevel;
