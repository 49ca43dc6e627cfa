import { stat } from 'node:fs/promises';
import { Option } from 'commander';
import { type Conditioned, emptyCaption } from '../conditions/context.js';
import { openTextEncoder, textEncoderNames } from '../conditions/text/named-encoder.js';
import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { ability, type Family } from '../flow/model.js';
import {
  type HostData,
  type HostDtype,
  type TensorSource,
  writeSafetensors,
} from '../formats/safetensors.js';
import { Overflow } from '../formats/safetensors-errors.js';
import { openTensorFile, type TensorFile } from '../formats/tensor-file.js';
import { readDescription, renamed } from '../models/load-checkpoint.js';
import { unwrapped } from '../models/unwrapped.js';
import { checkpointFile, checkpointMetadata, isForeign } from '../training/checkpoint.js';
import { checkTensorFile, count, names, number } from './arguments.js';
import { defineCommand, type Outcome } from './command.js';
import { checkSigma } from './denoise-command.js';

const floatDtypes = ['F32', 'F16', 'BF16'] as const;
type FloatDtype = (typeof floatDtypes)[number];

interface ConvertOptions {
  dtype?: FloatDtype;
  emptyText?: string;
  entries?: number;
  prefix?: string;
  sigma?: number;
  classes?: string[];
  channels?: number;
  headWidth?: number;
  to?: 'pth-names';
}

/** `tarflow convert`: a state dict of PyTorch's as safetensors. */
export const convert = defineCommand({
  name: 'convert',
  description: 'write a state dict of PyTorch (.pth), or a safetensors file, as safetensors',
  options: (command) =>
    command
      .argument('<from>', 'what torch.save(model.state_dict(), file) wrote, or safetensors')
      .argument('<to.safetensors>', 'where it goes')
      .addOption(
        new Option(
          '--dtype <type>',
          'how floating-point numbers are stored (default: as they are)',
        ).choices(floatDtypes),
      )
      .option(
        '--empty-text <encoder>',
        `add the states of the empty caption (in float32), which a published STARFlow lacks: ` +
          textEncoderNames.join(', '),
      )
      .option('--entries <n>', 'of that caption (default: all that the encoder gives)', count)
      .option('--prefix <prefix>', 'the entry that holds the model, where several do, e.g. ema')
      .option('--sigma <sigma>', 'write down the Gaussian noise that it was trained with', number)
      .option('--classes <names>', 'write down the names of its classes, e.g. cat,dog', names)
      .option('--channels <n>', 'of its images, where they are not 3', count)
      .option('--head-width <n>', 'of its attention, where it is not 64', count)
      .addOption(
        new Option(
          '--to <names>',
          "pth-names: with the masks that PyTorch's load_state_dict(strict=True) asks for",
        ).choices(['pth-names']),
      ),
  help: `\
The pickle in a .pth file is read as data: nothing in it is executed, and a file that asks for anything
but tensors and dictionaries is refused. Names stay as they are, but for a prefix before all of a model
(module., model.), which is said and taken away. One tensor at a time is in memory. All commands that take
a checkpoint read .pth files directly, too; --sigma, --classes, --channels and --head-width write into the
file what they would have to be told.

Examples:
  $ tarflow convert imagenet_model_4_1024_8_8_0.15.pth imagenet.safetensors
  $ tarflow convert model.pth half.safetensors --dtype BF16
  $ tarflow convert digits.pth digits.safetensors --channels 1 --sigma 0.1 --classes 0,1,2,3,4,5,6,7,8,9
  $ tarflow convert runs/cats/checkpoint.safetensors cats.safetensors --to pth-names
  >>> model.load_state_dict(safetensors.torch.load_file('cats.safetensors'))
  $ tarflow convert starflow_3B_t2i_256x256.pth starflow.safetensors --dtype BF16 \\
      --empty-text states:flan-t5-xl.safetensors`,
  run,
});

async function run(from: string, to: string, options: ConvertOptions): Promise<Outcome> {
  if (options.entries !== undefined && options.emptyText === undefined) {
    throw new UserError('--entries came without --empty-text', 'Add it, or leave --entries out');
  }
  await checkTensorFile(to);
  const opened = await openTensorFile(checkpointFile(from));
  try {
    const file = unwrapped(opened, options.prefix);
    if (options.emptyText !== undefined && Object.hasOwn(file.tensors, emptyCaption)) {
      throw new UserError(`${from} has states of the empty caption`, 'Leave --empty-text out');
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
    await writeSafetensors(to, tensors, about?.metadata ?? file.metadata);
    const written = Object.keys(tensors).length;
    const { size: bytes } = await stat(to);
    return {
      json: { from, to, tensors: written, bytes },
      text: `${to}: ${written} tensors, ${(bytes / 1e6).toFixed(1)} MB`,
    };
  } finally {
    await opened.close();
  }
}

/** What a file says of its model, and with it what the options say: a checkpoint's metadata. */
function described(
  file: TensorFile,
  options: ConvertOptions,
): { family: Family; metadata: Record<string, string> } {
  const { sigma, classes } = options;
  const { family, config, details } = descriptionOf(file, options);
  if (classes !== undefined && classes.length !== config.classes) {
    throw new UserError(
      `${classes.length} class names came for a model of ${config.classes} classes (--classes)`,
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

function descriptionOf(file: TensorFile, { channels, headWidth }: ConvertOptions) {
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
function unreadOf(file: TensorFile, options: ConvertOptions): Record<string, TensorSource> {
  const { family, config } = descriptionOf(file, options);
  const unread = ability(family, 'published').unread?.(config);
  if (unread) return unread;
  throw new UserError(
    `--to pth-names came for a model of kind '${family.kind}'`,
    'Leave it out: only of a TarFlow is it known what PyTorch asks for beside its tensors',
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
}: ConvertOptions): Promise<TensorSource | undefined> {
  if (asked === undefined) return undefined;
  await startEngine();
  const encoder = await openTextEncoder(asked);
  try {
    const states = await encoder.encode([''], entries === undefined ? {} : { entries });
    const [, rows, width] = states.shape;
    const data = await states.data<'float32'>().finally(() => states.dispose());
    return { shape: [rows, width], dtype: 'F32', data: () => data };
  } finally {
    encoder.dispose();
  }
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
