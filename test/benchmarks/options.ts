import { parseArgs } from 'node:util';

export interface Options {
  only: string | undefined;
  threads: number;
  repetitions: number;
  quick: boolean;
  scaling: boolean;
  update: boolean;
}

export const help = `npm run bench -- [options]

Compares our library with its peers on the same cores: PyTorch eager, torch.compile and JAX. The ratio
of a row is our time, or memory, divided by that of the best of them; below 1 is faster, 0.9 or less is
the aim, and rows above 1 are named at the end. Peers are installed at the first run, into .venv-bench
and .venv-bench-jax.

  --only PATTERN     the rows whose name matches a regular expression, for example
                     'training step.*float32' or '^memory of'
  --threads N        threads of every side (default: 2)
  --repetitions N    repetitions of a row (default: 15, with --quick 3)
  --quick            tries the benchmark out: few repetitions, nothing that takes minutes, no
                     torch.compile, and nothing is written
  --scaling          how time and memory of a training step grow with tokens, batch and blocks, instead
                     of the comparison
  --update           writes results/, which is committed, in place of scratch/
  --help             this text

Before anything is timed, PyTorch and JAX are checked against the golden files of the published code,
and all sides against each other; a difference ends the benchmark with status 1. torch.compile takes
part in training, forward passes and denoising where there is a C++ compiler, JAX on processors.
Rows are written to scratch/benchmarks.json as they are measured, or to results/ with --update.`;

/** What the command line asks for; nothing where it asks for help. */
export function readOptions(args?: string[]): Options | undefined {
  const { values } = parseArgs({
    ...(args && { args }),
    options: {
      only: { type: 'string' },
      threads: { type: 'string', default: '2' },
      repetitions: { type: 'string' },
      quick: { type: 'boolean', default: false },
      scaling: { type: 'boolean', default: false },
      update: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const repetitions = values.repetitions ?? (values.quick ? '3' : '15');
  return {
    only: values.only,
    quick: values.quick,
    scaling: values.scaling,
    update: values.update,
    threads: wholeNumber('threads', values.threads),
    repetitions: wholeNumber('repetitions', repetitions),
  };
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`--${name} got '${text}', expected a whole number above 0.`);
  }
  return value;
}
