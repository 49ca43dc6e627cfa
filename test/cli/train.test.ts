import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openImageSet } from '../../src/cli/image-sets.js';
import { tf } from '../../src/core/tf.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { sample } from '../../src/sampling/sample.js';
import type { StepRecord } from '../../src/training/record.js';
import { stateName } from '../../src/training/saved-state.js';
import { experiments } from '../../workbook/experiments/index.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { sharedFolder } from '../temporary-folder.js';
import { smallConfig, smallSettings } from '../training/small.js';
import {
  refused,
  succeeds,
  tarflow,
  temporaryFolder,
  tiny,
  unwritablePath,
} from './command-line.js';

/**
 * `tarflow train` of a small model on the digits, which need no download: op by op unless a mode is
 * asked for, since recording a graph takes longer than these few steps.
 */
function train(out: string, overrides: readonly string[] = [], ...more: string[]) {
  const asked = ['--experiment', 'mnist-demonstration', '--mode', 'eager', '--out', out];
  return tarflow('train', ...asked, '--set', ...tiny, ...overrides, ...more);
}

function records(out: string): StepRecord[] {
  const text = fs.readFileSync(path.join(out, 'log.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as StepRecord);
}

/** What a run's folder has that was saved at a step. */
function runFiles(...steps: number[]): string[] {
  return ['checkpoint.safetensors', 'log.jsonl', 'run.json', ...steps.map(stateName)];
}

/** `tarflow train` as a process of its own, once it has made a first step. */
async function started(out: string, ...more: string[]) {
  const child = spawn(
    process.execPath,
    [
      ...['--import', 'tsx', path.join(__dirname, 'tarflow.ts')],
      ...['train', '--experiment', 'mnist-demonstration', '--out', out, '--set', ...tiny, ...more],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const log = path.join(out, 'log.jsonl');
  while (child.exitCode === null && !(fs.existsSync(log) && fs.statSync(log).size > 0)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return { child, ended, stdout: () => stdout };
}

test('an experiment trains into a folder, and the JSON says how it went', async () => {
  const out = path.join(temporaryFolder(), 'deep', 'run');
  const before = tf.memory().numTensors;
  const { stdout } = await succeeds(train(out, [], '--json'));
  expect(tf.memory().numTensors).toBe(before);
  const steps = records(out);
  expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(JSON.parse(stdout)).toMatchObject({
    experiment: 'mnist-demonstration',
    finished: true,
    steps: 6,
    loss: steps[5]!.loss,
    validation: steps[5]!.validation,
    checkpoint: path.join(out, 'checkpoint.safetensors'),
  });
  const times = steps.map(({ imagesPerSecond }) => 1 / imagesPerSecond);
  const waited = steps.map(({ dataShare }, step) => dataShare * times[step]!);
  const total = (numbers: number[]): number => numbers.reduce((sum, one) => sum + one, 0);
  expect(JSON.parse(stdout).dataShare).toBeCloseTo(total(waited) / total(times), 9);
  expect(fs.readdirSync(out).sort()).toEqual(['best.safetensors', ...runFiles(4, 6)]);
  const { metadata } = await readSafetensors(path.join(out, 'checkpoint.safetensors'));
  expect(JSON.parse(metadata.details as string)).toMatchObject({
    experiment: 'mnist-demonstration',
    dataset: 'mnist-10k-subset',
    steps: 6,
  });
});

test('the experiments and their values are listed', async () => {
  const { stdout } = await succeeds(tarflow('train', '--list'));
  for (const { name } of experiments) expect(stdout).toContain(name);
  // A line for each, below a head and a rule, and one that says how to see more.
  expect(stdout.trimEnd().split('\n')).toHaveLength(experiments.length + 4);
  const { name } = experiments[0]!;
  const one = await succeeds(tarflow('train', '--list', name));
  expect(one.stdout).toMatch(new RegExp(`^Values of ${name} .*--set`));
  expect(one.stdout).toContain('image.height=28');
  expect(one.stdout).toMatch(/noise=(uniform|gaussian:)/);
  expect(await refused(tarflow('train', '--list', 'nope'))).toMatch(/'nope'.*Expected one of/);
  const json = await tarflow('train', '--list', '--json');
  expect(JSON.parse(json.stdout)).toEqual(experiments);
});

// Recording graphs takes long: `npm run nightly` sets TARFLOW_NIGHTLY.
const [stoppedMode, stoppedSteps] = process.env.TARFLOW_NIGHTLY ? ['xla', 400] : ['eager', 120];
test('SIGTERM stops after a step as Control-C does, saves, and the command that it shows goes on bit for bit', async () => {
  const folder = temporaryFolder();
  const [stopped, whole] = [path.join(folder, 'stopped run'), path.join(folder, 'whole')];
  // Enough steps that the signal comes before the last one, and no save before it.
  const long = ['steps', 'saveEvery', 'validateEvery'].map((name) => `${name}=${stoppedSteps}`);
  const { child, ended, stdout } = await started(stopped, ...long, '--mode', stoppedMode);
  child.kill('SIGTERM');
  expect(await ended).toBe(130);
  const step = Number(/Stopped and saved after step (\d+) of/.exec(stdout())?.[1]);
  expect(fs.readdirSync(stopped).sort()).toEqual(runFiles(step));
  const command = stdout()
    .split('\n')
    .find((line) => line.includes('--resume')) as string;
  expect(command).toContain(`'${stopped}'`);
  // What a shell would make of it: only the folder's name is quoted.
  const words = command.trim().match(/'[^']*'|\S+/g) as string[];
  expect(words.slice(0, 2)).toEqual(['npx', 'tarflow']);
  await succeeds(tarflow(...words.slice(2).map((word) => word.replace(/^'(.*)'$/, '$1'))));

  await succeeds(train(whole, long, '--mode', stoppedMode));
  for (const name of ['checkpoint.safetensors', `state-${stoppedSteps}.safetensors`]) {
    const [a, b] = [stopped, whole].map((out) => fs.readFileSync(path.join(out, name)));
    expect(a!.equals(b!)).toBe(true);
  }
  expect(records(stopped).map(({ loss }) => loss)).toEqual(records(whole).map(({ loss }) => loss));
});

/** Ten pictures in each of two classes, colour of 20×16 pixels, beside a text file. */
async function pictures(): Promise<string> {
  const folder = path.join(temporaryFolder(), 'pets');
  for (const [label, name] of ['cat', 'dog'].entries()) {
    fs.mkdirSync(path.join(folder, name), { recursive: true });
    for (let i = 0; i < 10; i++) {
      const background = { r: 20 * i, g: 200 * label, b: 90 };
      const create = { width: 20, height: 16, channels: 3 as const, background };
      await sharp({ create }).toFile(path.join(folder, name, `${i}.png`));
    }
  }
  fs.writeFileSync(path.join(folder, 'notes.txt'), 'no picture');
  return folder;
}

describe('pictures of one’s own', () => {
  const small = ['channels=16', 'headWidth=16', 'blocks=2', 'layersPerBlock=1', 'steps=2'];

  test('get a model, settings and a folder, which need not be named again', async () => {
    const data = await pictures();
    const out = path.join(path.dirname(data), 'run');
    const named = ['--data', `folder:${path.relative('', data)}`, '--out', out];
    const first = await tarflow('train', ...named, '--minutes', '1', '--set', ...small);
    const { code, stderr } = first;
    expect(code, stderr).toBe(0);
    expect(first.stdout).toContain(`sample ${out} --label cat,dog --guidance 1 --denoise --out`);
    expect(stderr).toMatch(/Chosen: 2-64-4-2 for 18 pictures, \d+ steps of 8 at .* of 1/);
    expect(stderr).toMatch(/18 train, 2 validation .*16×16 in colour; 20 of another shape lose/);
    const run = JSON.parse(fs.readFileSync(path.join(out, 'run.json'), 'utf8'));
    expect(run).toMatchObject({
      experiment: 'pets',
      data: 'pets',
      named: { data: `folder:${data}` },
      config: { classes: 2, channels: 16, image: { channels: 3, height: 16, width: 16 } },
      settings: { steps: 2, batchSize: 8, noise: { kind: 'gaussian', sigma: 0.05 } },
    });
    await succeeds(tarflow('train', '--out', out, '--resume'));
    expect(await refused(tarflow('train', ...named))).toMatch(/holds a run already.*--resume/);

    const at = (name: string) => path.join(path.dirname(out), name);
    for (const [command, ...options] of [
      ['bpd', out],
      ['bpd', path.join(out, 'checkpoint.safetensors'), '--split', 'train', '--count', '4'],
      [
        'sample',
        out,
        '--label',
        'Dog',
        '--count',
        '8',
        '--seed',
        '7',
        '--out',
        at('s.safetensors'),
      ],
      ['sample', out, '--label', 'cat,dog', '--count', '2', '--denoise', '--out', at('s.png')],
      ['denoise', out, '--in', at('s.safetensors'), '--label', 'dog', '--out', at('d.png')],
      ['plan', out, '--repeats', '1', '--out', at('plan.json')],
    ] as const) {
      const { code, stderr } = await tarflow(command, ...options);
      expect(code, `${command}: ${stderr}`).toBe(0);
    }
    // What `distance` compares with.
    const lengths = [out, path.join(out, 'validation'), path.join(out, 'checkpoint.safetensors')];
    for (const [i, text] of lengths.entries()) {
      expect(await openImageSet(text)).toMatchObject({
        name: `pets/${i === 1 ? 'validation' : 'train'}`,
        length: i === 1 ? 2 : 18,
        image: { channels: 3, height: 16, width: 16 },
      });
    }
    const { metadata } = await readSafetensors(at('s.safetensors'));
    expect(JSON.parse(metadata.samples!)).toMatchObject({ seed: 7, label: new Array(8).fill(1) });
    const { exif } = await sharp(at('s.png')).metadata();
    expect(exif?.toString()).toContain('"label":[0,1]');
    const unknown = await tarflow('sample', out, '--label', 'dgo', '--out', at('x.png'));
    expect(unknown.stderr).toMatch(
      /no label 'dgo'\. Did you mean dog\? Expected 0 to 1 \(cat, dog\)/,
    );
    const test = await tarflow('bpd', out, '--split', 'test');
    expect(test.stderr).toMatch(
      /no images of the split 'test'\. Expected one of train, validation/,
    );
    const flow = await loadCheckpoint(out);
    const [named8, numbered8] = await Promise.all(
      ['dog', 1].map((label) => sample(flow, { count: 2, label })),
    );
    expect(await named8!.data()).toEqual(await numbered8!.data());
    tf.dispose([named8!, numbered8!]);
    disposeModel(flow);
  });

  test('that a file of an experiment names are found from elsewhere', async () => {
    const data = await pictures();
    const at = (name: string) => path.join(path.dirname(data), name);
    const config = { ...smallConfig, image: { channels: 1, height: 16, width: 16 }, classes: 2 };
    const dataset = `folder:${path.relative('', data)}`;
    const experiment = {
      name: 'own',
      description: 'mine',
      dataset,
      config,
      settings: smallSettings,
    };
    fs.writeFileSync(at('own.json'), JSON.stringify(experiment));
    const named = ['--experiment', at('own.json'), '--out', at('run')];
    await succeeds(tarflow('train', ...named, '--set', 'steps=1', 'validationImages=2'));
    const run = JSON.parse(fs.readFileSync(path.join(at('run'), 'run.json'), 'utf8'));
    expect(run.named).toEqual({ data: `folder:${data}` });
    const text = await succeeds(tarflow('train', '--out', at('run'), '--resume'));
    expect(text.stdout).toContain('1 step');
  });

  test('that an experiment has otherwise are converted, and it is said', async () => {
    const data = await pictures();
    const out = path.join(path.dirname(data), 'run');
    const set = ['classes=0', 'steps=1'];
    const { stderr } = await succeeds(train(out, set, '--data', `folder:${data}`));
    expect(stderr).toMatch(/28×28 in grey; 20 in colour become grey;.* 20 smaller than 28×28 are/);
    const timed = await train(out, set, '--data', `folder:${data}`, '--minutes', '3');
    expect(timed.stderr).toMatch(/--minutes came for a run whose steps are known/);
  });

  test('are not looked at, nor steps timed, where something else does not fit', async () => {
    const data = await pictures();
    const folder = path.dirname(data);
    const [out, held] = [path.join(folder, 'run'), path.join(folder, 'held')];
    fs.mkdirSync(held);
    fs.writeFileSync(path.join(held, 'run.json'), '{}');
    const named = ['--data', `folder:${data}`, '--minutes', '1'];
    for (const [options, message] of [
      [['--out', out, '--set', 'stepz=3'], /no option 'stepz'/],
      [['--out', out, '--set', 'batchSize=0'], /training setting batchSize is 0/],
      [['--out', out, '--set', 'patchSize=5'], /5×5/],
      [['--out', out, '--from', path.join(folder, 'none')], /none cannot be read/],
      [['--out', held, '--set', 'steps=1'], /holds a run already/],
      [['--out', out, '--minutes', '-1'], /'-1' is invalid.*a number above 0/],
    ] as const) {
      expect(await refused(tarflow('train', ...named, ...options))).toMatch(message);
    }
    for (const options of [
      ['--experiment', 'mnist-demonstration', '--set', 'batchSize=0'],
      ['--experiment', 'mnist-demonstration', '--from', path.join(folder, 'none')],
    ]) {
      const told = await refused(tarflow('train', ...named.slice(0, 2), '--out', out, ...options));
      expect(told).toMatch(/^tarflow: .*(batchSize is 0|none cannot be read)/);
    }
    expect(fs.existsSync(out)).toBe(false);
    const captioned = ['--experiment', 'emoji-text', '--text-encoder', 'minilmm', '--out', out];
    expect(await refused(tarflow('train', ...captioned))).toMatch(/Did you mean minilm\?/);
  });

  test('that cannot be trained on are refused before anything is made', async () => {
    const folder = temporaryFolder();
    const picture = { width: 16, height: 16, channels: 3, background: 'red' } as const;
    const write = (name: string) => {
      fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
      return sharp({ create: picture }).toFile(path.join(folder, name));
    };
    const mistakes: [() => unknown, RegExp][] = [
      [() => write('a.png'), /two images or more, of which one is held out/],
      [() => write('cat/a.png'), /a\.png lies beside folders of classes/],
    ];
    for (const [prepare, message] of mistakes) {
      await prepare();
      const run = ['--data', `folder:${folder}`, '--out', path.join(folder, 'out', 'run')];
      expect(await refused(tarflow('train', ...run, '--minutes', '1'))).toMatch(message);
      expect(fs.existsSync(path.join(folder, 'out'))).toBe(false);
    }
  });
});

describe('a run goes on as its folder records it', () => {
  const first = path.join(sharedFolder(), 'run');
  beforeAll(async () => {
    await succeeds(train(first, ['steps=1']));
  });

  /** A copy of the folder of a run of one step. */
  function begun(): string {
    const out = path.join(temporaryFolder(), 'run');
    fs.cpSync(first, out, { recursive: true });
    return out;
  }

  const described = (out: string) => path.join(out, 'run.json');

  /** Changes what the folder records. */
  function record(out: string, changes: object): void {
    const recorded = JSON.parse(fs.readFileSync(described(out), 'utf8'));
    fs.writeFileSync(described(out), JSON.stringify({ ...recorded, ...changes }));
  }

  test('under another plan, of which only what changes is said', async () => {
    const out = begun();
    await succeeds(tarflow('train', '--out', out, '--replan', '--set', 'steps=3'));
    const { experiment, config, settings } = JSON.parse(
      fs.readFileSync(path.join(out, 'run.json'), 'utf8'),
    );
    expect(experiment).toBe('mnist-demonstration');
    expect(config.channels).toBe(16);
    expect(settings).toMatchObject({ steps: 3, batchSize: 8 });
    expect(records(out).map(({ step }) => step)).toEqual([1, 2, 3]);
  });

  test('on images in a folder, also where that has the name of another data set', async () => {
    const data = await pictures();
    const images = path.join(path.dirname(data), 'mnist-10k-subset');
    fs.renameSync(data, images);
    const out = path.join(path.dirname(data), 'run');
    const set = ['steps=1', 'classes=2', 'image.channels=3', 'validationImages=2'];
    await succeeds(train(out, set, '--data', `folder:${images}`));
    await succeeds(tarflow('train', '--out', out, '--replan', '--set', 'steps=2'));
    const { named, split } = JSON.parse(fs.readFileSync(described(out), 'utf8'));
    expect({ named, split }).toEqual({ named: { data: `folder:${images}` }, split: 'train' });
    expect(records(out).map(({ step }) => step)).toEqual([1, 2]);
  });

  test('though it has no name, as one that the library began', async () => {
    const out = begun();
    record(out, { experiment: undefined, named: undefined });
    const resumed = await succeeds(
      tarflow('train', '--out', out, '--replan', '--set', 'steps=2', '--json'),
    );
    expect(JSON.parse(resumed.stdout).experiment).toBeUndefined();
    const now = JSON.parse(fs.readFileSync(described(out), 'utf8'));
    expect(now).not.toHaveProperty('experiment');
    expect(now).toMatchObject({ split: 'train', named: { data: 'mnist-10k-subset' } });
  });

  test('but not as another model, or with another beginning', async () => {
    const out = begun();
    expect(
      await refused(tarflow('train', '--out', out, '--resume', '--set', 'channels=32')),
    ).toMatch(/config\.channels: 16 there, 32 here.*without --experiment/);
    const from = await tarflow('train', '--out', out, '--resume', '--from', begun());
    expect(from).toMatchObject({ code: 2 });
    expect(from.stderr).toMatch(/from: none there.*Leave out.*--from/);
  });

  test('but not on other data, nor on another part of them', async () => {
    const out = begun();
    record(out, { data: 'others' });
    expect(
      await refused(tarflow('train', '--out', out, '--resume', '--data', 'mnist-10k-subset')),
    ).toMatch(/data: "others" there.*--data/);
    record(out, { data: 'my images', named: undefined });
    expect(await refused(tarflow('train', '--out', out, '--resume'))).toMatch(
      /trained on 'my images', of which .*Name it again.*folder:PATH/,
    );
    record(out, { data: 'mnist-10k-subset', split: 'train+validation' });
    expect(await refused(tarflow('train', '--out', out, '--resume'))).toMatch(
      /on the split train\+validation, and train came/,
    );
  });

  test('but not from a description that is damaged', async () => {
    for (const [changes, message] of [
      [{ config: undefined }, /run\.json .*config is missing/],
      [{ config: { kind: 'tarflow' } }, /run\.json .*config\.image/],
      [{ settings: { steps: 3 } }, /run\.json .*settings\.noise/],
      [{ data: undefined }, /run\.json .*data is missing/],
      [{ config: { kind: 'x', image: {} } }, /run\.json .*config\.image/],
    ] as const) {
      const out = begun();
      record(out, changes);
      expect(await refused(tarflow('train', '--out', out, '--resume'))).toMatch(message);
    }
  });
});

describe("a user's mistake exits 2, names the thing and the remedy, and leaves nothing", () => {
  const cases: [string, string[], RegExp][] = [
    ['an unknown experiment', ['--experiment', 'nope'], /'nope'.*fashion-mnist-density/],
    ['an unknown option key', ['--set', 'chanels=3'], /'chanels'.*Expected one of.*channels/],
    ['a value that does not fit', ['--set', 'headWidth=48'], /headWidth 48.*channels/],
    ['a wrong image size', ['--set', 'image.height=32', 'patchSize=4'], /1×28×28.*1×32×28/],
    ['another number of classes', ['--set', 'classes=7'], /10 classes and the model 7/],
    ['a patch that does not tile', ['--set', 'patchSize=5'], /5×5.*28×28.*divides/],
  ];
  test.each(cases)('%s', async (_, options, message) => {
    const out = path.join(temporaryFolder(), 'run');
    expectNoTensorsLeft();
    const experiment = options.includes('--experiment')
      ? []
      : ['--experiment', 'mnist-demonstration'];
    expect(await refused(tarflow('train', '--out', out, ...experiment, ...options))).toMatch(
      message,
    );
    expect(fs.existsSync(out)).toBe(false);
  });

  test('no experiment or folder', async () => {
    expect((await tarflow('train', '--out', 'x')).stderr).toMatch(
      /what to train on.*--data folder:PATH.*--experiment/,
    );
    expect((await tarflow('train', '--resume')).stderr).toMatch(/No --out came.*--resume/);
    const none = await tarflow('train', '--out', temporaryFolder(), '--resume');
    expect(none.stderr).toContain('holds no run');
    expect(await refused(tarflow('train', '--experiment', 'mnist-demonstration'))).toContain(
      'No --out came',
    );
  });

  test('a folder that cannot be written', async () => {
    const folder = temporaryFolder();
    const out = unwritablePath(folder, 'run');
    const stderr = await refused(train(out));
    expect(stderr).toContain(out);
    expect(stderr).toContain('Choose a path');
    expect(fs.readdirSync(folder)).toEqual(['a-file']);
  });

  test('something to begin with that is none', async () => {
    const folder = temporaryFolder();
    const out = path.join(folder, 'run');
    for (const [from, message] of [
      [path.join(folder, 'none.safetensors'), /none\.safetensors cannot be read/],
      [folder, /holds no run\. Expected the folder of a run/],
      [__filename, /train\.test\.ts claims a header/],
    ] as const) {
      expect(await refused(train(out, [], '--from', from))).toMatch(message);
      expect(fs.existsSync(out)).toBe(false);
    }
  });

  test('a decoder alone without the encoder that it decodes for', async () => {
    const out = path.join(temporaryFolder(), 'run');
    const noisy = ['train', '--experiment', 'emoji-vae-noisy', '--out', out];
    expect(await refused(tarflow(...noisy))).toMatch(
      /emoji-vae-noisy leaves a part .*\(encoder\..*Add --from/,
    );
    expect(fs.existsSync(out)).toBe(false);
  });
});
