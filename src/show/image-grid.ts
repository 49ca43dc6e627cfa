import * as path from 'node:path';
import { UserError } from '../core/errors.js';
import { writeAtomically } from '../core/files.js';
import { tf } from '../core/tf.js';
import { displayPng } from './display.js';
import { escapeXml, fontFamily, pagePng, sharp } from './sharp.js';
import { wordsInLines } from './table.js';

/** Images on the host: (batch, channels, height, width) in row-major order, values in [−1, 1]. */
export interface HostImages {
  data: Float32Array;
  shape: readonly [number, number, number, number];
}

/** A (batch, channels, height, width) tensor in [−1, 1], or the same on the host. */
export type Images = tf.Tensor4D | HostImages;

export interface GridOptions {
  /** Images in a row; by default the grid is square. */
  columns?: number;
  /** Pixels of the picture for one pixel of an image; by default images are about 56 wide. */
  scale?: number;
  /** Pixels between images. Default 2. */
  gap?: number;
  title?: string;
  /** Labels to the left of the rows, from the top. */
  rowLabels?: readonly string[];
  /** Labels above the columns, from the left. */
  columnLabels?: readonly string[];
  /** What the picture shows: in a notebook its alternative text; goes into the file, too (EXIF). */
  description?: string;
}

/**
 * Images side by side as a PNG picture in which each pixel is a sharp square. Values beyond [−1, 1]
 * are clamped. A value that is not a finite number is magenta, so that it is not taken for a colour.
 *
 * @param images one channel (grey) or three (red, green, blue); not disposed
 * @throws UserError for another number of channels, no images, or labels that do not fit the grid
 */
export async function imageGrid(images: Images, options: GridOptions = {}): Promise<Buffer> {
  return (await draw(images, options)).png;
}

/**
 * Shows a grid of images below the cell; in plain Node.js it prints a description.
 * @throws UserError as {@link imageGrid}
 */
export async function showImages(images: Images, options: GridOptions = {}): Promise<void> {
  const { png, size } = await draw(images, options);
  const small = await sharp()(png).png(pagePng).toBuffer();
  const text = `[images] ${images.shape.join(' × ')} ${options.title ?? ''}`.trimEnd();
  displayPng(small, text, { ...size, alt: options.description ?? text });
}

/**
 * Writes a grid of images into a PNG file, which is written whole or not at all.
 * @throws UserError as {@link imageGrid}, for another file extension, and for a folder that cannot
 *   be written
 *
 * @example
 * ```ts
 * import { imagesTensor, loadDataset, saveImageGrid, startEngine } from 'tarflow';
 *
 * await startEngine();
 * const data = await loadDataset('fashion-mnist', 'validation');
 * await saveImageGrid(imagesTensor(data, [0, 1, 2, 3]), 'images.png', { title: 'Clothes' });
 * ```
 */
export async function saveImageGrid(
  images: Images,
  file: string,
  options: GridOptions = {},
): Promise<void> {
  if (path.extname(`${file}`) !== '.png') {
    throw new UserError(`The pictures' file is ${file}`, 'Expected a name that ends in .png');
  }
  await writeAtomically(file, await imageGrid(images, options));
}

const targetSize = 56;
const fontSize = 13;
const lineHeight = 17;
const titleHeight = 30;
/** The width of a letter of DejaVu Sans, as a share of the font size. */
const letterWidth = 0.6;

async function draw(
  images: Images,
  options: GridOptions,
): Promise<{ png: Buffer; size: { width: number; height: number } }> {
  const grid = gridOf(images.shape, options);
  const values = images instanceof tf.Tensor ? await images.data() : images.data;
  const input = pixelsOf(values, images.shape, grid);
  const layout = layoutOf(grid, options);
  const { size, left, top } = layout;
  const raw = { width: grid.width, height: grid.height, channels: 3 } as const;
  const picture = sharp()({ create: { ...size, channels: 3, background: '#ffffff' } }).composite([
    { input, raw, left, top },
    { input: Buffer.from(labelsSvg(grid, layout, options)), left: 0, top: 0 },
  ]);
  const { description } = options;
  if (description) picture.withExif({ IFD0: { ImageDescription: description } });
  return { png: await picture.png({ compressionLevel: 9 }).toBuffer(), size };
}

/** Where images stand in a grid, in pixels of the picture. */
interface Grid {
  columns: number;
  scale: number;
  gap: number;
  cell: { width: number; height: number };
  width: number;
  height: number;
}

/** @throws UserError for images that cannot be drawn, and for options that do not fit them */
function gridOf([count, channels, height, width]: HostImages['shape'], options: GridOptions): Grid {
  if (channels !== 1 && channels !== 3) {
    throw new UserError(
      `Images of ${channels} channels cannot be drawn`,
      'Expected shape (batch, channels, height, width) with 1 channel (grey) or 3 (colour)',
    );
  }
  if (count * height * width === 0) {
    throw new UserError(
      `There is nothing to draw in images of shape (${count}, ${channels}, ${height}, ${width})`,
      'Expected one image or more',
    );
  }
  const asked = options.columns ?? Math.ceil(Math.sqrt(count));
  const columns = Math.min(asked, Math.max(count, options.columnLabels?.length ?? 0));
  const rows = Math.ceil(count / columns);
  const scale = options.scale ?? Math.max(1, Math.round(targetSize / width));
  const gap = options.gap ?? 2;
  checkWhole('columns', asked, 1);
  checkWhole('scale', scale, 1);
  checkWhole('gap', gap, 0);
  checkLabels('row', options.rowLabels, rows);
  checkLabels('column', options.columnLabels, columns);
  const cell = { width: width * scale, height: height * scale };
  return {
    columns,
    scale,
    gap,
    cell,
    width: columns * cell.width + (columns - 1) * gap,
    height: rows * cell.height + (rows - 1) * gap,
  };
}

/** Red, green and blue of each pixel of a grid, row by row, white between the images. */
function pixelsOf(
  values: ArrayLike<number>,
  [count, channels, height, width]: HostImages['shape'],
  { columns, scale, gap, cell, ...grid }: Grid,
): Buffer {
  const pixels = Buffer.alloc(grid.width * grid.height * 3, 255);
  const area = height * width;
  const step = channels === 1 ? 0 : area;
  for (let index = 0; index < count; index++) {
    const left = (index % columns) * (cell.width + gap);
    const top = Math.floor(index / columns) * (cell.height + gap);
    for (let place = 0; place < area; place++) {
      const [x, y] = [left + (place % width) * scale, top + Math.floor(place / width) * scale];
      const first = index * channels * area + place;
      const sum = values[first]! + values[first + step]! + values[first + 2 * step]!;
      for (let channel = 0; channel < 3; channel++) {
        const value = Math.min(1, Math.max(-1, values[first + channel * step]!));
        const level = Number.isFinite(sum) ? Math.round((value + 1) * 127.5) : magenta[channel]!;
        for (let row = y; row < y + scale; row++) {
          const begin = 3 * (row * grid.width + x) + channel;
          for (let i = 0; i < scale; i++) pixels[begin + 3 * i] = level;
        }
      }
    }
  }
  return pixels;
}

const magenta = [255, 0, 255];

/** Where the grid and its labels stand in the picture. */
interface Layout {
  size: { width: number; height: number };
  /** The grid's place. */
  left: number;
  top: number;
  columnFont: number;
  /** The lines of each column label. */
  columnLines: string[][];
}

function layoutOf(
  { cell, gap, width, height }: Grid,
  { title, rowLabels = [], columnLabels = [] }: GridOptions,
): Layout {
  const columnWidth = cell.width + gap;
  const columnFont = fittingFont(columnLabels, columnWidth);
  const columnLines = columnLabels.map((label) =>
    wordsInLines(label.split(' '), (line) => textWidth(line, columnFont) <= columnWidth),
  );
  const left = Math.max(0, ...rowLabels.map((label) => textWidth(label) + 12));
  const top =
    (title ? titleHeight : 0) +
    Math.max(0, ...columnLines.map((lines) => lines.length * lineHeight + 5));
  const titleWidth = title ? Math.ceil(1.25 * textWidth(title)) : 0;
  const size = { width: Math.max(left + width, titleWidth), height: top + height };
  return { size, left, top, columnFont, columnLines };
}

function labelsSvg(
  { cell, gap }: Grid,
  { size, left, top, columnFont, columnLines }: Layout,
  { title, rowLabels = [] }: GridOptions,
): string {
  const heading = title
    ? `<text x="0" y="17" font-size="15" font-weight="bold">${escapeXml(title)}</text>`
    : '';
  const columns = columnLines.flatMap((lines, column) => {
    const x = left + column * (cell.width + gap) + cell.width / 2;
    return lines.map((line, number) => {
      const y = top - 7 - (lines.length - 1 - number) * lineHeight;
      return `<text x="${x}" y="${y}" text-anchor="middle" font-size="${columnFont}">${escapeXml(line)}</text>`;
    });
  });
  const rows = rowLabels.map((label, row) => {
    const y = top + row * (cell.height + gap) + cell.height / 2 + fontSize * 0.36;
    return `<text x="${left - 8}" y="${y}" text-anchor="end">${escapeXml(label)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}"
    font-family="${fontFamily}" font-size="${fontSize}" fill="#222222">${[heading, ...columns, ...rows].join('')}</svg>`;
}

function textWidth(text: string, size = fontSize): number {
  return Math.ceil(text.length * letterWidth * size);
}

/** The largest font size, between 9 and the usual one, at which every word fits the width. */
function fittingFont(labels: readonly string[], width: number): number {
  const words = labels.flatMap((label) => label.split(' '));
  const longest = Math.max(1, ...words.map((word) => word.length));
  return Math.max(9, Math.min(fontSize, (width - 2) / (longest * letterWidth)));
}

function checkWhole(name: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new UserError(
      `The option ${name} of an image grid is ${value}`,
      `Expected a whole number, ${least} or more`,
    );
  }
}

function checkLabels(what: string, given: readonly string[] | undefined, expected: number): void {
  if (given && given.length !== expected) {
    throw new UserError(
      `An image grid got ${given.length} ${what} labels`,
      `Expected ${expected}, one for each ${what}`,
    );
  }
}
