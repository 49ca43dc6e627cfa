import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

/** What nvidia-smi says of the device that is used. */
export interface GpuDevice {
  name: string;
  driver: string;
  memoryMiB: number;
}

/** The first CUDA device that is visible; undefined where there is none. */
export async function onGpu(): Promise<GpuDevice | undefined> {
  const query = ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader,nounits'];
  const found = await promisify(execFile)('nvidia-smi', [...chosen(), ...query]).catch(
    () => undefined,
  );
  const [name, driver, memory] =
    found?.stdout
      .split('\n')[0]
      ?.split(',')
      .map((word) => word.trim()) ?? [];
  return name && driver ? { name, driver, memoryMiB: Number(memory) } : undefined;
}

/** As CUDA_VISIBLE_DEVICES names it. */
function chosen(): string[] {
  const [first] = (process.env.CUDA_VISIBLE_DEVICES ?? '0').split(',');
  return ['-i', first || '0'];
}

/** Watches how much memory of the device is in use, twice a second. */
export class MemoryWatch {
  private readonly seen: number[] = [];
  private readonly child = spawn(
    'nvidia-smi',
    [...chosen(), '--query-gpu=memory.used', '--format=csv,noheader,nounits', '-lms', '500'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );

  constructor() {
    this.child.on('error', () => undefined);
    this.child.stdout.on('data', (text: Buffer) => {
      for (const line of `${text}`.trim().split('\n')) this.seen.push(Number(line));
    });
  }

  /** The most, less what was in use before. */
  most(): { peakMiB?: number } {
    const [first, ...others] = this.seen.filter(Number.isFinite);
    return first === undefined || others.length === 0
      ? {}
      : { peakMiB: Math.max(...others) - first };
  }

  end(): void {
    this.child.kill();
  }
}
