import * as path from 'node:path';
import { packageRoot } from '../../src/core/package-root.js';
import { type PeerName, peerTitles } from '../../workbook/records/benchmarks.js';
import type { Case } from './cases.js';
import { Contender } from './contender.js';
import { type PeerEnvironment, peerPython, peersFolder } from './peer-environment.js';

/** What a side says of itself. */
export interface Hello {
  version: string;
  gpu: boolean | string | null;
  /** Of PyTorch: whether torch.compile has a C++ compiler, and the processor computes bfloat16. */
  compiler?: boolean;
  bfloat16?: boolean;
}

/** A side that has started. */
export interface Started {
  side: Contender;
  hello: Hello;
}

/** How a peer is run: by which environment, and in which mode of its program. */
const programs: Record<PeerName, { environment: PeerEnvironment; mode: 'default' | 'compile' }> = {
  'pytorch eager': { environment: 'pytorch', mode: 'default' },
  'torch.compile': { environment: 'pytorch', mode: 'compile' },
  jax: { environment: 'jax', mode: 'default' },
};

export function peerMode(name: PeerName): 'default' | 'compile' {
  return programs[name].mode;
}

/** What is there to compare with. */
export interface Possible {
  /** All sides compute on a CUDA GPU. */
  gpu: boolean;
  /** JAX takes part: on a GPU only where it finds that. */
  jax: boolean;
  /** torch.compile takes part. */
  compile: boolean;
}

/** The peers that run a case. STARFlow is written in PyTorch alone. */
export function peersFor(
  { workload, config }: Pick<Case, 'workload' | 'config'>,
  { jax, compile }: Possible,
): PeerName[] {
  const takesPart: Record<PeerName, boolean> = {
    'pytorch eager': true,
    'torch.compile': compile && !/sampling/.test(workload),
    jax: jax && config.kind === 'tarflow',
  };
  return (Object.keys(peerTitles) as PeerName[]).filter((name) => takesPart[name]);
}

/** Starts the sides, each in a process of its own. */
export class Sides {
  /** Whether peers compute on a CUDA GPU. */
  onGpu = false;

  constructor(private readonly threads: number) {}

  /** @param undivided whether each operation has one thread, and parts of a batch run side by side */
  ours(undivided = false): Promise<Started> {
    const threads = String(this.threads);
    const program = ['--import', 'tsx', path.join(__dirname, 'ours.ts')];
    return this.started(
      new Contender('ours', process.execPath, program, {
        TF_NUM_INTRAOP_THREADS: undivided ? '1' : threads,
        TF_NUM_INTEROP_THREADS: threads,
        TF_CPP_MIN_LOG_LEVEL: '2',
      }),
    );
  }

  /** @param keepsMemory whether the C library keeps what is freed for what comes next */
  peer(name: PeerName, keepsMemory = false): Promise<Started> {
    const { environment } = programs[name];
    const threads = String(this.threads);
    const isOfGpu = environment === 'jax' && this.onGpu;
    const python = peerPython(packageRoot(), isOfGpu ? 'jax-cuda' : environment);
    return this.started(
      new Contender(name, python, [path.join(peersFolder, `${environment}_server.py`)], {
        // Of PyTorch's threads, and of JAX's.
        OMP_NUM_THREADS: threads,
        NPROC: threads,
        JAX_PLATFORMS: this.onGpu ? 'cuda' : 'cpu',
        // All sides share the device's memory.
        XLA_PYTHON_CLIENT_PREALLOCATE: 'false',
        PYTHONDONTWRITEBYTECODE: '1',
        ...(keepsMemory && {
          MALLOC_TRIM_THRESHOLD_: '100000000000',
          MALLOC_MMAP_THRESHOLD_: '100000000000',
          MALLOC_TOP_PAD_: '268435456',
        }),
      }),
    );
  }

  private async started(side: Contender): Promise<Started> {
    try {
      const hello = await side.ask<Hello>({ command: 'hello', threads: this.threads });
      return { side, hello };
    } catch (error) {
      await side.end();
      throw error;
    }
  }
}
