import { createHash } from 'node:crypto';
import * as zlib from 'node:zlib';
import { z } from 'zod';
import { engineNames } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { readBytes } from '../core/files.js';
import { checkedJson } from '../core/schema.js';
import { count, countOrNone, imageSchema } from '../flow/model.js';
import type { CompressedImages } from './compressed-images.js';

/** What a file begins with; its version follows in a byte. */
const magic = Buffer.from('tflowpix');
const version = 1;
const checksumBytes = 32;
/** Before the header: what a file begins with, and the header's length. */
const headBytes = magic.length + 1 + 4;

const headerSchema = z.strictObject({
  /** The model's file as it was named, and its `weightsDigest`. */
  model: z.strictObject({ file: z.string(), digest: z.string() }),
  engine: z.strictObject({ name: z.enum(engineNames), version: z.string() }),
  image: imageSchema,
  /** Of the pictures, without an ending: not of files elsewhere. */
  names: z
    .array(z.string().regex(/^[^/\\\0]+$/, 'expected the name of a file'))
    .min(1)
    .refine((names) => new Set(names).size === names.length, 'expected different names'),
  label: z.array(z.int().min(-1)).optional(),
  batch: count,
  lent: z.strictObject({ images: countOrNone, bytes: countOrNone }),
  arithmetic: z.string(),
  checksum: z.string(),
});

/** Compressed pictures, and what decoding them takes. */
export type PictureFile = z.infer<typeof headerSchema> & CompressedImages;

/** The bytes of a file of compressed pictures. */
export function pictureFileBytes({ code, ...header }: PictureFile): Uint8Array {
  const packed = zlib.brotliCompressSync(JSON.stringify(header));
  const head = Buffer.concat([magic, Buffer.of(version), Buffer.alloc(4)]);
  head.writeUInt32LE(packed.length, magic.length + 1);
  const content = Buffer.concat([head, packed, code]);
  return Buffer.concat([content, createHash('sha256').update(content).digest()]);
}

/**
 * Reads a file of compressed pictures.
 * @throws UserError for a file of another kind or a newer version, and for one that is damaged or not whole
 */
export async function readPictureFile(file: string): Promise<PictureFile> {
  const bytes = Buffer.from(await readBytes(file));
  if (!bytes.subarray(0, magic.length).equals(magic)) {
    throw new UserError(
      `${file} is no file of compressed pictures`,
      'Expected one that `tarflow compress` wrote',
    );
  }
  const damaged = new UserError(
    `${file} is damaged or not whole: its checksum is another`,
    'Take it anew from where it came from',
  );
  if (bytes.length < headBytes + checksumBytes) throw damaged;
  const written = bytes[magic.length]!;
  if (written !== version) {
    throw new UserError(
      `${file} has compressed pictures of version ${written}`,
      `Version ${version} is read here: take another release of tarflow, or the file anew`,
    );
  }
  const content = bytes.subarray(0, -checksumBytes);
  const checksum = createHash('sha256').update(content).digest();
  if (!checksum.equals(bytes.subarray(-checksumBytes))) throw damaged;
  const headerEnd = headBytes + bytes.readUInt32LE(magic.length + 1);
  if (headerEnd > content.length) throw damaged;
  const header = zlib.brotliDecompressSync(bytes.subarray(headBytes, headerEnd)).toString();
  const remedy = 'Expected a file that `tarflow compress` wrote';
  const found = checkedJson(headerSchema, header, `${file}: its header`, remedy);
  const { names, label = names, lent } = found;
  if (label.length !== names.length || lent.images > names.length) throw damaged;
  return { ...found, code: content.subarray(headerEnd) };
}
