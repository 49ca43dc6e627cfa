import { stat } from 'node:fs/promises';
import { Option } from 'commander';
import { type Conditioned, emptyCaption } from '../conditions/context.js';
import { openTextEncoder, textEncoderNames } from '../conditions/text/named-encoder.js';
import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import {
  type HostData,
  type HostDtype,
  type TensorSource,
  writeSafetensors,
} from '../formats/safetensors.js';
import { Overflow } from '../formats/safetensors-errors.js';
import { openTensorFile, type TensorFile } from '../formats/tensor-file.js';
import { readDescription } from '../models/load-checkpoint.js';
import { checkTensorFile, count } from './arguments.js';
import { defineCommand, type Outcome } from './command.js';

const floatDtypes = ['F32', 'F16', 'BF16'] as const;
type FloatDtype = (typeof floatDtypes)[number];

interface ConvertOptions {
  dtype?: FloatDtype;
  emptyText?: string;
  entries?: number;
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
      .option('--entries <n>', 'of that caption (default: all that the encoder gives)', count),
  help: `\
The pickle in a .pth file is read as data: nothing in it is executed, and a file that asks for anything
but tensors and dictionaries is refused. Names stay as they are. One tensor at a time is in memory. All
commands that take a checkpoint read .pth files directly, too.

Examples:
  $ tarflow convert imagenet_model_4_1024_8_8_0.15.pth imagenet.safetensors
  $ tarflow convert model.pth half.safetensors --dtype BF16
  $ tarflow convert starflow_3B_t2i_256x256.pth starflow.safetensors --dtype BF16 \\
      --empty-text states:flan-t5-xl.safetensors`,
  run,
});

async function run(from: string, to: string, options: ConvertOptions): Promise<Outcome> {
  if (options.entries !== undefined && options.emptyText === undefined) {
    throw new UserError('--entries came without --empty-text', 'Add it, or leave --entries out');
  }
  await checkTensorFile(to);
  const file = await openTensorFile(from);
  try {
    if (options.emptyText !== undefined && Object.hasOwn(file.tensors, emptyCaption)) {
      throw new UserError(`${from} has states of the empty caption`, 'Leave --empty-text out');
    }
    const empty = await emptyText(options);
    if (empty) checkReadsCaptions(file, empty);
    const tensors = sourcesOf(file, options.dtype);
    if (empty) tensors[emptyCaption] = empty;
    await writeSafetensors(to, tensors, file.metadata);
    const written = Object.keys(tensors).length;
    const { size: bytes } = await stat(to);
    return {
      json: { from, to, tensors: written, bytes },
      text: `${to}: ${written} tensors, ${(bytes / 1e6).toFixed(1)} MB`,
    };
  } finally {
    await file.close();
  }
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
