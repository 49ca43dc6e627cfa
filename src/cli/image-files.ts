import * as fs from 'node:fs';
import * as path from 'node:path';
import { UserError } from '../core/errors.js';
import { readBytes, writeAtomically } from '../core/files.js';
import { tf } from '../core/tf.js';
import type { LatentFacts } from '../data/description.js';
import { toUnitRange } from '../data/index.js';
import { latentFacts } from '../data/latents/latent-file.js';
import type { ImageSize } from '../data/source.js';
import { readSafetensors, type Safetensors, writeSafetensors } from '../formats/safetensors.js';
import { saveImageGrid } from '../show/image-grid.js';
import { sharp } from '../show/sharp.js';
import { checkWritable } from './arguments.js';

/** The name under which a safetensors file holds images (count, channels, height, width). */
const tensorName = 'images';

/**
 * Images for a model from files: pictures of the model's size, an image each, and safetensors files
 * with a tensor `images` (count, channels, height, width), values about [−1, 1].
 *
 * @param check called with what a safetensors file says of latents that it holds; it may throw
 * @returns images (count, channels, height, width), which the caller frees, and a name for each
 * @throws UserError for a file that holds no images, or images of another size; as `check` does
 */
export async function readImages(
  files: readonly string[],
  { image }: { image: ImageSize },
  check: (file: string, latents: LatentFacts) => void = () => {},
): Promise<{ images: tf.Tensor4D; names: string[] }> {
  const size = image.channels * image.height * image.width;
  const parts: Float32Array[] = [];
  const names: string[] = [];
  for (const file of files) {
    const stem = path.basename(file, path.extname(file));
    const values = isNumbers(file)
      ? await readNumbers(file, image, check)
      : await readPicture(file, image);
    const count = values.length / size;
    parts.push(values);
    for (let i = 0; i < count; i++) names.push(isNumbers(file) ? `${stem}-${i}` : stem);
  }
  const all = new Float32Array(names.length * size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return {
    images: tf.tensor4d(all, [names.length, image.channels, image.height, image.width]),
    names,
  };
}

/**
 * Checks, before images are made, that {@link writeImages} can write them.
 *
 * @param what they are called, in the plural
 * @throws UserError for pictures of neither one channel nor three, as of latents
 */
export function checkDrawable({ channels }: ImageSize, out: string, what: string): void {
  if (isNumbers(out) || channels === 1 || channels === 3) return;
  throw new UserError(
    `${what} have ${channels} channels, and pictures (--out ${out}) have one or three`,
    'Give a .safetensors file as --out, and where these are latents bring them into pictures by ' +
      '`tarflow decode AUTOENCODER --in FILE.safetensors --out grid.png`',
  );
}

/** How images are written: all their digits, a grid in one picture, or a picture each. */
type Form = 'numbers' | 'grid' | 'folder';

/**
 * How {@link writeImages} writes images, by the name that was given: a folder is one that is there, or
 * ends in a separator or without an extension.
 *
 * @throws UserError for a name that ends as files do which are not written here
 */
export function formOf(out: string): Form {
  const ending = /[\\/]$/.test(out) ? '' : path.extname(out);
  if (ending === '.safetensors') return 'numbers';
  if (ending === '.png') return 'grid';
  if (ending === '' || isFolder(out)) return 'folder';
  throw new UserError(
    `--out is ${out}`,
    `Expected a name that ends in .png or .safetensors, or a folder (${out}${path.sep})`,
  );
}

function isFolder(name: string): boolean {
  return fs.existsSync(name) && fs.statSync(name).isDirectory();
}

/**
 * Checks, before images are made, that they can be written.
 * @throws UserError as {@link formOf} and `checkWritable` do
 */
export async function checkImagesWritable(out: string): Promise<void> {
  // Of a folder, a file in it is what has to be writable.
  await checkWritable(formOf(out) === 'folder' ? path.join(out, 'image.png') : out);
}

/**
 * Checks, before images are made, that each has a name of its own where they are written into a folder.
 *
 * @throws UserError that tells the name that two have
 */
export function checkNames(out: string, names: readonly string[]): void {
  if (formOf(out) !== 'folder') return;
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice === undefined) return;
  throw new UserError(
    `Two images would become ${path.join(out, `${twice}.png`)}`,
    'Give files of different names, or a .png or .safetensors file as --out',
  );
}

/**
 * Writes images: all their digits into a safetensors file, a grid into a PNG file, or a PNG each
 * into a folder. Pictures are clipped to [−1, 1].
 *
 * @param out ends in .safetensors, in .png, or is a folder's name
 * @param names of the pictures in a folder
 * @param latents of what they are latents, for a safetensors file
 */
export async function writeImages(
  images: tf.Tensor4D,
  out: string,
  names: readonly string[],
  latents: LatentFacts = {},
): Promise<void> {
  const [, channels, height, width] = images.shape;
  const form = formOf(out);
  if (form === 'numbers') {
    const data = images.dataSync() as Float32Array;
    await writeSafetensors(
      out,
      { [tensorName]: { shape: images.shape.slice(), dtype: 'F32', data } },
      {
        ...(latents.scale !== undefined && { scale: String(latents.scale) }),
        ...(latents.autoencoder !== undefined && { autoencoder: latents.autoencoder }),
      },
    );
    return;
  }
  if (form === 'grid') {
    await saveImageGrid(images, out);
    return;
  }
  const values = await images.data();
  const size = channels * height * width;
  for (const [index, name] of names.entries()) {
    const pixels = Buffer.alloc(size);
    for (let i = 0; i < size; i++) {
      // Channel by channel here, pixel by pixel there.
      const at = (i % (height * width)) * channels + Math.floor(i / (height * width));
      const value = values[index * size + i] as number;
      pixels[at] = Math.round((Math.min(1, Math.max(-1, value)) + 1) * 127.5);
    }
    const picture = sharp()(pixels, { raw: { width, height, channels: channels as 1 | 3 } })
      // Without it grey pictures would have three channels.
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .png();
    await writeAtomically(path.join(out, `${name}.png`), await picture.toBuffer());
  }
}

function isNumbers(file: string): boolean {
  return path.extname(file) === '.safetensors';
}

/**
 * Images of any size from a safetensors file, as `tarflow sample` writes it.
 *
 * @returns (count, channels, height, width), which the caller frees
 * @throws UserError for a file that holds no images, or one that is not finite
 */
export async function readImageTensor(file: string): Promise<tf.Tensor4D> {
  const { shape, values } = await readFiniteNumbers(file, 'channels, height, width');
  if (shape.length === 4 && shape.every((side) => side > 0)) {
    return tf.tensor4d(values, shape as [number, number, number, number]);
  }
  throw new UserError(
    `${file}: '${tensorName}' has shape (${shape.join(', ')})`,
    'Expected (count, channels, height, width)',
  );
}

/**
 * Latents from safetensors files, as `tarflow encode` and `tarflow sample` write them.
 *
 * @returns (count, channels, height, width), which the caller frees, by what the files say that they were
 *   multiplied, if they do, and by what autoencoder the first file says that they were made
 * @throws UserError for a file that holds none, or some that are not finite; for files of latents of
 *   several sizes or scales
 */
export async function readLatents(
  files: readonly string[],
): Promise<{ latents: tf.Tensor4D } & LatentFacts> {
  const parts: ({ shape: number[]; values: Float32Array } & LatentFacts)[] = [];
  for (const file of files) {
    const { metadata, tensors } = await readSafetensors(file);
    const name = tensors.latents ? 'latents' : tensorName;
    const expected = 'channels, height, width';
    const { shape, values } = finiteNumbers(file, { tensors }, expected, name);
    const { scale, autoencoder } = latentFacts({ path: file, metadata }) ?? {};
    const first = parts[0] ?? { shape, scale };
    if (shape.length !== 4 || shape.slice(1).join() !== first.shape.slice(1).join()) {
      throw new UserError(
        `${file}: '${name}' has shape (${shape.join(', ')})`,
        parts[0] ? `Expected latents like those of ${files[0]}` : `Expected (count, ${expected})`,
      );
    }
    if (scale !== first.scale) {
      throw new UserError(
        `${file} has latents of the scale ${scale}, ${files[0]} of ${first.scale}`,
        'Decode them one after the other',
      );
    }
    parts.push({ shape, values, scale, autoencoder });
  }
  const tensors = parts.map(({ shape, values }) =>
    tf.tensor4d(values, shape as [number, number, number, number]),
  );
  const latents = tf.concat(tensors, 0);
  tf.dispose(tensors);
  return { latents, scale: parts[0]?.scale, autoencoder: parts[0]?.autoencoder };
}

async function readNumbers(
  file: string,
  image: ImageSize,
  check: (file: string, latents: LatentFacts) => void,
): Promise<Float32Array> {
  const expected = [image.channels, image.height, image.width].join(', ');
  const opened = await readSafetensors(file);
  const { shape, values } = finiteNumbers(file, opened, expected, tensorName);
  check(file, latentFacts({ path: file, metadata: opened.metadata }) ?? {});
  const [count = 0, ...size] = shape;
  if (count > 0 && size.join(', ') === expected) return values;
  throw new UserError(
    `${file}: '${tensorName}' has shape (${shape.join(', ')})`,
    `This model takes (count, ${expected})`,
  );
}

async function readFiniteNumbers(
  file: string,
  expected: string,
): Promise<{ shape: number[]; values: Float32Array }> {
  return finiteNumbers(file, await readSafetensors(file), expected, tensorName);
}

function finiteNumbers(
  file: string,
  { tensors }: Pick<Safetensors, 'tensors'>,
  expected: string,
  name: string,
): { shape: number[]; values: Float32Array } {
  const found = tensors[name];
  if (!found) {
    throw new UserError(
      `${file} has no tensor '${name}'`,
      `Expected one of shape (count, ${expected}), as tarflow sample writes it`,
    );
  }
  const [count = 0] = found.shape;
  const values = Float32Array.from(found.data);
  const broken = values.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) {
    throw new UserError(
      `${file}: image ${Math.floor(broken / (values.length / count))} is not finite`,
      'Leave it out',
    );
  }
  return { shape: found.shape, values };
}

async function readPicture(file: string, image: ImageSize): Promise<Float32Array> {
  const bytes = await readBytes(file);
  const { channels, height, width } = image;
  const decoded = sharp()(bytes)
    .flatten({ background: '#ffffff' })
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { data, info } = await decoded.catch((error: Error) => {
    throw new UserError(
      `${file} is not a picture (${error.message})`,
      'Expected a PNG file, or another format that sharp reads',
    );
  });
  if (info.height !== height || info.width !== width) {
    throw new UserError(
      `${file} has ${info.width}×${info.height} pixels`,
      `This model takes ${width}×${height}`,
    );
  }
  const pixels = new Uint8Array(channels * height * width);
  for (let i = 0; i < pixels.length; i++) {
    const [channel, place] = [Math.floor(i / (height * width)), i % (height * width)];
    pixels[i] = data[place * info.channels + channel] as number;
  }
  return toUnitRange(pixels);
}
