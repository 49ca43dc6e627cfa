import { stat } from 'node:fs/promises';
import { Option } from 'commander';
import { textEncoderNames } from '../conditions/text/named-encoder.js';
import { counted } from '../core/errors.js';
import { writeSafetensors } from '../formats/safetensors.js';
import { withTensorFile } from '../formats/tensor-file.js';
import { unwrapped } from '../models/unwrapped.js';
import { checkpointFile } from '../training/checkpoint.js';
import { checkTensorFile, checkUsed, count, names, number } from './arguments.js';
import { defineCommand, type Outcome } from './command.js';
import { type ConvertedOptions, converted, floatDtypes } from './converted-file.js';

interface ConvertOptions extends ConvertedOptions {
  prefix?: string;
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
          "pth-names: with just what PyTorch's load_state_dict(strict=True) asks for",
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
  const { entries, emptyText } = options;
  checkUsed({ entries }, emptyText === undefined && 'without --empty-text');
  checkUsed({ emptyText }, options.to !== undefined && 'with --to pth-names');
  await checkTensorFile(to);
  return withTensorFile(checkpointFile(from), async (opened) => {
    const { tensors, metadata } = await converted(unwrapped(opened, options.prefix), options);
    await writeSafetensors(to, tensors, metadata);
    const written = Object.keys(tensors).length;
    const { size: bytes } = await stat(to);
    return {
      json: { from, to, tensors: written, bytes },
      text: `${to}: ${counted(written, 'tensor')}, ${(bytes / 1e6).toFixed(1)} MB`,
    };
  });
}
