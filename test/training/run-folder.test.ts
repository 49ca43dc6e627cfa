import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { UserError } from '../../src/core/errors.js';
import { tf } from '../../src/core/tf.js';
import { leaves } from '../../src/core/tree.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import {
  type HostTensor,
  readSafetensors,
  writeSafetensors,
} from '../../src/formats/safetensors.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { readStartingPoint } from '../../src/models/read-starting-point.js';
import { bestName } from '../../src/training/checkpoint.js';
import { RunFolder } from '../../src/training/run-folder.js';
import { stateName } from '../../src/training/saved-state.js';
import type { TrainingSettings } from '../../src/training/settings.js';
import type { LoadedStartingPoint } from '../../src/training/state.js';
import { train } from '../../src/training/train.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { sharedFolder, temporaryFolder } from '../temporary-folder.js';
import {
  madeUpImages,
  smallRun as run,
  smallConfig,
  smallSettings,
  type TarFlowRun,
} from './small.js';

const newFolder = (): string => path.join(temporaryFolder(), 'run');

/** The parameters that a run ends with, bit for bit. */
async function finish(of: TarFlowRun): Promise<Record<string, number[]>> {
  const { model, finished } = await train(of);
  expect(finished).toBe(true);
  const parameters = Object.fromEntries(
    Object.entries(leaves(model.parameters)).map(([name, leaf]) => [
      name,
      Array.from(leaf.dataSync()),
    ]),
  );
  disposeModel(model);
  return parameters;
}

/** The folder of a whole run, and the parameters that it ends with: others are compared with it. */
const whole = path.join(sharedFolder(), 'run');
let expected: Record<string, number[]>;
beforeAll(async () => {
  expected = await finish(run(whole));
});

/** A copy of that folder. */
function doneFolder(): string {
  const folder = newFolder();
  fs.cpSync(whole, folder, { recursive: true });
  return folder;
}

/** Stops a run after a step, as Control-C does. */
async function stopAfter(step: number, of: TarFlowRun): Promise<void> {
  const controller = new AbortController();
  const { model, finished } = await train({
    ...of,
    signal: controller.signal,
    onStep: (record) => {
      if (record.step === step) controller.abort();
    },
  });
  expect(finished).toBe(false);
  disposeModel(model);
}

/** Ends a run in the middle of things, as a power cut does. */
async function killAfter(step: number, of: TarFlowRun): Promise<void> {
  const killed = train({
    ...of,
    onStep: (record) => {
      if (record.step === step) throw new Error('killed');
    },
  });
  await expect(killed).rejects.toThrow('killed');
}

/** What a run's folder has that was saved at a step. */
/** What is in the folder of a run that saved these steps last. */
function runFiles(...steps: number[]): string[] {
  const files = [bestName, 'checkpoint.safetensors', 'log.jsonl', 'run.json'];
  return [...files, ...steps.map(stateName)];
}

/** With another bit. */
function flipped(bytes: Buffer, at: number): Uint8Array {
  return Uint8Array.from(bytes).fill(bytes[at]! ^ 1, at, at + 1);
}

function described(folder: string) {
  return JSON.parse(fs.readFileSync(path.join(folder, 'run.json'), 'utf8'));
}

function losses(folder: string): [number, number][] {
  const lines = fs.readFileSync(path.join(folder, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const { step, loss } = JSON.parse(line) as { step: number; loss: number };
    return [step, loss];
  });
}

describe('a run that was stopped goes on as if it had not been', () => {
  const variants: [string, Partial<TrainingSettings>, Partial<TarFlowRun>][] = [
    ['as one graph', {}, { mode: undefined }],
    ['op by op', {}, {}],
    [
      'with averaged parameters, clipping and mirroring',
      { averageDecay: 0.9, clipNorm: 1, flip: true },
      {},
    ],
    ['volume preserving', {}, { config: { ...smallConfig, volumePreserving: true } }],
  ];
  test.each(variants)('%s', async (_, settings, more) => {
    const variant = (folder: string, resume = false): TarFlowRun =>
      run(folder, { ...more, settings: { ...smallSettings, ...settings }, resume });
    const [whole, stopped, killed] = [newFolder(), newFolder(), newFolder()];
    expectNoTensorsLeft();
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
      expect(fs.readdirSync(folder).sort()).toEqual(runFiles(6, 7));
      for (const name of runFiles(6, 7).filter((name) => name !== 'log.jsonl')) {
        const [ours, theirs] = [folder, whole].map((f) => fs.readFileSync(path.join(f, name)));
        expect(ours!.equals(theirs!)).toBe(true);
      }
    }
  });

  test('before its first state was saved', async () => {
    const killed = newFolder();
    await killAfter(1, run(killed));
    expect(await finish(run(killed, { resume: true }))).toEqual(expected);
    expect(losses(killed)).toEqual(losses(whole));
  });

  test('after its last step there is nothing left to do', async () => {
    const folder = doneFolder();
    const log = fs.readFileSync(path.join(folder, 'log.jsonl'));
    expect(await finish(run(folder, { resume: true }))).toEqual(expected);
    expect(fs.readFileSync(path.join(folder, 'log.jsonl')).equals(log)).toBe(true);
  });
});

test('the checkpoint holds the parameters and what shapes cannot tell', async () => {
  const folder = newFolder();
  const expected = await finish(run(folder, { experiment: 'an-experiment' }));
  expectNoTensorsLeft();
  const flow = await loadCheckpoint(path.join(folder, 'checkpoint.safetensors'));
  expect(flow.config).toEqual(smallConfig);
  expect(flow.details).toEqual({
    experiment: 'an-experiment',
    noise: smallSettings.noise,
    dataset: 'made-up',
    split: 'train',
    classNames: ['a', 'b', 'c'],
    seed: smallSettings.seed,
    steps: smallSettings.steps,
  });
  for (const [name, leaf] of Object.entries(leaves(flow.parameters))) {
    expect(Array.from(leaf.dataSync())).toEqual(expected[name]);
  }
  disposeModel(flow);
});

test('the best checkpoint is that of the least validation loss, also of a run that was stopped', async () => {
  const settings = { ...smallSettings, validateEvery: 1, peakLearningRate: 0.3, seed: 8 };
  const validation = madeUpImages('validation', 8);
  const [whole, killed] = [newFolder(), newFolder()];
  const [folder, again] = [whole, killed].map((folder) => run(folder, { settings, validation }));
  const { model, records } = await train(folder!);
  disposeModel(model);
  const held = records.map(({ validation }) => validation!.loss);
  const best = 1 + held.indexOf(Math.min(...held));
  // Neither the last step nor a saved one: the rate is too large for that.
  expect([1, 3, 5]).toContain(best);
  const { details } = await loadCheckpoint(path.join(whole, 'best.safetensors'));
  expect(details.steps).toBe(best);

  for (const step of [best, best + 1]) {
    fs.rmSync(killed, { recursive: true, force: true });
    await killAfter(step, again!);
    await finish({ ...again!, resume: true });
    const [ours, theirs] = [killed, whole].map((f) => fs.readFileSync(path.join(f, bestName)));
    expect(ours!.equals(theirs!)).toBe(true);
  }
});

test('a loss that is not finite leaves the last saved state', async () => {
  const folder = newFolder();
  const settings = { ...smallSettings, steps: 20, peakLearningRate: 1e12, saveEvery: 1 };
  const error = await train(run(folder, { settings })).catch((reason: Error) => reason);
  expect(error).toBeInstanceOf(UserError);
  const kept = Number(/keeps the state of step (\d+)/.exec((error as Error).message)?.[1]);
  expect(kept).toBeGreaterThan(0);
  const files = [...runFiles(...(kept > 1 ? [kept - 1] : []), kept)];
  expect(files).toEqual(expect.arrayContaining(fs.readdirSync(folder)));
  const state = await readSafetensors(path.join(folder, `state-${kept}.safetensors`));
  expect(state.metadata.step).toBe(String(kept));
  for (const { data } of Object.values(state.tensors)) {
    expect(data.every((value) => Number.isFinite(value))).toBe(true);
  }
  expect(losses(folder).at(-1)?.[0]).toBe(kept);
});

describe('the log', () => {
  test('half a last line is what a killed run leaves, and is no obstacle', async () => {
    const killed = newFolder();
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
    await expect(new RunFolder(folder).records()).rejects.toThrow(
      /log\.jsonl, line 2 is no record of a step/,
    );
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(/line 2/);
  });

  test('a line that is JSON and no record, or one that is missing, is named, too', async () => {
    const folder = newFolder();
    await killAfter(3, run(folder));
    const log = path.join(folder, 'log.jsonl');
    const lines = fs.readFileSync(log, 'utf8').trimEnd().split('\n');
    const resumed = (...kept: (string | undefined)[]) => {
      fs.writeFileSync(log, `${kept.join('\n')}\n`);
      return train(run(folder, { resume: true }));
    };
    await expect(resumed(lines[0], 'null', lines[2])).rejects.toThrow(/line 2 is no record/);
    await expect(resumed(lines[1], lines[2])).rejects.toThrow(
      /records of 1 steps, and the last state is of step 2/,
    );
  });
});

describe('a damaged state is named, and the one before it is used, to the same end', () => {
  const middle = (bytes: Buffer): number => Math.floor(bytes.length / 2);
  const damages: [string, (bytes: Buffer) => Uint8Array, RegExp][] = [
    ['one bit of a tensor', (bytes) => flipped(bytes, middle(bytes)), /other bytes than were/],
    [
      'one digit of its header',
      (bytes) => flipped(bytes, bytes.indexOf('"steps"') + 9),
      /its header has other bytes/,
    ],
    ['cut short', (bytes) => bytes.subarray(0, middle(bytes)), /bytes of tensors/],
    ['empty', () => new Uint8Array(0), /has 0 bytes/],
    ['text', () => Buffer.from('a letter to a friend'), /claims a header/],
  ];

  test.each(damages)('%s', async (_, damage, problem) => {
    const folder = newFolder();
    await stopAfter(5, run(folder));
    expect(fs.readdirSync(folder).sort()).toEqual(runFiles(4, 5));
    const last = path.join(folder, stateName(5));
    fs.writeFileSync(last, damage(fs.readFileSync(last)));
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    expect(await finish(run(folder, { resume: true }))).toEqual(expected);
    expect(warned.mock.calls).toEqual([[expect.stringMatching(problem), expect.anything()]]);
    const [[text]] = warned.mock.calls as [[string]];
    warned.mockRestore();
    expect(text).toMatch(
      /state-5\.safetensors.*The state of step 4, before it, is used instead\.$/,
    );
    expect(losses(folder)).toEqual(losses(whole));
    expect(fs.readdirSync(folder)).toContain('state-5.safetensors.damaged');
  });
});

describe('a folder that does not fit is refused, and stays as it is', () => {
  test('another experiment, data set, model or settings', async () => {
    const folder = newFolder();
    await stopAfter(2, run(folder));
    const contents = (): string[] =>
      fs.readdirSync(folder).map((name) => fs.readFileSync(path.join(folder, name), 'latin1'));
    const before = contents();
    const others: [Partial<TarFlowRun>, RegExp][] = [
      [
        { settings: { ...smallSettings, seed: 5 } },
        /run\.json describes another run: settings\.seed: 4 there, 5 here\./,
      ],
      [{ settings: { ...smallSettings, steps: 8 } }, /settings\.steps: 7 there, 8 here.*--replan/],
      [
        {
          config: { ...smallConfig, blocks: 3, background: 0 },
          settings: { ...smallSettings, noise: { kind: 'uniform' } },
        },
        /config\.blocks: 2 there, 3 here; config\.background: none there, 0 here/,
      ],
      [
        { data: { ...madeUpImages('train', 32), name: 'other' } },
        /data: "made-up" there, "other" here/,
      ],
      [{ experiment: 'another' }, /experiment: none there, "another" here/],
      [
        { settings: { ...smallSettings, noise: { kind: 'gaussian', sigma: 0.1 } } },
        /settings\.noise\.kind: "uniform" there, "gaussian" here; settings\.noise\.sigma: none there/,
      ],
    ];
    for (const [other, message] of others) {
      await expect(train(run(folder, { ...other, resume: true }))).rejects.toThrow(message);
    }
    await expect(train(run(folder))).rejects.toThrow(/holds a run already.*--resume/);
    expect(contents()).toEqual(before);
  });

  test('no run to resume', async () => {
    const folder = newFolder();
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(/holds no run/);
  });

  test('a damaged state without another', async () => {
    const folder = newFolder();
    await stopAfter(2, run(folder));
    const state = path.join(folder, 'state-2.safetensors');
    const bytes = fs.readFileSync(state);
    const before = tf.memory().numTensors;
    fs.writeFileSync(state, bytes.subarray(0, 999));
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(/state-2\.safetensors/);
    const earlier = path.join(folder, 'state-1.safetensors');
    fs.writeFileSync(earlier, bytes.subarray(0, 99));
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(
      /No state in .* is whole: .*state-2\.safetensors .*; .*state-1\.safetensors .*begin a new run/,
    );
    fs.rmSync(earlier);
    fs.rmSync(state);
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(
      /has a checkpoint\.safetensors, and no state of its run/,
    );
    expect(tf.memory().numTensors).toBe(before);
    fs.writeFileSync(state, bytes);
    await finish(run(folder, { resume: true }));
  });

  test('a last state that is missing, unreadable or of another step, though one is before it', async () => {
    const folder = newFolder();
    await stopAfter(5, run(folder));
    const last = path.join(folder, stateName(5));
    const before = fs.readFileSync(last);
    fs.rmSync(last);
    const message = /checkpoint\.safetensors is of training step 5, whose state is not beside it/;
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(message);
    fs.mkdirSync(last);
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(/state-5.*cannot be read/);
    fs.rmdirSync(last);
    fs.writeFileSync(path.join(folder, stateName(6)), before);
    const other = /state-6.*says that it is of step 5/;
    await expect(train(run(folder, { resume: true }))).rejects.toThrow(other);
    fs.rmSync(path.join(folder, stateName(6)));
    fs.writeFileSync(last, before);
    expect(await finish(run(folder, { resume: true }))).toEqual(expected);
  });

  test.each(['parameters.more', 'first.more', 'odd', ''])(
    'a state with another tensor: %s',
    async (more) => {
      const folder = newFolder();
      await stopAfter(2, run(folder));
      const file = path.join(folder, stateName(2));
      const { tensors, metadata } = await readSafetensors(file);
      const [[name, tensor]] = Object.entries(tensors) as [[string, HostTensor]];
      const { [name]: _, ...others } = tensors;
      await writeSafetensors(file, more ? { ...tensors, [more]: tensor } : others, metadata);
      const message = `does not fit: ${more || name}, which its model`;
      await expect(train(run(folder, { resume: true }))).rejects.toThrow(message);
    },
  );

  test('a checkpoint without a run', async () => {
    const folder = newFolder();
    await stopAfter(2, run(folder));
    fs.rmSync(path.join(folder, 'run.json'));
    await expect(train(run(folder))).rejects.toThrow(
      /holds a checkpoint\.safetensors, and no run\.json of its run/,
    );
  });
});

describe('the mode of a run', () => {
  test('is what the run began in, unless another is asked for', async () => {
    const folder = newFolder();
    const modes: string[] = [];
    const onBegin: TarFlowRun['onBegin'] = ({ step, mode }) => void modes.push(`${mode} ${step}`);
    await stopAfter(2, run(folder, { onBegin }));
    await stopAfter(4, run(folder, { onBegin, mode: undefined, resume: true }));
    expect(described(folder).mode).toBe('eager');
    await stopAfter(5, run(folder, { onBegin, mode: 'graph', resume: true }));
    await finish(run(folder, { onBegin, mode: undefined, resume: true }));
    expect(described(folder).mode).toBe('graph');
    expect(modes).toEqual(['eager 0', 'eager 2', 'graph 4', 'graph 5']);
  });

  test('stands beside how it uses threads, which is noted anew when it goes on', async () => {
    const folder = newFolder();
    vi.stubEnv('TF_NUM_INTRAOP_THREADS', '1');
    await stopAfter(2, run(folder));
    expect(described(folder).threads).toBe('undivided');
    vi.stubEnv('TF_NUM_INTRAOP_THREADS', '2');
    await finish(run(folder, { resume: true }));
    expect(described(folder).threads).toBe('divided');
    vi.unstubAllEnvs();
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
    const folder = doneFolder();
    await expect(train(run(folder, { settings: longer, resume: true }))).rejects.toThrow(
      '--replan',
    );
    await finish(run(folder, { settings: longer, resume: 'replanned' }));
    const saved = described(folder);
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
    expect(described(folder)).toEqual(saved);
  });

  test('cannot end before the step that it is at', async () => {
    const folder = doneFolder();
    const before = described(folder);
    const shorter = { ...smallSettings, steps: smallSettings.steps - 1 };
    await expect(train(run(folder, { settings: shorter, resume: 'replanned' }))).rejects.toThrow(
      `${smallSettings.steps} steps are done, and the new plan has ${shorter.steps}`,
    );
    expect(described(folder)).toEqual(before);
  });

  test('cannot become a run of something else', async () => {
    const folder = doneFolder();
    for (const settings of [
      { ...longer, seed: 99 },
      { ...longer, noise: { kind: 'gaussian', sigma: 0.123 } as const },
    ]) {
      const other = run(folder, { settings, resume: 'replanned' });
      await expect(train(other)).rejects.toThrow('describes another run');
    }
  });
});

describe('a run is compared by what its run.json means', () => {
  test('keys in another order, and other forms of numbers', async () => {
    const folder = newFolder();
    await stopAfter(3, run(folder));
    const { settings, config, ...rest } = described(folder);
    const reversed = Object.fromEntries(Object.entries(settings).reverse());
    const text = JSON.stringify({ settings: reversed, ...rest, config });
    expect(text).toContain('"peakLearningRate":0.01');
    const written = text.replace('"peakLearningRate":0.01', '"peakLearningRate" : 1.0e-2');
    fs.writeFileSync(path.join(folder, 'run.json'), written);
    expect(await finish(run(folder, { resume: true }))).toEqual(expected);
    expect(fs.readFileSync(path.join(folder, 'run.json'), 'utf8')).toBe(written);
  });

  test('damage is named', async () => {
    const folder = newFolder();
    await stopAfter(2, run(folder));
    const { settings, ...rest } = described(folder);
    const damaged = (changes: object) => JSON.stringify({ settings, ...rest, ...changes });
    for (const [text, message] of [
      ['{"settings": {', /run\.json is not JSON/],
      ['[]', /run\.json does not fit.*Mend it/],
      [damaged({ settings: 3 }), /settings is 3/],
      [damaged({ settings: {} }), /settings\.noise is missing/],
      [damaged({ data: undefined }), /data is missing/],
      [damaged({ config: {} }), /config\.kind is missing/],
    ] as const) {
      fs.writeFileSync(path.join(folder, 'run.json'), text);
      await expect(train(run(folder, { resume: true }))).rejects.toThrow(message);
    }
  });
});

test('states of every so many steps stay, where that is asked for', async () => {
  const folder = newFolder();
  const settings = { ...smallSettings, saveEvery: 2, keepEvery: 3 };
  await killAfter(4, run(folder, { settings }));
  expect(fs.readdirSync(folder).filter((name) => name.startsWith('state-'))).toEqual(
    [3, 4].map(stateName),
  );
  await finish(run(folder, { settings, resume: true }));
  expect(fs.readdirSync(folder).sort()).toEqual(runFiles(3, 6, 7));
});

test.each([
  ['was deleted', () => undefined],
  ['is damaged', (bytes: Buffer) => flipped(bytes, bytes.indexOf('"steps') + 9)],
])('a run whose checkpoint %s goes on, and has one again at once', async (_, damage) => {
  const folder = newFolder();
  await stopAfter(3, run(folder));
  const checkpoint = path.join(folder, 'checkpoint.safetensors');
  const saved = fs.readFileSync(checkpoint);
  const damaged = damage(saved);
  if (damaged) fs.writeFileSync(checkpoint, damaged);
  else fs.rmSync(checkpoint);
  let present: Buffer | undefined;
  const onBegin = () => {
    present = fs.readFileSync(checkpoint);
  };
  expect(await finish(run(folder, { resume: true, onBegin }))).toEqual(expected);
  expect(present?.equals(saved)).toBe(true);
});

describe('while a run goes on, its folder is locked', () => {
  test('against another in the same process, and free when it ends, also by an error', async () => {
    const folder = newFolder();
    const before = tf.memory().numTensors;
    let second: Promise<unknown> | undefined;
    const onBegin = async () => {
      expect(fs.readdirSync(folder)).toContain('run.lock');
      second = train(run(folder, { resume: true }));
      await expect(second).rejects.toThrow(
        `${folder} is in use by this process ${process.pid}. Wait until it ends`,
      );
      throw new Error('stopped');
    };
    await expect(train(run(folder, { onBegin }))).rejects.toThrow('stopped');
    expect(second).toBeDefined();
    expect(fs.readdirSync(folder).sort()).toEqual(['log.jsonl', 'run.json']);
    expect(tf.memory().numTensors).toBe(before);
    await finish(run(folder, { resume: true }));
    expect(fs.readdirSync(folder).sort()).toEqual(runFiles(6, 7));
  });
});

describe('a run that begins with what another one learnt', () => {
  async function point(file: string): Promise<LoadedStartingPoint> {
    const before = tf.memory().numTensors;
    const found = await readStartingPoint(file);
    expect(tf.memory().numTensors).toBe(before + Object.keys(found.state).length);
    onTestFinished(() => tf.dispose(found.state));
    return found;
  }

  test('goes on from there, says so, and is resumed without naming it again', async () => {
    const from = await point(new RunFolder(whole).checkpoint);
    const [second, parts] = [newFolder(), newFolder()];
    const longer = await finish(run(second, { from }));
    await stopAfter(2, run(parts, { from }));
    expect(await finish(run(parts, { resume: true }))).toEqual(longer);
    expect(losses(parts)).toEqual(losses(second));

    const { checkpoint, sha256, steps } = from;
    expect(described(parts).from).toEqual({ checkpoint, sha256, steps });
    expect(checkpoint).toBe('checkpoint.safetensors');
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    const trained = await loadCheckpoint(new RunFolder(parts).checkpoint);
    expect(trained.details.steps).toBe(2 * smallSettings.steps);
    expect(losses(parts)[0]).not.toEqual(losses(whole)[0]);
  });

  test('cannot be resumed with another one, nor without it where nothing was saved', async () => {
    const from = await point(new RunFolder(whole).checkpoint);
    const folder = newFolder();
    await killAfter(1, run(folder, { from }));
    await expect(train(run(folder, { resume: true }))).rejects.toThrow('--from');
    const other = { ...from, sha256: 'another' };
    await expect(train(run(folder, { from: other, resume: true }))).rejects.toThrow(
      /describes another run: from\.sha256: "[0-9a-f]{64}" there, "another" here/,
    );
    await finish(run(folder, { from, resume: true }));
  });

  test('refuses one of another configuration', async () => {
    const from = await point(new RunFolder(whole).checkpoint);
    const config = { ...smallConfig, blocks: smallConfig.blocks + 1 };
    await expect(train(run(newFolder(), { config, from }))).rejects.toThrow(
      `has blocks ${smallConfig.blocks}, the run ${smallConfig.blocks + 1}`,
    );
  });

  const averaged = { ...smallSettings, averageDecay: 0.9 };
  const oneStep = { steps: 1, saveEvery: 1, warmupSteps: 0, peakLearningRate: 1e-30 };

  /** The saved state of a run, by its names. */
  async function stateOf(folder: string, step: number): Promise<Record<string, number[]>> {
    const { tensors } = await readSafetensors(path.join(folder, `state-${step}.safetensors`));
    return Object.fromEntries(
      Object.entries(tensors).map(([name, { data }]) => [name, Array.from(data)]),
    );
  }

  function ofKind(state: Record<string, number[]>, prefix: string): Record<string, number[]> {
    const found = Object.entries(state).filter(([name]) => name.startsWith(prefix));
    return Object.fromEntries(found.map(([name, data]) => [name.slice(prefix.length), data]));
  }

  test('takes weights and mean of a run, and leaves the moments', async () => {
    const [first, second] = [newFolder(), newFolder()];
    await stopAfter(3, run(first, { settings: averaged }));
    const before = await stateOf(first, 3);
    const from = await point(first);
    expect(from).toMatchObject({ checkpoint: 'run', steps: 3, config: smallConfig });
    expect(Object.keys(from.state).filter((name) => /^(first|second)\./.test(name))).toEqual([]);

    // A step so short that it changes nothing: what the run ends with is what it began with.
    const settings = { ...averaged, ...oneStep, weightDecay: 0 };
    await finish(run(second, { settings, from }));
    const after = await stateOf(second, 1);
    for (const kind of ['parameters.', 'var']) {
      expect(ofKind(after, kind)).toEqual(ofKind(before, kind));
    }
    // It goes on as the fourth step of one mean, in rounded numbers.
    const share = (1 - 0.9) / (1 - 0.9 ** 4);
    for (const [name, mean] of Object.entries(ofKind(before, 'average.'))) {
      const weights = before[`parameters.${name}`] as number[];
      const moved = mean.map((value, i) => value + share * ((weights[i] as number) - value));
      expect(after[`average.${name}`]!.every((x, i) => Math.abs(x - moved[i]!) < 1e-6)).toBe(true);
    }
    expect(ofKind(before, 'average.')).not.toEqual(ofKind(before, 'parameters.'));
    expect(ofKind(after, 'first.')).not.toEqual(ofKind(before, 'first.'));
    // Both runs' steps are behind it, and so for one that goes on from it by its file.
    expect((await point(path.join(second, 'state-1.safetensors'))).steps).toBe(4);
  });

  test('goes on with a mean that does not say its steps as with one of many', async () => {
    const [first, second] = [newFolder(), newFolder()];
    await stopAfter(3, run(first, { settings: averaged }));
    const before = await stateOf(first, 3);
    const from = { ...(await point(first)), steps: 0 };
    await finish(run(second, { settings: { ...averaged, ...oneStep, weightDecay: 0 }, from }));
    const after = await stateOf(second, 1);
    for (const [name, mean] of Object.entries(ofKind(before, 'average.'))) {
      const weights = before[`parameters.${name}`] as number[];
      const moved = mean.map((value, i) => value + 0.1 * ((weights[i] as number) - value));
      expect(after[`average.${name}`]!.every((x, i) => Math.abs(x - moved[i]!) < 1e-6)).toBe(true);
    }
  });

  test('without a running mean leaves that of the other; with one begins at its weights', async () => {
    const [first, second, third] = [newFolder(), newFolder(), newFolder()];
    await stopAfter(3, run(first, { settings: averaged }));
    const before = await stateOf(first, 3);
    const short = { ...smallSettings, ...oneStep, weightDecay: 0 };
    await finish(run(second, { settings: short, from: await point(first) }));
    const without = await stateOf(second, 1);
    expect(ofKind(without, 'parameters.')).toEqual(ofKind(before, 'parameters.'));
    expect(ofKind(without, 'average.')).toEqual({});

    const settings = { ...short, averageDecay: 0.9 };
    await finish(run(third, { settings, from: await point(second) }));
    const withMean = await stateOf(third, 1);
    expect(ofKind(withMean, 'average.')).toEqual(ofKind(before, 'parameters.'));
  });

  test('a folder without a saved step, or without a run, is named', async () => {
    const folder = newFolder();
    await expect(readStartingPoint(folder)).rejects.toThrow(`${folder} cannot be read`);
    await killAfter(1, run(folder));
    await expect(readStartingPoint(folder)).rejects.toThrow(/has saved no state yet/);
    await expect(readStartingPoint(path.dirname(folder))).rejects.toThrow(/holds no run/);
  });
});
