import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { currentEngine } from '../../core/engine.js';

/** What computes. */
export interface Machine {
  engine: string;
  /** The engine's version. */
  version: string;
  /** The graphics device's name, or else the processor's. */
  device: string;
  /** Threads of the processor that the engine may use. */
  threads: number;
}

/** What computes now. */
export function currentMachine(): Machine {
  const { engine, version, gpu, device } = currentEngine();
  const limit = Number(process.env.TF_NUM_INTRAOP_THREADS);
  return {
    engine,
    version,
    device: device ?? (gpu ? cudaDevice() : processorName()),
    threads: Number.isInteger(limit) && limit > 0 ? limit : os.availableParallelism(),
  };
}

/**
 * The processor's name, and where Linux tells them its family and model, since several generations
 * may share a name.
 */
export function processorName(): string {
  const name = os.cpus()[0]?.model.trim() || os.arch();
  let text: string;
  try {
    text = fs.readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return name;
  }
  const value = (key: string): string | undefined =>
    new RegExp(`^${key}\\s*:\\s*(\\d+)$`, 'm').exec(text)?.[1];
  const [family, model] = [value('cpu family'), value('model')];
  return family && model ? `${name} (family ${family}, model ${model})` : name;
}

/** The first CUDA device as its driver tells of it. */
function cudaDevice(): string {
  const folder = '/proc/driver/nvidia/gpus';
  try {
    const [first] = fs.readdirSync(folder).sort();
    const text = fs.readFileSync(path.join(folder, first as string, 'information'), 'utf8');
    return /^Model:\s*(.+)$/m.exec(text)?.[1]?.trim() ?? 'CUDA device';
  } catch {
    return 'CUDA device';
  }
}
