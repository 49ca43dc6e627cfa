import { stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import {
  type HostData,
  type HostDtype,
  type TensorSource,
  writeSafetensors,
} from '../formats/safetensors.js';
import { Overflow } from '../formats/safetensors-errors.js';
import { openTensorFile, type TensorFile } from '../formats/tensor-file.js';
import { checkWritable } from './arguments.js';

const floatDtypes = ['F32', 'F16', 'BF16'] as const;
type FloatDtype = (typeof floatDtypes)[number];

interface ConvertOptions {
  dtype?: FloatDtype;
  json: boolean;
}

/** `tarflow convert`: a state dict of PyTorch's as safetensors. */
export function addConvert(program: Command): void {
  program
    .command('convert')
    .description('write a state dict of PyTorch (.pth), or a safetensors file, as safetensors')
    .argument('<from>', 'what torch.save(model.state_dict(), file) wrote, or safetensors')
    .argument('<to.safetensors>', 'where it goes')
    .addOption(
      new Option(
        '--dtype <type>',
        'how floating-point numbers are stored (default: as they are)',
      ).choices(floatDtypes),
    )
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
The pickle in a .pth file is read as data: nothing in it is executed, and a file that asks for anything
but tensors and dictionaries is refused. Names stay as they are. One tensor at a time is in memory. All
commands that take a checkpoint read .pth files directly, too.

Examples:
  $ tarflow convert imagenet_model_4_1024_8_8_0.15.pth imagenet.safetensors
  $ tarflow convert model.pth half.safetensors --dtype BF16`,
    )
    .action(run);
}

async function run(from: string, to: string, { dtype, json }: ConvertOptions): Promise<void> {
  await checkWritable(to);
  const file = await openTensorFile(from);
  try {
    const tensors = sourcesOf(file, dtype);
    await writeSafetensors(to, tensors, { ...file.metadata });
    const count = Object.keys(tensors).length;
    const { size: bytes } = await stat(to);
    if (json) {
      console.log(JSON.stringify({ from, to, tensors: count, bytes }, null, 2));
    } else {
      console.log(`${to}: ${count} tensors, ${(bytes / 1e6).toFixed(1)} MB`);
    }
  } finally {
    await file.close();
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
        'Store it as it is: leave --dtype away',
      );
    }
    return number;
  });
}
