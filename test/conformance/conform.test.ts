import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { expectConformity, goldenFiles } from '../evaluation/golden.js';
import { conform } from './conform.js';

// Seconds each, but machines can be busy.
vi.setConfig({ testTimeout: 300_000 });

beforeAll(async () => {
  await startEngine();
});

test('there are two golden files of STARFlow and five of TarFlow', () => {
  expect(goldenFiles.map((name) => name.slice(0, 3))).toEqual([
    ...['sf1', 'sf2', 'tf1', 'tf2', 'tf3', 'tf4', 'tf5'],
  ]);
});

test.each(goldenFiles)('%s conforms', expectConformity);

test.each(['tf4_uncond_p1_c32_gsj.safetensors', 'tf5_cond_p2_c48_gsj.safetensors'])(
  '%s conforms: runs, iterates of a block, selective Jacobi, IGM and CRM',
  expectConformity,
);

test.each([
  ['tf3_cond_vp_p2_c32', 80],
  ['sf2_text_c32', 100],
])(
  'every output of %s is compared with the file: each one that is altered fails',
  async (name, least) => {
    const golden = path.join(__dirname, '..', 'golden', `${name}.safetensors`);
    const json = golden.replace('.safetensors', '.json');
    const { tensors: described } = JSON.parse(fs.readFileSync(json, 'utf8')) as {
      tensors: Record<string, { role: string; against?: string }>;
    };
    const { tensors, metadata } = await readSafetensors(golden);
    const altered = Object.keys(described).filter(
      (name) => described[name]!.role === 'output' && described[name]!.against === undefined,
    );
    expect(altered.length).toBeGreaterThan(least);
    for (const name of altered) {
      const { data } = tensors[name]!;
      for (let i = 0; i < data.length; i++) data[i] = data[i]! + 1;
    }
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-golden-'));
    try {
      const file = path.join(folder, 'altered.safetensors');
      await writeSafetensors(file, tensors, metadata);
      fs.copyFileSync(json, file.replace('.safetensors', '.json'));
      const rows = await conform(file);
      const failed = rows.filter(({ pass }) => !pass).map(({ tensor }) => tensor);
      expect(failed.sort()).toEqual(altered.sort());
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  },
);
