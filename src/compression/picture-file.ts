import * as zlib from 'node:zlib';
import { z } from 'zod';
import { engineNames } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { readBytes } from '../core/files.js';
import { checkedJson } from '../core/schema.js';
import { count } from '../flow/model.js';
import type { CompressedImages } from './compressed-images.js';

const headerSchema = z
  .strictObject({
    format: z.literal('tarflow pictures'),
    version: z.literal(1),
    /** The model's file as it was named, and its `weightsDigest`. */
    model: z.strictObject({ file: z.string(), digest: z.string() }),
    engine: z.strictObject({ name: z.enum(engineNames), version: z.string() }),
    /** Of the pictures, without an ending: not of files elsewhere. */
    names: z
      .array(z.string().regex(/^[^/\\\0]+$/, 'expected the name of a file'))
      .min(1)
      .refine((names) => new Set(names).size === names.length, 'expected different names'),
    label: z.array(z.int().min(-1)).optional(),
    batch: count,
    checksum: z.string(),
  })
  .refine(
    ({ names, label = names }) => label.length === names.length,
    'expected a label for each picture',
  );

/** Compressed pictures, and what decoding them takes. */
export type PictureFile = Omit<z.infer<typeof headerSchema>, 'format' | 'version'> &
  CompressedImages;

/** The bytes of a file of compressed pictures: a line of JSON and the message, as gzip keeps them with a checksum. */
export function pictureFileBytes({ code, ...header }: PictureFile): Uint8Array {
  const line = JSON.stringify({ format: 'tarflow pictures', version: 1, ...header });
  return zlib.gzipSync(Buffer.concat([Buffer.from(`${line}\n`), code]));
}

/**
 * Reads a file of compressed pictures.
 * @throws UserError for a file of another kind or version, and for one that is damaged or not whole
 */
export async function readPictureFile(file: string): Promise<PictureFile> {
  const bytes = await readBytes(file);
  let content: Buffer;
  try {
    // A message is hardly ever smaller compressed; what grows far more is made to fill the memory.
    content = zlib.gunzipSync(bytes, { maxOutputLength: Math.max(2 ** 24, 64 * bytes.length) });
  } catch (error) {
    throw new UserError(
      `${file} holds no compressed pictures, or is damaged or not whole (${(error as Error).message})`,
      'Expected a file that `tarflow compress` wrote: take it anew from where it came from',
    );
  }
  const line = content.subarray(0, content.indexOf('\n'));
  const remedy = 'Expected a file that this version of `tarflow compress` wrote';
  const header = checkedJson(headerSchema, line.toString(), `${file}: its header`, remedy);
  return { ...header, code: content.subarray(line.length + 1) };
}
