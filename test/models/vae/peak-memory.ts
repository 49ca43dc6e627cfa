// Encodes and decodes one image of 256×256 by an autoencoder from a file, as a program of its own, and
// prints the most memory that it held.
import { tf } from '../../../src/core/tf.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { loadCheckpoint } from '../../../src/models/load-checkpoint.js';
import { decode, encode } from '../../../src/sampling/autoencode.js';

async function main(): Promise<void> {
  const model = await loadCheckpoint(process.argv[2] as string);
  const images = tf.zeros<tf.Rank.R4>([1, 3, 256, 256]);
  const seconds: Record<string, number> = {};
  const timed = async <T>(name: string, f: () => Promise<T>): Promise<T> => {
    const begun = performance.now();
    const result = await f();
    seconds[name] = (performance.now() - begun) / 1000;
    return result;
  };
  const { mean } = await timed('encode', () => encode(model, images));
  await timed('decode', () => decode(model, mean));
  disposeModel(model);
  console.log(JSON.stringify({ peakBytes: process.resourceUsage().maxRSS * 1024, seconds }));
}

void main();
