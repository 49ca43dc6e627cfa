import type Sharp from 'sharp';
import { UserError } from '../../core/errors.js';
import type { DecodingRules } from '../source.js';
import { type ImageSize, sizeOf } from '../source.js';
import { boundsOf, nearlyPublishedImage, publishedImage } from './published-image.js';

/** Names of files that are read as images end so. */
export const imageExtensions = ['png', 'jpg', 'jpeg', 'webp', 'gif', 'tif', 'tiff', 'avif'];

/** An image as a file holds it, and what to call it in an error. */
export interface EncodedImage {
  name: string;
  bytes: Uint8Array;
}

/** An image that cannot be decoded, or not all of it. */
export class DamagedImage extends UserError {}

/**
 * An image as grey levels (channels, height, width). With `crop` and `exact` it is upright, in sRGB or
 * grey with eight bits, what is transparent on white, of several pages the first; `published` and
 * `fast` are {@link publishedImage} and near to it.
 *
 * @param image one channel or three
 * @throws DamagedImage; UserError that names an image that has another size, with `exact`
 */
export async function decodedImage(
  encoded: EncodedImage,
  image: ImageSize,
  fit: DecodingRules['fit'],
): Promise<Uint8Array> {
  if (fit === 'published' || fit === 'fast') {
    const transform = fit === 'fast' ? nearlyPublishedImage : publishedImage;
    return decode(encoded, (sharp) => transform(sharp, encoded.bytes, image));
  }
  const { channels, height, width } = image;
  const { data, info } = await decode(encoded, (sharp) => {
    const pipeline = sharp(encoded.bytes, { ...boundsOf(encoded.bytes), failOn: 'error' })
      .autoOrient()
      .flatten({ background: 'white' })
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .raw({ depth: 'uchar' });
    if (fit === 'crop') pipeline.resize(width, height, { fit: 'cover', position: 'centre' });
    return pipeline.toBuffer({ resolveWithObject: true });
  });
  if (info.width !== width || info.height !== height) {
    throw new UserError(
      `The image ${encoded.name} has ${info.width}×${info.height} pixels`,
      `Expected ${width}×${height} as the first image; name a size to have all cropped to it`,
    );
  }
  return channelFirst(data, image);
}

/** What is known of an image before it is decoded. */
export interface MeasuredImage {
  /** Its size as {@link decodedImage} sees it: upright, with one channel or three. */
  image: ImageSize;
  /** What is lost of it whatever size it is brought to, as after a number of pictures. */
  losses: string[];
}

/** Measures an image; pixels are decoded only where one may be transparent. */
export async function measuredImage(encoded: EncodedImage): Promise<MeasuredImage> {
  const bounds = boundsOf(encoded.bytes);
  const found = await decode(encoded, (sharp) => sharp(encoded.bytes, bounds).metadata());
  const transparent =
    found.hasAlpha &&
    !(await decode(encoded, (sharp) => sharp(encoded.bytes, bounds).stats())).isOpaque;
  const losses = [
    transparent && 'with transparency are put on white',
    found.depth !== 'uchar' && 'with more than 8 bits a channel are cut to 8',
    found.space === 'cmyk' && 'in CMYK come to sRGB',
    (found.pages ?? 1) > 1 && 'with several frames or pages keep the first',
  ].filter((loss) => loss !== false);
  const { width, height } = found.autoOrient;
  const grey = found.space === 'b-w' || found.space === 'grey16';
  return { image: { channels: grey ? 1 : 3, height, width }, losses };
}

/**
 * sharp, which is loaded for the first image: most runs need none of it. Who opens images loads it: a
 * thread may load it only after the main one did.
 */
export function loadedSharp(): typeof Sharp {
  return require('sharp') as typeof Sharp;
}

/** What comes of an image by sharp. */
async function decode<T>(
  { name }: EncodedImage,
  use: (sharp: typeof Sharp) => Promise<T>,
): Promise<T> {
  const sharp = loadedSharp();
  try {
    return await use(sharp);
  } catch (error) {
    // What decoders warned of stands before, a line each.
    const message = (error as Error).message.trim().split('\n').at(-1)!;
    // Of a PNG that ends early its decoder says no more, and side by side nothing at all.
    const reason = /^Unknown error|libpng read error/.test(message)
      ? 'damaged or cut short'
      : message;
    throw new DamagedImage(
      `The image ${name} cannot be decoded (${reason})`,
      'Delete it, or fetch it again',
    );
  }
}

/** Grey levels (channels, height, width) as a picture to encode; one channel or three. */
export function pictureOf(pixels: Uint8Array, image: ImageSize): Sharp.Sharp {
  const { channels, height, width } = image;
  const grey = channels === 1;
  // Channel by channel here, pixel by pixel there.
  const turned = pixels.map(
    (_, i) => pixels[(i % channels) * height * width + Math.floor(i / channels)]!,
  );
  const raw = { width, height, channels: grey ? 1 : 3 } as const;
  // Without a colour space grey pictures would have three channels.
  return loadedSharp()(turned, { raw }).toColourspace(grey ? 'b-w' : 'srgb');
}

/** (height, width, channels) as (channels, height, width). */
function channelFirst(pixels: Uint8Array, image: ImageSize): Uint8Array {
  const { channels } = image;
  if (channels === 1) return pixels;
  const out = new Uint8Array(sizeOf(image));
  const area = image.height * image.width;
  for (let channel = 0, to = 0; channel < channels; channel++) {
    for (let i = 0, from = channel; i < area; i++, from += channels) out[to++] = pixels[from]!;
  }
  return out;
}
