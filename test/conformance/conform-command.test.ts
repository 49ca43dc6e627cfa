import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { refused, tarflow, temporaryFolder } from '../cli/command-line.js';
import { expectNoTensorsLeft } from '../leaks.js';

const golden = path.join(__dirname, '..', 'golden', 'tf1_cond_p4_c64.safetensors');

interface Description {
  kind: string;
  config: Record<string, unknown>;
  tensors: Record<string, Record<string, unknown>>;
}

/** A copy of a golden file with changes. */
async function altered(
  change: {
    tensors?: (tensors: Record<string, { data: { [index: number]: number } }>) => void;
    description?: (description: Description) => void;
  } = {},
): Promise<string> {
  const file = path.join(temporaryFolder(), 'altered.safetensors');
  const { tensors, metadata } = await readSafetensors(golden);
  change.tensors?.(tensors);
  await writeSafetensors(file, tensors, metadata);
  const description = JSON.parse(
    fs.readFileSync(golden.replace('.safetensors', '.json'), 'utf8'),
  ) as Description;
  change.description?.(description);
  fs.writeFileSync(file.replace('.safetensors', '.json'), JSON.stringify(description));
  return file;
}

interface Report {
  files: { pass: boolean; rows: { tensor: string; pass: boolean; note?: string }[] }[];
}

/** The rows that fail. */
async function failures(file: string): Promise<{ code: number; failed: string[] }> {
  const { code, stdout } = await tarflow('conform', file, '--json');
  const [report] = (JSON.parse(stdout) as Report).files;
  expect(report!.pass).toBe(code === 0);
  return { code, failed: report!.rows.filter((row) => !row.pass).map((row) => row.tensor) };
}

test('prints every output of a golden file, its error and its bound', async () => {
  expectNoTensorsLeft();
  const { code, stdout, stderr } = await tarflow('conform', golden);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain('77 of 77 tensors pass');
  expect(stdout).toMatch(/^tensor +error +bound +pass$/m);
  expect(stdout).toMatch(/^grad\.blocks\.0\.proj_in\.bias +\d\.\d\de-\d+ +\d\.\d\de-\d+ +pass$/m);
  expect(stdout.match(/ pass$/gm)).toHaveLength(77 + 2);
});

test('exits 1 where a tensor differs, is not finite, unknown, without reference or rule', async () => {
  const file = await altered({
    tensors: (tensors) => {
      const { data } = tensors['sample.g3_ann']!;
      data[5] = data[5]! + 0.1;
      tensors.loss!.data[0] = Number.NaN;
    },
    description: ({ tensors }) => {
      tensors.mystery = { ...tensors.z, role: 'output' };
      tensors['seq.1']!.against = 'nowhere';
      delete tensors.logdet!.rtol;
      tensors.bpd!.error = 'generous';
    },
  });
  const { code, failed } = await failures(file);
  expect(code).toBe(1);
  expect(failed.sort()).toEqual(['bpd', 'logdet', 'loss', 'mystery', 'sample.g3_ann', 'seq.1']);
  const { stdout } = await tarflow('conform', file);
  expect(stdout).toMatch(/^sample\.g3_ann .* FAIL/m);
  expect(stdout).toMatch(/^mystery .* FAIL +not computed$/m);
  expect(stdout).toContain('72 of 78 tensors pass');
});

test('exits 1 where nothing was compared', async () => {
  const file = await altered({
    description: ({ tensors }) => {
      for (const tensor of Object.values(tensors)) {
        if (tensor.role === 'output') tensor.role = 'input';
      }
    },
  });
  expect(await failures(file)).toEqual({ code: 1, failed: [] });
  expect((await tarflow('conform', file)).stdout).toContain('nothing was compared');
});

test('exits 2 for another kind, and still checks the other files', async () => {
  const unheardOf = (description: Description): void => {
    description.kind = 'unheard-of';
  };
  const unsupported = await altered({ description: unheardOf });
  const { code, stdout, stderr } = await tarflow('conform', unsupported, golden);
  expect(code).toBe(2);
  expect(stderr).toMatch(/altered\.safetensors: kind 'unheard-of' is not supported/);
  expect(stdout).toContain('77 of 77 tensors pass');
  const wrong = await altered({
    tensors: (tensors) => {
      tensors.loss!.data[0] = 7;
    },
  });
  expect((await tarflow('conform', unsupported, wrong)).code).toBe(1);
});

test("a user's mistake exits 2 and names the thing", async () => {
  const file = await altered();
  const json = file.replace('.safetensors', '.json');
  const text = fs.readFileSync(json, 'utf8');
  const before = tf.memory().numTensors;
  const mistake = async (message: RegExp, given = file): Promise<void> => {
    expect(await refused(tarflow('conform', given))).toMatch(message);
    expect(tf.memory().numTensors).toBe(before);
  };
  const withJson = async (damaged: string, message: RegExp): Promise<void> => {
    fs.writeFileSync(json, damaged);
    await mistake(message);
  };
  await withJson(text.slice(0, 1000), /altered\.json is not JSON/);
  await withJson(text.replace('"kind"', '"kine"'), /altered\.json.*kind/);
  await withJson(text.replace('"patch_size":4', '"patch_size":"4"'), /altered\.json.*patch_size/);
  await withJson(
    text.replace('"patch_size":4', '"patch_size":8'),
    /altered\.safetensors .*it has var \(16, 48\) for \(4, 192\), .*\. Take a complete file/,
  );
  fs.rmSync(json);
  await mistake(/altered\.json cannot be read/);
  fs.writeFileSync(json, text);
  fs.writeFileSync(file, fs.readFileSync(file).subarray(0, 4000));
  await mistake(/altered\.safetensors/);
  await mistake(/missing\.safetensors cannot be read/, file.replace('altered', 'missing'));
  await mistake(/ends in \.safetensors/, json);

  const { tensors } = await readSafetensors(golden);
  delete tensors['denoise.in'];
  await writeSafetensors(file, tensors);
  await mistake(/altered\.safetensors lacks the input denoise\.in/);
});
