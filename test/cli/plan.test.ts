import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import {
  modelFingerprint,
  type Plan,
  readPlan,
  writePlan,
} from '../../src/sampling/planner/plan-file.js';
import { saveCheckpoint } from '../../src/training/checkpoint.js';
import { smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { somePlan } from '../sampling/some-plan.js';
import { smallConfig } from '../training/small.js';
import {
  expectRefused,
  type Mistake,
  refused,
  succeeds,
  tarflow,
  temporaryFolder,
  unwritablePath,
} from './command-line.js';

const image = { channels: 1, height: 28, width: 28 };
const config: TarFlowConfig = { ...smallConfig, image, patchSize: 7 };

async function checkpoint(overrides: Partial<TarFlowConfig> = {}): Promise<string> {
  const file = path.join(temporaryFolder(), 'checkpoint.safetensors');
  const flow = smallFlow({ ...config, ...overrides }, 1, 0.3);
  await saveCheckpoint(flow, file, { classNames: ['Bag', 'Coat', 'Hat'] });
  disposeModel(flow);
  return file;
}

const quick = ['--repeats', '1', '--mode', 'eager'];

test('the plan is written beside the checkpoint, with the candidates of every block shown', async () => {
  const file = await checkpoint();
  const before = tf.memory().numTensors;
  const data = ['--data', 'mnist-10k-subset'];
  const options = [...data, '--batch', '2', '--label', 'hat', '--guidance', '0.5', ...quick];
  const { stdout } = await succeeds(tarflow('plan', file, ...options));
  expect(tf.memory().numTensors).toBe(before);
  expect(stdout.indexOf('Block 1')).toBeLessThan(stdout.indexOf('Block 0'));
  expect(stdout).toMatch(/sequential.*\n.*Jacobi, from (latent|zeros), to/);
  expect(stdout.match(/\*/g)).toHaveLength(2);
  const written = path.join(path.dirname(file), 'checkpoint.plan.json');
  expect(stdout.trimEnd().endsWith(written)).toBe(true);
  expect(await readPlan(written)).toMatchObject({
    batch: 2,
    label: [2],
    tolerance: 1e-3,
    guidance: { weight: 0.5 },
    mode: 'eager',
    precision: 'float32',
  });
});

test('the JSON holds the plan that was written, and what was measured', async () => {
  const file = await checkpoint();
  const output = path.join(path.dirname(file), 'new', 'my.json');
  const options = ['--tolerance', '0.01', '--seed', '4', '--out', output, '--json', ...quick];
  const use = ['--label', 'bag,1', '--precision', 'bfloat16'];
  const { stdout } = await succeeds(tarflow('plan', file, ...options, ...use));
  const outcome = JSON.parse(stdout) as { plan: Plan; candidates: { solver: object }[][] };
  expect(outcome).toMatchObject({
    checkpoint: file,
    out: output,
    seed: 4,
    plan: { tolerance: 0.01 },
  });
  // One image is measured on, and more are checked, whose labels take turns.
  expect(outcome.plan).toMatchObject({ batch: 1, label: [0, 1], precision: 'bfloat16' });
  expect(outcome.plan).toEqual(await readPlan(output));
  expect(outcome.candidates).toHaveLength(2);
  for (const candidates of outcome.candidates) {
    expect(candidates[0]!.solver).toEqual({ kind: 'sequential' });
  }
});

describe('sample --plan', () => {
  /** A plan of Jacobi iterations for a checkpoint, made for one image. */
  async function planned(
    file: string,
    changes: Partial<Plan> = {},
    name = 'made.json',
  ): Promise<string> {
    const output = path.join(path.dirname(file), name);
    await succeeds(tarflow('plan', file, '--out', output, ...quick));
    const plan = await readPlan(output);
    const solvers: Plan['solvers'] = [{ kind: 'jacobi', tolerance: 0 }, { kind: 'sequential' }];
    await writePlan(output, { ...plan, solvers, ...changes });
    return output;
  }

  async function drawn(
    file: string,
    ...options: string[]
  ): Promise<{ stderr: string; x: number[] }> {
    const out = path.join(path.dirname(file), 'images.safetensors');
    const before = tf.memory().numTensors;
    const { stderr } = await succeeds(tarflow('sample', file, '--out', out, ...options));
    expect(tf.memory().numTensors).toBe(before);
    return { stderr, x: Array.from((await readSafetensors(out)).tensors.images!.data) };
  }

  test('auto takes the plan beside the checkpoint; the images are those of sequential', async () => {
    const file = await checkpoint();
    const made = await planned(file);
    fs.renameSync(made, path.join(path.dirname(file), 'checkpoint.plan.json'));
    const sequential = await drawn(file, '--count', '1');
    const automatic = await drawn(file, '--count', '1', '--plan', 'auto', '--mode', 'eager');
    expect(automatic.stderr).toBe('');
    const largest = Math.max(...automatic.x.map((value, i) => Math.abs(value - sequential.x[i]!)));
    expect(largest).toBeLessThan(1e-4);
  });

  test('a file, and a published strategy by name, which the JSON tells', async () => {
    const file = await checkpoint();
    const made = await planned(file);
    const out = path.join(path.dirname(file), 'grid.png');
    for (const [choice, kind] of [
      [made, 'jacobi'],
      ['SeJD', 'publishedGaussSeidelJacobi'],
    ] as const) {
      const options = ['--count', '1', '--out', out, '--plan', choice, '--json'];
      const { stdout } = await succeeds(tarflow('sample', file, ...options));
      expect(JSON.parse(stdout)).toMatchObject({
        plan: choice,
        solver: [{ kind }, { kind: 'sequential' }],
      });
    }
  });

  test('a plan for another batch or guidance is followed, with a warning', async () => {
    const file = await checkpoint();
    const made = await planned(file);
    const { stderr } = await drawn(file, '--count', '3', '--plan', made);
    expect(stderr).toMatch(/made\.json was measured for batch 1, not batch 3/);
    const options = ['--count', '1', '--label', '0', '--guidance', '1', '--plan', made];
    expect((await drawn(file, ...options)).stderr).toMatch(
      /for no label, not label 0 and with no guidance, not guidance 1/,
    );
    const rounded = ['--count', '1', '--mode', 'eager', '--precision', 'bfloat16', '--plan', made];
    expect((await drawn(file, ...rounded)).stderr).toMatch(/eager, float32, not .*bfloat16/);
    await writePlan(made, { ...(await readPlan(made)), label: [0, 1], device: 'Pentium' });
    const labelled = ['--count', '1', '--label', '1', '--mode', 'eager', '--plan', made];
    const { stderr: told } = await drawn(file, ...labelled);
    expect(told).toMatch(/measured on Pentium with \d+ threads?, not .* with \d+ threads?: it/);
  });

  test('segments that fell back or did not converge are told in a line, and in the JSON', async () => {
    const file = path.join(temporaryFolder(), 'checkpoint.safetensors');
    // Its samples are large, and an iterate of block 0 overflows on the way.
    const flow = smallFlow({}, 4, 3);
    await saveCheckpoint(flow, file);
    const model = modelFingerprint(flow);
    const made = path.join(path.dirname(file), 'made.json');
    const shortfalls = async (...solvers: Plan['solvers']) => {
      await writePlan(made, { ...somePlan, model, solvers });
      const out = path.join(path.dirname(file), 'images.safetensors');
      const options = ['--count', '1', '--out', out, '--mode', 'eager', '--plan', made, '--json'];
      const { stdout, stderr } = await succeeds(tarflow('sample', file, ...options));
      const { fallbacks, unconverged } = JSON.parse(stdout) as Record<string, number[]>;
      const lines = stderr.split('\n').filter((line) => line.includes('Segments'));
      return { fallbacks, unconverged, lines };
    };
    expect(await shortfalls({ kind: 'jacobi', tolerance: 1e-3 }, { kind: 'sequential' })).toEqual({
      fallbacks: [1, 0],
      unconverged: [0, 0],
      lines: ['Segments solved token by token, an iterate being not finite: 1 in block 0.'],
    });
    const coarse = { kind: 'gaussSeidelJacobi', segments: 3, maximum: 1, tolerance: 0 } as const;
    expect(await shortfalls(coarse, coarse)).toEqual({
      fallbacks: [0, 0],
      unconverged: [3, 3],
      lines: [
        'Segments left before they converged, at the most iterations allowed: 3 in block 0, 3 in block 1.',
      ],
    });
    const plain = { fallbacks: [0, 0], unconverged: [0, 0], lines: [] };
    expect(await shortfalls({ kind: 'sequential' }, { kind: 'sequential' })).toEqual(plain);
  });

  test('mistakes exit 2, and name the thing and the remedy', async () => {
    const file = await checkpoint();
    const other = await checkpoint({ classes: 0 });
    const made = await planned(file);
    const mistakes: [string, string, RegExp][] = [
      [
        file,
        'auto',
        /has no plan beside it.*tarflow plan \S+checkpoint\.safetensors --batch 2 --tolerance 0\.001 --label 0,1 --guidance 0\.5 --mode graph/,
      ],
      [other, made, /made\.json: The plan was made for model \w+, this is \w+.*tarflow plan CHECK/],
      [file, 'nowhere.json', /plan 'nowhere\.json'.*auto.*Img128cond.*SeJD/],
      [file, '', /plan ''/],
      [file, 'autoo', /plan 'autoo'\. Did you mean auto\?/],
      [file, file, /checkpoint\.safetensors is not JSON.*Give a file that tarflow plan wrote\./],
      [
        file,
        'AFHQ',
        /strategy AFHQ does not fit.*8 entries.*2 blocks.*'tarflow plan' finds solvers/,
      ],
    ];
    expectNoTensorsLeft();
    for (const [model, plan, message] of mistakes) {
      const out = path.join(path.dirname(file), 'grid.png');
      const use = ['--count', '2', '--mode', 'graph'];
      if (model === file) use.push('--label', '0,1', '--guidance', '0.5');
      const options = ['--out', out, '--plan', plan, ...use];
      expect(await refused(tarflow('sample', model, ...options))).toMatch(message);
      expect(fs.existsSync(out)).toBe(false);
    }
  });
});

test("a user's mistake exits 2 and leaves no plan", async () => {
  const file = await checkpoint();
  const folder = path.dirname(file);
  const small = await checkpoint({ image: { channels: 1, height: 14, width: 14 } });
  const mistakes: Mistake[] = [
    [file, ['--tolerance', '-0.001'], /tolerance is -0\.001/],
    [file, ['--tolerance', '0'], /tolerance is 0.*above 0/],
    [file, ['--data', 'cifar'], /Unknown data set 'cifar'/],
    [small, ['--data', 'mnist-10k-subset'], /images of 1×28×28.*takes 1×14×14/],
    [file, ['--label', 'Shoe'], /no label 'Shoe'/],
    [file, ['--guidance', '1'], /change nothing/],
    [file, ['--label', '0', '--guidance', '1e9'], /not finite.*diverges/],
    [file, ['--out', unwritablePath(folder, 'plan.json')], /cannot be written/],
    [
      file,
      ['--out', path.join(folder, 'other.safetensors')],
      /named as a checkpoint.*e\.g\. \S+other\.plan\.json/,
    ],
    [`${file}.none`, [], /none/],
  ];
  await expectRefused('plan', folder, mistakes, quick);
});
