/**
 * The PyTorch of docs/from-scratch-pytorch.md beside the library, on the same weights, images and noise:
 *
 *     npx tsx test/benchmarks/twin.ts
 *
 * It runs the code of the page, and writes the table of differences there.
 */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { z } from 'zod';
import { startEngine } from '../../src/core/engine.js';
import { packageRoot } from '../../src/core/package-root.js';
import { normal, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { imagesTensor, loadDataset } from '../../src/data/index.js';
import { bitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import { forward } from '../../src/flow/forward.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { denoise } from '../../src/sampling/denoise.js';
import { inverse } from '../../src/sampling/inverse.js';
import { committedCheckpoint } from '../../workbook/records/training-run.js';
import { peerPython, peersFolder } from './peer-environment.js';

const answer = z.object({
  torch: z.string(),
  differences: z.record(z.string(), z.tuple([z.number(), z.number()])),
});

async function main(): Promise<void> {
  await startEngine();
  const page = path.join(packageRoot(), 'docs', 'from-scratch-pytorch.md');
  const checkpoint = committedCheckpoint('fashion-mnist-conditional-8x2');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-twin-'));
  const file = path.join(folder, 'reference.safetensors');
  const tensors = Object.entries(await reference(checkpoint)).map(([name, tensor]) => {
    const data = tensor.dataSync() as Float32Array;
    return [name, { shape: tensor.shape, dtype: 'F32' as const, data }] as const;
  });
  await writeSafetensors(file, Object.fromEntries(tensors));
  const python = peerPython(packageRoot(), 'pytorch');
  const script = path.join(peersFolder, 'twin.py');
  const said = execFileSync(python, [script, page, checkpoint, file], { encoding: 'utf8' });
  fs.rmSync(folder, { recursive: true });
  const text = fs.readFileSync(page, 'utf8');
  const marked = /(?<=<!-- twin:begin -->\n).*?(?=<!-- twin:end -->)/s;
  fs.writeFileSync(page, text.replace(marked, tableOf(answer.parse(JSON.parse(said)))));
}

/** What both sides read, and what the library makes of it. */
async function reference(checkpoint: string): Promise<Record<string, tf.Tensor>> {
  const model = await loadCheckpoint(checkpoint);
  const data = await loadDataset('fashion-mnist', 'validation');
  const label = Array.from(data.labels.subarray(0, 8));
  const clean = imagesTensor(data, [...label.keys()]);
  const noise = tf.tensor3d(normal(randomKey(2), 8 * 784), [8, 49, 16]);
  const x = tf.add(clean, tf.mul(tf.tensor4d(normal(randomKey(1), clean.size), clean.shape), 0.1));
  const { z, logDet } = forward(model, x, { label });
  return {
    x,
    noise,
    y: tf.cast(tf.oneHot(tf.tensor1d(label, 'int32'), 10), 'float32'),
    z,
    'log-determinant': logDet,
    'bits per dimension': bitsPerDimension(model, x, { label }),
    sample: await inverse(model, noise, { label }),
    'guided sample': await inverse(model, noise, { label, guidance: { weight: 1.5 } }),
    'denoised image': denoise(model, x, { sigma: 0.1, label }),
  };
}

function tableOf({ torch, differences }: z.infer<typeof answer>): string {
  const rows = Object.entries(differences).map(
    ([name, [difference, size]]) =>
      `| ${name} | ${difference.toExponential(1)} | ${size.toPrecision(3)} |`,
  );
  const head = '| | largest difference | largest number |\n| --- | ---: | ---: |';
  return `${head}\n${rows.join('\n')}\n\nEight held-out images and eight draws of noise, PyTorch ${torch} on a processor, float32.\n`;
}

main();
