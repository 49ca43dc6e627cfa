import { type Conditioned, emptyCaption } from '../conditions/context.js';
import { openTextEncoder } from '../conditions/text/named-encoder.js';
import { startEngine } from '../core/engine.js';
import { counted, UserError } from '../core/errors.js';
import { ability, type Family } from '../flow/model.js';
import type { HostData, HostDtype, TensorSource } from '../formats/safetensors.js';
import { Overflow } from '../formats/safetensors-errors.js';
import type { TensorFile } from '../formats/tensor-file.js';
import { readDescription, renamed } from '../models/load-checkpoint.js';
import { checkpointMetadata, isForeign } from '../training/checkpoint.js';
import { checkSigma } from './denoising.js';

/** How floating-point numbers may be stored. */
export const floatDtypes = ['F32', 'F16', 'BF16'] as const;
type FloatDtype = (typeof floatDtypes)[number];

/** What is said of a file to be converted, and asked of its tensors. */
export interface ConvertedOptions {
  dtype?: FloatDtype;
  emptyText?: string;
  entries?: number;
  sigma?: number;
  classes?: string[];
  channels?: number;
  headWidth?: number;
  to?: 'pth-names';
}

/**
 * What a file holds once it is converted: tensors, which are read one at a time, and metadata.
 * @throws UserError for options that do not fit the file's model
 */
export async function converted(
  file: TensorFile,
  options: ConvertedOptions,
): Promise<{ tensors: Record<string, TensorSource>; metadata: Record<string, string> }> {
  if (options.emptyText !== undefined && Object.hasOwn(file.tensors, emptyCaption)) {
    throw new UserError(`${file.path} has states of the empty caption`, 'Leave --empty-text out');
  }
  const empty = await emptyText(options);
  if (empty) checkReadsCaptions(file, empty);
  const { sigma, classes, channels, headWidth } = options;
  const says = [sigma, classes, channels, headWidth].some((one) => one !== undefined);
  const about = says ? described(file, options) : undefined;
  const kept = sourcesOf(file, options.dtype);
  const tensors: Record<string, TensorSource> = {
    ...(about ? renamed(about.family, isForeign(file), kept) : kept),
    ...(empty && { [emptyCaption]: empty }),
    ...(options.to && unreadOf(file, options)),
  };
  // The authors' class has no place for it.
  if (options.to) delete tensors[emptyCaption];
  return { tensors, metadata: about?.metadata ?? file.metadata };
}

/** What a file says of its model, and with it what the options say: a checkpoint's metadata. */
function described(
  file: TensorFile,
  options: ConvertedOptions,
): { family: Family; metadata: Record<string, string> } {
  const { sigma, classes } = options;
  const { family, config, details } = descriptionOf(file, options);
  if (classes !== undefined && classes.length !== config.classes) {
    throw new UserError(
      `${counted(classes.length, 'class name')} came for a model of ${config.classes} classes (--classes)`,
      config.classes > 0 ? 'Give a name for each, in their order' : 'Leave --classes out',
    );
  }
  if (sigma !== undefined) checkSigma(file.path, details, sigma);
  const metadata = checkpointMetadata(config, {
    ...details,
    ...(sigma !== undefined && { noise: { kind: 'gaussian', sigma } }),
    ...(classes && { classNames: classes }),
  });
  return { family, metadata };
}

function descriptionOf(file: TensorFile, { channels, headWidth }: ConvertedOptions) {
  if ((channels ?? headWidth) !== undefined && !isForeign(file)) {
    throw new UserError(
      `${file.path} says what its model is`,
      'Leave --channels and --head-width out, which are for published files that do not',
    );
  }
  return readDescription(file, {
    ...(channels !== undefined && { imageChannels: channels }),
    ...(headWidth !== undefined && { headWidth }),
  });
}

/** What PyTorch asks for beside a model's tensors. */
function unreadOf(file: TensorFile, options: ConvertedOptions): Record<string, TensorSource> {
  const { family, config } = descriptionOf(file, options);
  const unread = ability(family, 'published').unread?.(config);
  if (unread) return unread;
  throw new UserError(
    `--to pth-names came for a model of kind '${family.kind}'`,
    'Leave it out: of TarFlow and STARFlow alone is it known what PyTorch asks for',
  );
}

/** What a model reads classes or captions by. */
const projection = /^blocks\.\d+\.proj_txt\.weight$/;

/** Checks that the model of a file reads captions once it has the states of the empty one. */
function checkReadsCaptions(file: TensorFile, { shape, dtype }: TensorSource): void {
  if (Object.keys(file.tensors).some((name) => projection.test(name))) {
    const tensors = { ...file.tensors, [emptyCaption]: { shape: [...shape], dtype } };
    const { config }: { config: Conditioned } = readDescription({ ...file, tensors });
    if (config.text) return;
  }
  throw new UserError(
    `${file.path} holds a model that reads no captions`,
    'Leave --empty-text out, which is for those that do',
  );
}

/** The states of the empty caption; undefined where they are not asked for. */
async function emptyText({
  emptyText: asked,
  entries,
}: ConvertedOptions): Promise<TensorSource | undefined> {
  if (asked === undefined) return undefined;
  await startEngine();
  const encoder = await openTextEncoder(asked);
  const options = entries === undefined ? {} : { entries };
  const states = await encoder.encode([''], options).finally(() => encoder.dispose());
  const [, rows, width] = states.shape;
  const data = await states.data<'float32'>().finally(() => states.dispose());
  return { shape: [rows, width], dtype: 'F32', data: () => data };
}

function sourcesOf(file: TensorFile, wanted?: FloatDtype): Record<string, TensorSource> {
  return Object.fromEntries(
    Object.entries(file.tensors).map(([name, { shape, dtype }]) => {
      const isFloat = ['F64', 'F32', 'F16', 'BF16'].includes(dtype);
      const stored = isFloat && wanted ? wanted : dtype;
      const data = async () => {
        const { data: read } = await file.read(name);
        // What is not stored as F64 is held as F32.
        return dtype === 'F64' && stored !== 'F64' ? narrowed(read, name, stored) : read;
      };
      return [name, { shape, dtype: stored, data }];
    }),
  );
}

function narrowed(numbers: HostData, name: string, dtype: HostDtype): Float32Array {
  return Float32Array.from(numbers, (number) => {
    if (Number.isFinite(number) && !Number.isFinite(Math.fround(number))) {
      throw new Overflow(
        `Tensor '${name}' holds ${number}, which is beyond the largest number of ${dtype}`,
        'Store it as it is: leave --dtype out',
      );
    }
    return number;
  });
}
