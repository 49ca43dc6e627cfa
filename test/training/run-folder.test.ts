import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startEngine } from '../../src/backend/engine.js';
import { tf } from '../../src/backend/tf.js';
import { leaves } from '../../src/backend/tree.js';
import { disposeModel } from '../../src/flow/flow.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { loadCheckpoint } from '../../src/models/checkpoint.js';
import { tarflow } from '../../src/models/tarflow/index.js';
import { RunFolder } from '../../src/training/run-folder.js';
import type { TrainingSettings } from '../../src/training/settings.js';
import { type TrainingRun, train } from '../../src/training/train.js';
import { madeUpImages, smallConfig, smallSettings } from './small.js';

beforeAll(async () => {
  await startEngine();
});

function newFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-run-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true }));
  return path.join(folder, 'run');
}

function run(folder: string, more: Partial<TrainingRun> = {}): TrainingRun {
  return {
    config: smallConfig,
    settings: smallSettings,
    data: madeUpImages('train', 32),
    validation: madeUpImages('test', 20),
    folder,
    // Recording a graph takes longer than these few steps.
    mode: 'eager',
    ...more,
  };
}

/** The parameters that a run ends with, bit for bit. */
async function finish(of: TrainingRun): Promise<Record<string, number[]>> {
  const { flow, finished } = await train(of);
  expect(finished).toBe(true);
  const parameters = Object.fromEntries(
    Object.entries(leaves(flow.parameters)).map(([name, leaf]) => [
      name,
      Array.from(leaf.dataSync()),
    ]),
  );
  disposeModel(flow);
  return parameters;
}

/** Stops a run after a step, as Control-C does. */
async function stopAfter(step: number, of: TrainingRun): Promise<void> {
  const controller = new AbortController();
  const { flow, finished } = await train({
    ...of,
    signal: controller.signal,
    onStep: (record) => {
      if (record.step === step) controller.abort();
    },
  });
  expect(finished).toBe(false);
  disposeModel(flow);
}

/** Ends a run in the middle of things, as a power cut does. */
async function killAfter(step: number, of: TrainingRun): Promise<void> {
  const killed = train({
    ...of,
    onStep: (record) => {
      if (record.step === step) throw new Error('killed');
    },
  });
  await expect(killed).rejects.toThrow('killed');
}

function losses(folder: string): [number, number][] {
  const lines = fs.readFileSync(path.join(folder, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const { step, loss } = JSON.parse(line) as { step: number; loss: number };
    return [step, loss];
  });
}

describe('a run that was stopped goes on as if it had not been', () => {
  const variants: [string, Partial<TrainingSettings>, Partial<TrainingRun>][] = [
    ['as one graph', {}, { mode: undefined }],
    ['op by op', {}, {}],
    [
      'with averaged parameters, clipping and mirroring',
      { averageDecay: 0.9, clipNorm: 1, flip: true },
      {},
    ],
    ['volume preserving', {}, { config: { ...smallConfig, volumePreserving: true } }],
  ];
  test.each(variants)('%s', { timeout: 300_000 }, async (_, settings, more) => {
    const variant = (folder: string, resume = false): TrainingRun =>
      run(folder, { ...more, settings: { ...smallSettings, ...settings }, resume });
    const [whole, stopped, killed] = [newFolder(), newFolder(), newFolder()];
    const before = tf.memory().numTensors;
    const expected = await finish(variant(whole));

    await stopAfter(3, variant(stopped));
    expect(losses(stopped)).toHaveLength(3);
    expect(await finish(variant(stopped, true))).toEqual(expected);

    // The state of step 2 is the last one saved; steps 3 to 5 were logged and are done again.
    await killAfter(5, variant(killed));
    expect(losses(killed)).toHaveLength(5);
    expect(await finish(variant(killed, true))).toEqual(expected);

    for (const folder of [stopped, killed]) {
      expect(losses(folder)).toEqual(losses(whole));
      for (const name of ['state.safetensors', 'checkpoint.safetensors', 'run.json']) {
        const [ours, theirs] = [folder, whole].map((f) => fs.readFileSync(path.join(f, name)));
        expect(ours!.equals(theirs!)).toBe(true);
      }
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  test('before its first state was saved', async () => {
    const [whole, killed] = [newFolder(), newFolder()];
    const expected = await finish(run(whole));
    await killAfter(1, run(killed));
    expect(await finish(run(killed, { resume: true }))).toEqual(expected);
    expect(losses(killed)).toEqual(losses(whole));
  });

  test('after its last step there is nothing left to do', async () => {
    const folder = newFolder();
    const expected = await finish(run(folder));
    const log = fs.readFileSync(path.join(folder, 'log.jsonl'));
    expect(await finish(run(folder, { resume: true }))).toEqual(expected);
    expect(fs.readFileSync(path.join(folder, 'log.jsonl')).equals(log)).toBe(true);
  });
});

test('the checkpoint holds the parameters and what shapes cannot tell', async () => {
  const folder = newFolder();
  const expected = await finish(run(folder, { experiment: 'an-experiment' }));
  const before = tf.memory().numTensors;
  const flow = await loadCheckpoint(path.join(folder, 'checkpoint.safetensors'));
  expect(flow.config).toEqual(smallConfig);
  expect(flow.details).toEqual({
    experiment: 'an-experiment',
    noise: smallSettings.noise,
    dataset: 'made-up',
    classNames: ['a', 'b', 'c'],
    seed: smallSettings.seed,
    steps: smallSettings.steps,
  });
  for (const [name, leaf] of Object.entries(leaves(flow.parameters))) {
    expect(Array.from(leaf.dataSync())).toEqual(expected[name]);
  }
  disposeModel(flow);
  expect(tf.memory().numTensors).toBe(before);
});

test('a loss that is not finite leaves the last saved state', async () => {
  const folder = newFolder();
  const settings = { ...smallSettings, steps: 20, peakLearningRate: 1e12, saveEvery: 1 };
  const error = await train(run(folder, { settings })).catch((reason: Error) => reason);
  const kept = Number(/keeps the state of step (\d+)/.exec((error as Error).message)?.[1]);
  expect(kept).toBeGreaterThan(0);
  const { metadata } = await readSafetensors(path.join(folder, 'state.safetensors'));
  expect(metadata.step).toBe(String(kept));
  expect(fs.readdirSync(folder).sort()).toEqual([
    'checkpoint.safetensors',
    'log.jsonl',
    'run.json',
    'state.safetensors',
  ]);
});

describe('the log', () => {
  test('half a last line is what a killed run leaves, and is no obstacle', async () => {
    const [whole, killed] = [newFolder(), newFolder()];
    const expected = await finish(run(whole));
    await killAfter(3, run(killed));
    const log = path.join(killed, 'log.jsonl');
    fs.appendFileSync(log, '{"step":4,"epo');
    expect((await new RunFolder(killed).records()).map(({ step }) => step)).toEqual([1, 2, 3]);
    expect(await finish(run(killed, { resume: true }))).toEqual(expected);
    expect(losses(killed)).toEqual(losses(whole));
  });

  test('any other damaged line is named', async () => {
    const folder = newFolder();
    await killAfter(3, run(folder));
    const log = path.join(folder, 'log.jsonl');
    fs.writeFileSync(log, fs.readFileSync(log, 'utf8').replace('{"step":2', '{"step":'));
    await expect(new RunFolder(folder).records()).rejects.toThrow(/log\.jsonl, line 2 is not JSON/);
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(/line 2/);
  });
});

describe('a folder that does not fit is refused, and stays as it is', () => {
  test('another experiment, data set, model or settings', async () => {
    const folder = newFolder();
    await stopAfter(2, run(folder));
    const contents = (): string[] =>
      fs.readdirSync(folder).map((name) => fs.readFileSync(path.join(folder, name), 'latin1'));
    const before = contents();
    const others: [Partial<TrainingRun>, RegExp][] = [
      [{ settings: { ...smallSettings, seed: 5 } }, /run\.json.*"seed": 4.*"seed": 5/],
      [{ settings: { ...smallSettings, steps: 8 } }, /"steps": 7.*"steps": 8/],
      [{ config: { ...smallConfig, blocks: 3 } }, /"blocks": 2.*"blocks": 3/],
      [{ data: { ...madeUpImages('train', 32), name: 'other' } }, /"made-up".*"other"/],
      [{ experiment: 'another' }, /"another"/],
    ];
    for (const [other, message] of others) {
      await expect(train(run(folder, { ...other, resume: true }))).rejects.toThrow(message);
    }
    await expect(train(run(folder))).rejects.toThrow(/holds a run already.*--resume/);
    expect(contents()).toEqual(before);
  });

  test('no run to resume', async () => {
    const folder = newFolder();
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(/no run to resume/);
  });

  test('a damaged state', async () => {
    const folder = newFolder();
    await stopAfter(2, run(folder));
    const state = path.join(folder, 'state.safetensors');
    fs.writeFileSync(state, fs.readFileSync(state).subarray(0, 999));
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(/state\.safetensors/);
  });
});

describe('the mode of a run', () => {
  const described = (folder: string) =>
    JSON.parse(fs.readFileSync(path.join(folder, 'run.json'), 'utf8'));

  test('is what the run began in, unless another is asked for', { timeout: 120_000 }, async () => {
    const folder = newFolder();
    const modes: string[] = [];
    const onBegin: TrainingRun['onBegin'] = ({ step, mode }) => void modes.push(`${mode} ${step}`);
    await stopAfter(2, run(folder, { onBegin }));
    await stopAfter(4, run(folder, { onBegin, mode: undefined, resume: true }));
    expect(described(folder).mode).toBe('eager');
    await stopAfter(5, run(folder, { onBegin, mode: 'graph', resume: true }));
    await finish(run(folder, { onBegin, mode: undefined, resume: true }));
    expect(described(folder).mode).toBe('graph');
    expect(modes).toEqual(['eager 0', 'eager 2', 'graph 4', 'graph 5']);
  });

  test('is that of small models in long runs: compiled', { timeout: 120_000 }, async () => {
    const settings = (steps: number) => ({ ...smallSettings, steps });
    for (const [steps, mode] of [
      [1999, 'graph'],
      [2000, 'xla'],
    ] as const) {
      const folder = newFolder();
      await stopAfter(1, run(folder, { mode: undefined, settings: settings(steps) }));
      expect(described(folder).mode).toBe(mode);
    }
  });

  test('that is none leaves nothing behind', async () => {
    const folder = newFolder();
    const before = tf.memory().numTensors;
    const wrong = train(run(folder, { mode: 'XLA' as never }));
    await expect(wrong).rejects.toThrow('The mode is XLA. Expected graph, xla, eager.');
    expect(tf.memory().numTensors).toBe(before);
    expect(fs.readdirSync(folder)).toEqual([]);
    await finish(run(folder));
  });
});

describe('a run that goes on under another plan', () => {
  const longer = { ...smallSettings, steps: smallSettings.steps + 2, peakLearningRate: 0.005 };

  test('has to be asked for, keeps the old plan, and goes on from where it was', async () => {
    const folder = newFolder();
    await finish(run(folder));
    await expect(train(run(folder, { settings: longer, resume: true }))).rejects.toThrow(
      '--replan',
    );
    await finish(run(folder, { settings: longer, resume: 'replanned' }));
    const saved = JSON.parse(fs.readFileSync(path.join(folder, 'run.json'), 'utf8'));
    expect(saved.settings).toEqual(longer);
    expect(saved.history).toHaveLength(1);
    expect(saved.history[0].until).toBe(smallSettings.steps);
    expect(saved.history[0].plan.steps).toBe(smallSettings.steps);
    expect(saved.history[0].plan.peakLearningRate).toBe(smallSettings.peakLearningRate);
    expect(losses(folder).map(([step]) => step)).toEqual(
      Array.from({ length: longer.steps }, (_, index) => index + 1),
    );
    // The same again is the same run, not another plan.
    await finish(run(folder, { settings: longer, resume: true }));
    expect(JSON.parse(fs.readFileSync(path.join(folder, 'run.json'), 'utf8'))).toEqual(saved);
  });

  test('cannot become a run of something else', async () => {
    const folder = newFolder();
    await finish(run(folder));
    for (const settings of [
      { ...longer, seed: 99 },
      { ...longer, noise: { kind: 'gaussian', sigma: 0.123 } as const },
    ]) {
      const other = run(folder, { settings, resume: 'replanned' });
      await expect(train(other)).rejects.toThrow('describes another run');
    }
  });
});

describe('a run that begins with the parameters of a checkpoint', () => {
  async function startingPoint(): Promise<NonNullable<TrainingRun['from']>> {
    const folder = newFolder();
    await finish(run(folder));
    const flow = await loadCheckpoint(new RunFolder(folder).checkpoint, { family: tarflow });
    onTestFinished(() => disposeModel(flow));
    return { flow, checkpoint: 'a.safetensors', sha256: 'digest', steps: smallSettings.steps };
  }

  test('goes on from there, says so, and is resumed without naming it again', async () => {
    const from = await startingPoint();
    const [whole, parts] = [newFolder(), newFolder()];
    const expected = await finish(run(whole, { from }));
    await stopAfter(2, run(parts, { from }));
    expect(await finish(run(parts, { resume: true }))).toEqual(expected);
    expect(losses(parts)).toEqual(losses(whole));

    const described = JSON.parse(fs.readFileSync(path.join(parts, 'run.json'), 'utf8'));
    const { flow: _, ...point } = from;
    expect(described.from).toEqual(point);
    const trained = await loadCheckpoint(new RunFolder(parts).checkpoint);
    expect(trained.details.steps).toBe(2 * smallSettings.steps);
    disposeModel(trained);
    const fresh = newFolder();
    await finish(run(fresh));
    expect(losses(fresh)[0]).not.toEqual(losses(whole)[0]);
  });

  test('cannot be resumed with another one, nor without it where nothing was saved', async () => {
    const from = await startingPoint();
    const folder = newFolder();
    await killAfter(1, run(folder, { from }));
    await expect(train(run(folder, { resume: true }))).rejects.toThrow('--from');
    const other = { ...from, sha256: 'another' };
    await expect(train(run(folder, { from: other, resume: true }))).rejects.toThrow(
      'describes another run',
    );
    await finish(run(folder, { from, resume: true }));
  });

  test('refuses one of another configuration', async () => {
    const from = await startingPoint();
    const config = { ...smallConfig, blocks: smallConfig.blocks + 1 };
    await expect(train(run(newFolder(), { config, from }))).rejects.toThrow(
      `has blocks ${smallConfig.blocks}, the run ${smallConfig.blocks + 1}`,
    );
  });
});
