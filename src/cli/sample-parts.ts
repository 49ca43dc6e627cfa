import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { counted, UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';
import type { FeatureRows } from '../evaluation/feature-statistics.js';
import { featuresOf } from '../evaluation/image-features.js';
import { keptOrMade } from '../formats/kept-file.js';
import { jsonOf } from '../formats/metadata.js';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import { fileDigest, withTensorFile } from '../formats/tensor-file.js';
import type { FeatureNetwork } from '../pretrained/feature-network.js';
import type { Part } from '../sampling/parts.js';
import { withProgress } from './command.js';
import { readImageTensor } from './image-files.js';

/** The option `--part`, which part of the work is done. */
export const partOption = (what: string): Option =>
  new Option('--part <part>', what).argParser((text: string): Part => {
    const [number = 0, of = 0] = /^\d+\/\d+$/.test(text) ? text.split('/').map(Number) : [];
    if (number >= 1 && number <= of) return { number, of };
    throw new InvalidArgumentError('Expected a number and of how many, e.g. 3/8, from 1/8 to 8/8.');
  });

/** The file of a part's samples. */
export function partFile(folder: string, { number, of }: Part): string {
  return path.join(folder, `part-${number}-of-${of}.safetensors`);
}

const drawn = z.object({ part: z.object({ drawing: z.string() }) });

/** What a file of `tarflow sample --part` says of how all parts were drawn; undefined for another file. */
export function drawingOf(file: string): Promise<string | undefined> {
  return withTensorFile(file, async (open) => jsonOf(drawn, open.metadata.samples)?.part.drawing);
}

/** The parts that a folder has files of. */
async function partsThere(folder: string): Promise<Part[]> {
  return (await readdir(folder)).flatMap((name) => {
    const [, number, of] = /^part-(\d+)-of-(\d+)\.safetensors$/.exec(name) ?? [];
    return number === undefined ? [] : [{ number: Number(number), of: Number(of) }];
  });
}

/** @throws UserError where the folder of a part has parts of another number */
export async function checkNumberOfParts(folder: string, { number, of }: Part): Promise<void> {
  const other = (await partsThere(folder).catch(() => [])).find((part) => part.of !== of);
  if (!other) return;
  const problem = `--part ${number}/${of} came, and ${partFile(folder, other)} is there`;
  throw new UserError(problem, `Expected a part of ${other.of}, or another folder as --out`);
}

/**
 * The files of all parts in a folder, in their order; none in a folder without.
 * @throws UserError where a part is missing, or was not drawn as the first one was
 */
export async function partsIn(folder: string): Promise<string[]> {
  const found = await partsThere(folder);
  const [first] = found;
  if (!first) return [];
  const all = Array.from({ length: first.of }, (_, i) => ({ number: i + 1, of: first.of }));
  const has = (part: Part) =>
    found.some(({ number, of }) => number === part.number && of === part.of);
  const missing = all.filter((part) => !has(part)).map(({ number }) => number);
  if (found.length !== first.of || missing.length > 0) {
    const lacks = missing.length > 0 ? ` without part ${missing.join(', ')}` : '';
    throw new UserError(
      `${folder} has ${counted(found.length, 'file')} of parts${lacks}, and part ${first.number} is one of ${first.of}`,
      'Draw what is missing by the same command with its --part, and delete parts of another number',
    );
  }
  const files = all.map((part) => partFile(folder, part));
  const [drawing, ...others] = await Promise.all(files.map(drawingOf));
  const other = others.findIndex((each) => each !== drawing);
  if (other < 0) return files;
  throw new UserError(
    `${files[other + 1]} was drawn otherwise than ${files[0]}`,
    'Delete the wrong one, and draw it by the command of the others',
  );
}

/** The features of a part's samples, which are kept beside them under the network and the samples. */
export async function featuresOfPart(network: FeatureNetwork, file: string): Promise<FeatureRows> {
  const { name, weights = name, width } = network;
  const samples = await fileDigest(file);
  const digest = createHash('sha256').update(`${name} ${weights}`).digest('hex').slice(0, 8);
  return keptOrMade<FeatureRows>(file.replace(/safetensors$/, `features-${digest}.safetensors`), {
    async read(kept) {
      const { tensors, metadata } = await readSafetensors(kept);
      const { features } = tensors;
      if (metadata.samples !== samples || features?.shape[1] !== width) return undefined;
      return { data: Float32Array.from(features.data), shape: [features.shape[0]!, width] };
    },
    async make() {
      const images = await readImageTensor(file);
      return withProgress(`Features of ${file}`, images.shape[0], (onProgress) =>
        featuresOf(network, images, { onProgress }),
      ).finally(() => tf.dispose(images));
    },
    async write(kept, { data, shape }) {
      const features = { dtype: 'F32' as const, shape: [...shape], data };
      await writeSafetensors(kept, { features }, { network: name, weights, samples });
    },
  });
}
