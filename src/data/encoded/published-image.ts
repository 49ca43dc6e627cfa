import type Sharp from 'sharp';
import type { ImageSize } from '../source.js';
import { coveringExtent, type Extent, type Pixels, resizedAndCropped } from './resample.js';

/**
 * An encoded image through the transform of the published code: PIL's `convert('RGB')`, then
 * {@link resizedAndCropped}. So it lies as it does in the file, whatever its orientation tag says,
 * colour profiles are not read, transparency is dropped and the colours behind it are kept, and CMYK
 * becomes RGB without a profile. Unlike PIL, which clips them at 255, grey levels of 16 bits are
 * scaled to 8, and what is transparent in a GIF or WebP may have another colour.
 *
 * @param image three channels, or one: PIL's `convert('L')` of the colours
 * @returns (channels, height, width)
 * @throws Error of the decoder where the image is damaged
 */
export async function publishedImage(
  sharp: typeof Sharp,
  bytes: Uint8Array,
  image: ImageSize,
): Promise<Uint8Array> {
  const pixels = await colours(sharp, bytes);
  return resizedAndCropped(image.channels === 1 ? greyOf(pixels) : pixels, image);
}

/**
 * Nearly what {@link publishedImage} gives, of a JPEG in less time: it is scaled down while it is
 * decoded. Other images are treated as there.
 */
export async function nearlyPublishedImage(
  sharp: typeof Sharp,
  bytes: Uint8Array,
  image: ImageSize,
): Promise<Uint8Array> {
  const frame = jpegFrame(bytes);
  if (frame?.components !== 3) return publishedImage(sharp, bytes, image);
  const { height, width } = coveringExtent(frame, image);
  const { data } = await opened(sharp, bytes)
    .resize(width, height, { fit: 'fill', kernel: 'linear' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  // Of this size already: it is cropped, and the order of the numbers changes.
  const pixels = { channels: 3, height, width, data };
  return resizedAndCropped(image.channels === 1 ? greyOf(pixels) : pixels, image);
}

/** `error`: PIL, too, reads past what is odd and not harmful, e.g. bytes behind the picture. */
function opened(sharp: typeof Sharp, bytes: Uint8Array): Sharp.Sharp {
  return sharp(bytes, { ...boundsOf(bytes), ignoreIcc: true, failOn: 'error' });
}

async function colours(sharp: typeof Sharp, bytes: Uint8Array): Promise<Pixels> {
  if (await isCmyk(sharp, bytes)) {
    const { data, info } = await opened(sharp, bytes)
      .pipelineColourspace('cmyk')
      .toColourspace('cmyk')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { ...info, channels: 3, data: rgbOfCmyk(data) };
  }
  const { data, info } = await opened(sharp, bytes)
    .removeAlpha()
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return { ...info, data };
}

async function isCmyk(sharp: typeof Sharp, bytes: Uint8Array): Promise<boolean> {
  const frame = jpegFrame(bytes);
  if (frame) return frame.components === 4;
  return (await sharp(bytes, boundsOf(bytes)).metadata()).space === 'cmyk';
}

/**
 * The size of a JPEG and the components of its pixels, by the header of its frame; nothing for other
 * files. Asking the decoder costs more.
 */
export function jpegFrame(bytes: Uint8Array): (Extent & { components: number }) | undefined {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return undefined;
  for (let at = 2; at + 9 < bytes.length; ) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    // Bytes between two markers may be filled.
    if (marker === 0xff) {
      at++;
      continue;
    }
    // C4, C8 and CC are tables among the markers of frames.
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) {
      const [height, width] = [word(bytes, at + 5), word(bytes, at + 7)];
      return { height, width, components: bytes[at + 9]! };
    }
    at += 2 + word(bytes, at + 2);
  }
  return undefined;
}

function word(bytes: Uint8Array, at: number): number {
  return 256 * bytes[at]! + bytes[at + 1]!;
}

/** PIL's product of two parts of 255, rounded. */
function product(a: number, b: number): number {
  const scaled = a * b + 128;
  return (scaled + (scaled >> 8)) >> 8;
}

function rgbOfCmyk(inks: Uint8Array): Uint8Array {
  const out = new Uint8Array((inks.length / 4) * 3);
  for (let from = 0, to = 0; from < inks.length; from += 4) {
    const light = 255 - inks[from + 3]!;
    for (let ink = 0; ink < 3; ink++) {
      out[to++] = Math.max(0, light - product(inks[from + ink]!, light));
    }
  }
  return out;
}

/** ITU-R 601 in 16 bits, rounded, as PIL has it. */
function greyOf({ height, width, data }: Pixels): Pixels {
  const grey = new Uint8Array(height * width);
  for (let i = 0, at = 0; i < grey.length; i++, at += 3) {
    const sum = data[at]! * 19595 + data[at + 1]! * 38470 + data[at + 2]! * 7471;
    grey[i] = (sum + 0x8000) >> 16;
  }
  return { channels: 1, height, width, data: grey };
}

/** How many pixels a file may say to hold: fewer where it has less than a megabyte, as a trap would. */
export function boundsOf({ length }: Uint8Array): { limitInputPixels: number } {
  return { limitInputPixels: length < 2 ** 20 ? 2 ** 26 : 2 ** 28 };
}
