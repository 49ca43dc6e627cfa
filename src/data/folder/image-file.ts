import type Sharp from 'sharp';
import { UserError } from '../../backend/errors.js';
import { readBytes } from '../../backend/files.js';
import type { FolderDescription } from '../description.js';
import { type ImageSize, sizeOf } from '../source.js';

/** Names of files that are read as images end so. */
export const imageExtensions = ['png', 'jpg', 'jpeg', 'webp', 'gif', 'tif', 'tiff', 'avif'];

/**
 * An image file as grey levels (channels, height, width): upright, in sRGB or grey with eight bits,
 * what is transparent on white, of several pages the first. With `crop` it is scaled until it covers
 * the size asked for, and the middle is cut out.
 *
 * @param image one channel or three
 * @throws FileUnreadable; UserError that names the file where it is damaged, or, with `exact`, of
 *   another size
 */
export async function decodedImage(
  file: string,
  image: ImageSize,
  fit: FolderDescription['fit'],
): Promise<Uint8Array> {
  const { channels, height, width } = image;
  const { data, info } = await read(file, (encoded) => {
    const pipeline = encoded
      .autoOrient()
      .flatten({ background: 'white' })
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .raw({ depth: 'uchar' });
    if (fit === 'crop') pipeline.resize(width, height, { fit: 'cover', position: 'centre' });
    return pipeline.toBuffer({ resolveWithObject: true });
  });
  if (info.width !== width || info.height !== height) {
    throw new UserError(
      `The image ${file} has ${info.width}×${info.height} pixels`,
      `Expected ${width}×${height} as the first image; name a size to have all cropped to it`,
    );
  }
  return channelFirst(data, image);
}

/** The size of an image file as {@link decodedImage} sees it: upright, with one channel or three. */
export async function measuredImage(file: string): Promise<ImageSize> {
  const found = await read(file, (encoded) => encoded.metadata());
  const { width, height } = found.autoOrient;
  const grey = found.space === 'b-w' || found.space === 'grey16';
  return { channels: grey ? 1 : 3, height, width };
}

/** What comes of a file by sharp, which is loaded for the first image: most runs need none of it. */
async function read<T>(file: string, decode: (encoded: Sharp.Sharp) => Promise<T>): Promise<T> {
  const sharp = require('sharp') as typeof Sharp;
  // Not by its path, under which sharp keeps what it has read of a file.
  const bytes = await readBytes(file);
  try {
    return await decode(sharp(bytes));
  } catch (error) {
    throw new UserError(
      `The image ${file} cannot be decoded (${(error as Error).message})`,
      'Delete it, or fetch it again',
    );
  }
}

/** (height, width, channels) as (channels, height, width). */
function channelFirst(pixels: Uint8Array, image: ImageSize): Uint8Array {
  const { channels } = image;
  if (channels === 1) return pixels;
  const out = new Uint8Array(sizeOf(image));
  const area = image.height * image.width;
  for (let channel = 0, to = 0; channel < channels; channel++) {
    for (let i = 0, from = channel; i < area; i++, from += channels)
      out[to++] = pixels[from] as number;
  }
  return out;
}
