import * as fs from 'node:fs';
import * as path from 'node:path';
import { UserError } from '../core/errors.js';
import { readBytes, writeAtomically } from '../core/files.js';
import { tf, tidy } from '../core/tf.js';
import {
  DamagedImage,
  decodedImage,
  measuredImage,
  pictureOf,
} from '../data/encoded/image-file.js';
import { toUnitRange } from '../data/index.js';
import { latentFacts } from '../data/latents/latent-file.js';
import type { ImageSize, LatentFacts } from '../data/source.js';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import { saveImageGrid } from '../show/image-grid.js';
import { checkWritable } from './arguments.js';
import type { ModelAtWork } from './command.js';
import { checkLatentsOf } from './data-options.js';

/** The name under which a safetensors file holds images (count, channels, height, width). */
export const tensorName = 'images';

/** For help texts: what `--out` takes where {@link writeImages} writes. */
export const outForms =
  'a folder for pictures, a .png for a grid of them, a .safetensors for the numbers';

/** How images are written: all their digits, a grid in one picture, or a picture each. */
type Form = 'numbers' | 'grid' | 'folder';

/**
 * How {@link writeImages} writes images, by the name that was given: a folder is one that is there, or
 * ends in a separator or without an extension.
 *
 * @throws UserError for a name that ends as files do which are not written here
 */
function formOf(out: string): Form {
  const ending = /[\\/]$/.test(out) ? '' : path.extname(out);
  if (ending === '.safetensors') return 'numbers';
  if (ending === '.png') return 'grid';
  if (out !== '' && (ending === '' || isFolder(out))) return 'folder';
  throw new UserError(
    `--out is ${out || 'empty'}`,
    `Expected a name that ends in .png or .safetensors, or a folder (${out}${path.sep})`,
  );
}

/** Whether {@link writeImages} makes pictures in a folder of this name. */
export const writesFolder = (out: string): boolean => formOf(out) === 'folder';

/** Whether there is a folder of this name. */
export function isFolder(name: string): boolean {
  return fs.statSync(name, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/**
 * Checks, before images are made, that they can be written.
 * @throws UserError for a name that ends as files do which are not written here, and as `checkWritable`
 */
export async function checkImagesWritable(out: string): Promise<void> {
  // Of a folder, a file in it is what has to be writable.
  await checkWritable(formOf(out) === 'folder' ? path.join(out, 'image.png') : out);
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

interface WrittenImages {
  /** Of the pictures in a folder. Default: `image-0` and so on. */
  names?: readonly string[];
  /** How many stand in a row of a grid. */
  columns?: number | undefined;
  /** What numbers are latents of. */
  latents?: LatentFacts | undefined;
  /** How they were made, for the files' metadata; of what is a list a picture in a folder gets its own entry. */
  about?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Writes images: all their digits into a safetensors file, a grid into a PNG file, or a PNG each
 * into a folder. Pictures are clipped to [−1, 1].
 *
 * @param out ends in .safetensors, in .png, or is a folder's name
 */
export async function writeImages(
  images: tf.Tensor4D,
  out: string,
  {
    names = Array.from({ length: images.shape[0] }, (_, i) => `image-${i}`),
    columns,
    latents = {},
    about,
  }: WrittenImages = {},
): Promise<void> {
  const form = formOf(out);
  if (form === 'numbers') {
    const shape = images.shape.slice();
    const data = await images.data<'float32'>();
    const facts = Object.entries({ ...latents, samples: about && JSON.stringify(about) }).flatMap(
      ([name, value]) => (value === undefined ? [] : [[name, String(value)]]),
    );
    const tensors = { [tensorName]: { shape, dtype: 'F32' as const, data } };
    await writeSafetensors(out, tensors, Object.fromEntries(facts));
  } else if (form === 'grid') {
    await saveImageGrid(images, out, {
      ...(columns !== undefined && { columns }),
      ...(about && { description: JSON.stringify(about) }),
    });
  } else {
    await writePictures(images, out, names, about);
  }
}

async function writePictures(
  images: tf.Tensor4D,
  folder: string,
  names: readonly string[],
  about: WrittenImages['about'],
): Promise<void> {
  const [, channels, height, width] = images.shape;
  const values = await images.data();
  const size = height * width * channels;
  for (const [index, name] of names.entries()) {
    const pixels = Uint8Array.from(values.subarray(index * size, (index + 1) * size), (value) =>
      Math.round((Math.min(1, Math.max(-1, value)) + 1) * 127.5),
    );
    const picture = pictureOf(pixels, { channels, height, width }).png();
    if (about) {
      const own = Object.entries(about).map(([key, value]) => [
        key,
        Array.isArray(value) && value.length === names.length ? value[index] : value,
      ]);
      const description = JSON.stringify({ ...Object.fromEntries(own), image: index });
      picture.withExif({ IFD0: { ImageDescription: description } });
    }
    await writeAtomically(path.join(folder, `${name}.png`), await picture.toBuffer());
  }
}

function isNumbers(file: string): boolean {
  return path.extname(file) === '.safetensors';
}

/**
 * Images for a model to edit, from files as {@link readImages} takes them.
 *
 * @param out where what becomes of them goes
 * @returns images (count, channels, height, width) in the charge of `own`, a name for each, and the
 *   deviation of the noise that the model was trained with, where that was Gaussian
 * @throws UserError as `readImages` and `checkLatentsOf` do, and for images that cannot be drawn
 */
export async function imagesToEdit(
  { model, own }: Pick<ModelAtWork, 'model' | 'own'>,
  checkpoint: string,
  files: readonly string[],
  out: string,
): Promise<{ images: tf.Tensor4D; names: string[]; sigma: number | undefined }> {
  const { config, details } = model;
  checkDrawable(config.image, out, `The images of ${checkpoint}`);
  const read = await readImages(files, config.image, (file, latents) =>
    checkLatentsOf(model, checkpoint, `the latents of ${file}`, latents),
  );
  own(read.images);
  return { ...read, sigma: details.noise?.kind === 'gaussian' ? details.noise.sigma : undefined };
}

/**
 * Images for a model from files: pictures of the model's size, an image each, and safetensors files
 * with a tensor `images` (count, channels, height, width), values about [−1, 1]. What is lost of a
 * picture, as colour, is said on stderr.
 *
 * @param check called with what a safetensors file says of the latents that it holds; it may throw
 * @returns images (count, channels, height, width), which the caller frees, and a name for each
 * @throws UserError for a file that holds no images, or images of another size; as `check` does
 */
export async function readImages(
  files: readonly string[],
  size: ImageSize,
  check: (file: string, latents: LatentFacts) => void = () => {},
): Promise<{ images: tf.Tensor4D; names: string[] }> {
  const { channels, height, width } = size;
  const expected = `${channels}, ${height}, ${width}`;
  const parts: Numbers[] = [];
  const names: string[] = [];
  for (const file of files) {
    const stem = path.basename(file, path.extname(file));
    if (!isNumbers(file)) {
      parts.push({ shape: [1, channels, height, width], values: await readPicture(file, size) });
      names.push(stem);
      continue;
    }
    const part = await readNumbers(file, expected);
    check(file, part.latents ?? {});
    const [count, ...sides] = part.shape;
    if (count === 0 || sides.join(', ') !== expected) {
      throw wrongShape(file, part, `This model takes (count, ${expected})`);
    }
    parts.push(part);
    for (let i = 0; i < count; i++) names.push(`${stem}-${i}`);
  }
  return { images: joined(parts), names };
}

/**
 * Images of any size from a safetensors file, as `tarflow sample` writes it.
 *
 * @returns (count, channels, height, width), which the caller frees
 * @throws UserError for a file that holds no images, or one that is not finite
 */
export async function readImageTensor(file: string): Promise<tf.Tensor4D> {
  const numbers = await readNumbers(file, anySize);
  if (numbers.shape.includes(0)) throw wrongShape(file, numbers, `Expected (count, ${anySize})`);
  return joined([numbers]);
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
): Promise<{ images: tf.Tensor4D } & LatentFacts> {
  const parts: Numbers[] = [];
  for (const file of files) {
    const part = await readNumbers(file, anySize, ['latents', tensorName]);
    const first = parts[0] ?? part;
    if (part.shape.slice(1).join() !== first.shape.slice(1).join()) {
      throw wrongShape(file, part, `Expected latents like those of ${files[0]}`);
    }
    if (part.latents?.scale !== first.latents?.scale) {
      throw new UserError(
        `${file} has latents of the scale ${part.latents?.scale}, ${files[0]} of ${first.latents?.scale}`,
        'Decode them one after the other',
      );
    }
    parts.push(part);
  }
  return { images: joined(parts), ...parts[0]?.latents };
}

/** Images on the host, and of what they are latents. */
interface Numbers {
  shape: [count: number, channels: number, height: number, width: number];
  values: Float32Array;
  /** The name of their tensor. */
  name?: string;
  latents?: LatentFacts | undefined;
}

const anySize = 'channels, height, width';

function joined(parts: readonly Numbers[]): tf.Tensor4D {
  return tidy(() =>
    tf.concat(
      parts.map(({ values, shape }) => tf.tensor4d(values, shape)),
      0,
    ),
  );
}

function wrongShape(
  file: string,
  { shape, name }: { shape: readonly number[]; name?: string },
  remedy: string,
): UserError {
  return new UserError(`${file}: '${name}' has shape (${shape.join(', ')})`, remedy);
}

/**
 * Images or latents in a safetensors file.
 *
 * @param expected their size, for the errors
 * @param names of the tensor, the first of which there is one
 * @throws UserError for a file without such a tensor, for one of another rank, or a number that is not finite
 */
async function readNumbers(
  file: string,
  expected: string,
  names: readonly string[] = [tensorName],
): Promise<Numbers> {
  const { metadata, tensors } = await readSafetensors(file);
  const name = names.find((one) => tensors[one]) ?? tensorName;
  const found = tensors[name];
  if (!found) {
    throw new UserError(
      `${file} has no tensor '${name}'`,
      `Expected one of shape (count, ${expected}), as tarflow sample writes it`,
    );
  }
  const values = Float32Array.from(found.data);
  const [count = 0, channels, height, width, ...more] = found.shape;
  const broken = values.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) {
    throw new UserError(
      `${file}: image ${Math.floor(broken / (values.length / count))} is not finite`,
      'Leave it out',
    );
  }
  if (channels === undefined || height === undefined || width === undefined || more.length > 0) {
    throw wrongShape(file, { shape: found.shape, name }, `Expected (count, ${expected})`);
  }
  const latents = latentFacts({ path: file, metadata });
  return { shape: [count, channels, height, width], values, name, latents };
}

/** @throws UserError for a file that is no picture, and for one of another size */
async function readPicture(file: string, image: ImageSize): Promise<Float32Array> {
  const encoded = { name: file, bytes: await readBytes(file) };
  const measured = await measuredImage(encoded).catch((error) => {
    if (!(error instanceof DamagedImage)) throw error;
    throw new UserError(error.problem, 'Expected a PNG file, or another format that sharp reads');
  });
  const { height, width } = measured.image;
  if (height !== image.height || width !== image.width) {
    throw new UserError(
      `${file} has ${width}×${height} pixels`,
      `This model takes ${image.width}×${image.height}`,
    );
  }
  const grey = image.channels === 1 && measured.image.channels === 3;
  for (const loss of [...(grey ? ['in colour become grey'] : []), ...measured.losses]) {
    console.error(`${file}: for this model, pictures ${loss}.`);
  }
  return toUnitRange(await decodedImage(encoded, image, 'exact'));
}
