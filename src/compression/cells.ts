import type { Background } from '../flow/background.js';
import { spreadCut, spreadDeviation } from '../flow/background.js';
import { type AnsStack, allFrequencies, CodingError, Frequencies } from './ans-stack.js';

/** Cells in a grey level. Pixels and latents are whole numbers of cells, numbered from 0 upwards. */
const cellsOfLevel = 64;
/** [−1, 1] has 256 grey levels. */
const levels = 256;
const cellsOfUnit = (levels / 2) * cellsOfLevel;

/** The number in the middle of a cell. */
export function middleOf(cell: number): number {
  return (cell + 0.5) / cellsOfUnit;
}

/** The cell of a number. */
export function cellOf(value: number): number {
  return Math.floor(value * cellsOfUnit);
}

/** A scale is a whole number of about so many bits over a power of two. */
const scaleBits = 12;
/** What is divided has to be exact in a double, and its quotients, too. */
const mostProduct = 2 ** 52;

/** (x − mean)·exp(−logScale) on cells: (x − shift)·factor/divisor. */
interface CellScale {
  shift: number;
  factor: number;
  divisor: number;
}

function scaleOf(mean: number, logScale: number): CellScale {
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

/** In so many cells a density is taken to be constant. */
const cellsOfBin = 128;
/** So many deviations from the mean a normal density has bins. */
const farthest = 8;

/** Cells under a normal density: a bin by its frequency, the place in it uniform. */
class NormalCells {
  private readonly frequencies: Frequencies;
  private readonly bins: number;

  /** Bins from the cell `first` on, up to `end` at least. */
  constructor(
    private readonly first: number,
    end: number,
    { mean, deviation }: { mean: number; deviation: number },
  ) {
    this.bins = Math.ceil((end - first) / cellsOfBin);
    this.frequencies = new Frequencies(
      Array.from({ length: this.bins }, (_, bin) => {
        const middle = (first + (bin + 0.5) * cellsOfBin) / cellsOfUnit;
        return Math.exp(-0.5 * ((middle - mean) / deviation) ** 2);
      }),
    );
  }

  has(cell: number): boolean {
    return cell >= this.first && cell < this.first + this.bins * cellsOfBin;
  }

  push(stack: AnsStack, cell: number): void {
    if (!this.has(cell)) throw new CodingError('a cell is beyond the bins');
    const bin = Math.floor((cell - this.first) / cellsOfBin);
    stack.pushUniform(cell - this.first - bin * cellsOfBin, cellsOfBin);
    this.frequencies.push(stack, bin);
  }

  pop(stack: AnsStack): number {
    const bin = this.frequencies.pop(stack);
    return this.first + bin * cellsOfBin + stack.popUniform(cellsOfBin);
  }
}

const standard = new NormalCells(-farthest * cellsOfUnit, farthest * cellsOfUnit, {
  mean: 0,
  deviation: 1,
});
const mostLatent = 2 ** 47;

/** Pushes the cell of a latent, which is a standard normal number; one beyond the bins in full. */
export function pushLatent(stack: AnsStack, cell: number): void {
  if (standard.has(cell)) {
    standard.push(stack, cell);
    stack.push(1, allFrequencies - 1);
    return;
  }
  if (!(Math.abs(cell) < mostLatent)) throw new CodingError('a latent is too large');
  const high = Math.floor((cell + mostLatent) / allFrequencies);
  stack.pushUniform(cell + mostLatent - high * allFrequencies, allFrequencies);
  stack.pushUniform(high, allFrequencies);
  stack.push(0, 1);
}

/** The way back of {@link pushLatent}. */
export function popLatent(stack: AnsStack): number {
  if (stack.place > 0) {
    stack.pop(1, allFrequencies - 1);
    return standard.pop(stack);
  }
  stack.pop(0, 1);
  const high = stack.popUniform(allFrequencies);
  return high * allFrequencies + stack.popUniform(allFrequencies) - mostLatent;
}

/**
 * Dequantisation noise by bits back: a cell of a grey level, uniform, or as `spreadBackground` spreads the
 * level of the background. There the cells of black end where those of level 1 begin, and their noise is
 * the normal one of that map, cut off; white is the mirror image.
 */
export class PixelNoise {
  private readonly black?: NormalCells;
  private readonly mirrored: boolean;

  constructor(background: Background | undefined) {
    this.mirrored = background === 255;
    if (background === undefined) return;
    const mean = firstGrey / cellsOfUnit - spreadCut * spreadDeviation;
    const lowest = (mean - farthest * spreadDeviation) * cellsOfUnit;
    const bins = Math.ceil((firstGrey - lowest) / cellsOfBin);
    const shape = { mean, deviation: spreadDeviation };
    this.black = new NormalCells(firstGrey - bins * cellsOfBin, firstGrey, shape);
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
