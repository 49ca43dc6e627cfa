import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { fetchData } from '../../data-scripts/commands/data.mjs';
import { onWhite } from '../../data-scripts/lib/pictures.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { run } from '../../data-scripts/lib/run.mjs';
import { newContext } from '../../data-scripts/lib/steps.mjs';
import { readTar } from '../../data-scripts/lib/tar.mjs';
import { efficientNetLite0 } from '../../data-scripts/steps/efficientnet-lite0.mjs';
import { emojiFrom } from '../../data-scripts/steps/emoji.mjs';
import { fluentFrom } from '../../data-scripts/steps/emoji-fluent.mjs';
import { standInForNpm, tarEnd, tarEntry } from './stand-in-for-npm.mjs';

test('readTar finds the files of an archive, their folders and lengths', () => {
  const deep = `${'folder/'.repeat(20)}file`;
  const archive = Buffer.concat([
    tarEntry('package/', '', '5'),
    tarEntry('package/empty', ''),
    tarEntry('package/block', 'x'.repeat(512)),
    tarEntry('package/more', 'y'.repeat(513)),
    tarEntry(deep, 'z'),
    tarEnd,
  ]);
  const found = [...readTar(archive)].map(({ name, content }) => [name, content.length]);
  expect(found).toEqual([
    ['package/empty', 0],
    ['package/block', 512],
    ['package/more', 513],
    [deep, 1],
  ]);
});

describe('onWhite', () => {
  const one = { width: 1, height: 1 };

  test.each([
    ['opaque', [10, 20, 30, 255], [10, 20, 30]],
    ['transparent, black underneath', [0, 0, 0, 0], [255, 255, 255]],
    // 128/255 of 0, 100, 255 and 127/255 of 255: 127, 177.196…, 255
    ['half-transparent', [0, 100, 255, 128], [127, 177, 255]],
    // 127/255 of 10, 20, 30 and 128/255 of 255: 132.980…, 137.960…, 142.941…
    ['a little more transparent', [10, 20, 30, 127], [133, 138, 143]],
  ])('of a pixel that is %s', (_what, rgba, expected) => {
    expect([...onWhite(Uint8Array.from(rgba), one, 1)]).toEqual(expected);
  });

  test('is channel-first, row by row', () => {
    const rgba = Uint8Array.from([1, 2, 3, 255, 4, 5, 6, 255, 7, 8, 9, 255, 10, 11, 12, 255]);
    const pixels = onWhite(rgba, { width: 2, height: 2 }, 1);
    expect([...pixels]).toEqual([1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12]);
  });

  test('reduces by the mean of what is seen, rounded once', () => {
    // Red pixels beside a transparent black one: no dark seam.
    const rgba = [
      [200, 0, 0, 255],
      [200, 0, 0, 255],
      [201, 1, 0, 255],
      [0, 0, 0, 0],
    ].flat();
    const pixels = onWhite(Uint8Array.from(rgba), { width: 2, height: 2 }, 2);
    // (200 + 200 + 201 + 255) / 4 = 214, (0 + 0 + 1 + 255) / 4 = 64, 255 / 4 = 63.75
    expect([...pixels]).toEqual([214, 64, 64]);
  });
});

describe('the doctor', () => {
  test('calls the emoji optional: a hint, no remedy', async () => {
    const cache = mkdtempSync(path.join(tmpdir(), 'tarflow-test-'));
    const bin = path.join(projectRoot, 'src', 'cli', 'bin.js');
    const env = { ...process.env, TARFLOW_CACHE: cache, TARFLOW_BACKEND: 'wasm' };
    const { output } = await run(process.execPath, [bin, 'doctor', '--json'], { env });
    rmSync(cache, { recursive: true });
    const { findings } = JSON.parse(output);
    const finding = findings.find((/** @type {{ name: string }} */ { name }) => name === 'emoji');
    expect(finding.hint).toContain('`npx tarflow data emoji`');
    expect(finding.remedy).toBeUndefined();
  });
});

test.each([
  ['constructor', ''],
  ['fasion-mnist', 'Did you mean fashion-mnist? '],
])('an unknown data set, %s: the known ones are named', async (name, meant) => {
  const bin = path.join(projectRoot, 'src', 'cli', 'bin.js');
  const { status, output } = await run(process.execPath, [bin, 'data', name], {
    env: process.env,
  });
  expect(status).toBe(2);
  expect(output.trim()).toBe(
    `There is no data set '${name}'. ${meant}Name one or more of fashion-mnist (31 MB), mnist-10k-subset (5 MB), cifar10 (139 MB), efficientnet-lite0 (17 MB), minilm (84 MB), emoji (136 MB), emoji-fluent (152 MB).`,
  );
});

const context = newContext();
const present = efficientNetLite0.isDone(context);
test.skipIf(!present)('what is in the cache needs no Python', async () => {
  const root = mkdtempSync(path.join(tmpdir(), 'tarflow-test-'));
  await fetchData(['efficientnet-lite0'], { ...context, root });
  expect(readdirSync(root)).toEqual([]);
  rmSync(root, { recursive: true });
});

// The stand-in for npm is a shell script.
describe.skipIf(process.platform === 'win32')('the emoji step', () => {
  const npm = standInForNpm();

  const ofHands = { category: 'People & Body', subcategory: 'hand-fingers-open' };
  const ofSmileys = { category: 'Smileys & Emotion', subcategory: 'face-smiling' };
  const entries = [
    {
      unified: '1F44B',
      image: 'wave.png',
      short_name: 'wave',
      ...ofHands,
      sort_order: 2,
      skin_variations: { '1F3FD': { unified: '1F44B-1F3FD', image: 'wave-medium.png' } },
    },
    {
      unified: '1F600',
      image: 'grinning.png',
      short_name: 'grinning',
      ...ofSmileys,
      sort_order: 1,
    },
  ];

  /**
   * A PNG of one colour, 64×64, with or without colour channels.
   *
   * @param {number[]} colour
   */
  function png(colour) {
    const channels = /** @type {2 | 4} */ (colour.length);
    const pixels = Buffer.from(
      Array(64 * 64)
        .fill(colour)
        .flat(),
    );
    return sharp(pixels, { raw: { width: 64, height: 64, channels } })
      .png()
      .toBuffer();
  }

  /** The packages of a small registry; the vendors draw in different colours. */
  async function publish() {
    const packages = [];
    for (const [vendor, red] of /** @type {const} */ ([
      ['google', 10],
      ['twitter', 20],
    ])) {
      /** @type {[string, number[]][]} */
      const pictures = [
        ['grinning.png', [red, 0, 200, 128]],
        ['wave.png', [red, 1, 2, 255]],
        // Grey with transparency, as some of Google's.
        ['wave-medium.png', [100, 128]],
      ];
      const files = [tarEntry('package/emoji.json', JSON.stringify(entries))];
      for (const [name, colour] of pictures) {
        files.push(tarEntry(`package/img/${vendor}/64/${name}`, await png(colour)));
      }
      const archive = gzipSync(Buffer.concat([...files, tarEnd]));
      packages.push({ vendor, ...npm.publish(`emoji-datasource-${vendor}-16.0.0.tgz`, archive) });
    }
    return packages;
  }

  /** @param {string} name */
  const inData = (name) => path.join(npm.context.cache, 'data', 'emoji', name);

  test('keeps the pictures on white in both sizes, and what they are, in Unicode’s order', async () => {
    await emojiFrom(await publish()).run(npm.context);
    expect(JSON.parse(readFileSync(inData('emoji.json'), 'utf8'))).toEqual([
      { code: '1F600', entry: '1F600', shortName: 'grinning', ...ofSmileys },
      { code: '1F44B', entry: '1F44B', shortName: 'wave', ...ofHands },
      { code: '1F44B-1F3FD', entry: '1F44B', shortName: 'wave', ...ofHands },
    ]);
    for (const [vendor, red] of /** @type {const} */ ([
      ['google', 10],
      ['twitter', 20],
    ])) {
      for (const size of [32, 64]) {
        const idx = gunzipSync(readFileSync(inData(`${vendor}-${size}-images-idx4-ubyte.gz`)));
        expect([...idx.subarray(0, 4)]).toEqual([0, 0, 8, 4]);
        const shape = [4, 8, 12, 16].map((at) => idx.readUInt32BE(at));
        expect(shape).toEqual([3, 3, size, size]);
        const half = (/** @type {number} */ value) => Math.round((128 * value + 127 * 255) / 255);
        const colours = [
          [half(red), half(0), half(200)],
          [red, 1, 2],
          [half(100), half(100), half(100)],
        ];
        const expected = colours.flat().map((value) => Buffer.alloc(size * size, value));
        expect(Buffer.concat(expected).equals(idx.subarray(20))).toBe(true);
      }
    }
  });

  test('fetches both in one call of npm, once, and keeps no archive', async () => {
    const step = emojiFrom(await publish());
    expect(step.isDone(npm.context)).toBe(false);
    await step.run(npm.context);
    expect(step.isDone(npm.context)).toBe(true);
    const lines = readFileSync(npm.calls, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^pack emoji-datasource-google@16\.0\.0 emoji-datasource-twitter@16\.0\.0 /,
    );
    expect(readdirSync(path.join(npm.context.cache, 'downloads'))).toEqual([]);
    writeFileSync(inData('google-32-images-idx4-ubyte.gz'), 'cut short');
    expect(step.isDone(npm.context)).toBe(false);
  });

  test('keeps Microsoft’s pictures by their code points, of four digits at least', async () => {
    const archive = gzipSync(
      Buffer.concat([
        tarEntry('package/package.json', '{}'),
        tarEntry('package/assets/1f600.webp', 'smile'),
        tarEntry('package/assets/23-fe0f-20e3.webp', 'key'),
        tarEntry('package/assets/1f3f4-e0067_e0062.webp', 'no code points'),
        tarEnd,
      ]),
    );
    const file = 'lobehub-fluent-emoji-3d-1.1.0.tgz';
    const named = { name: '@lobehub/fluent-emoji-3d', version: '1.1.0', file };
    const step = fluentFrom({ ...named, ...npm.publish(file, archive) });
    expect(step.isDone(npm.context)).toBe(false);
    await step.run(npm.context);
    expect(step.isDone(npm.context)).toBe(true);
    expect(readFileSync(npm.calls, 'utf8')).toMatch(/^pack @lobehub\/fluent-emoji-3d@1\.1\.0 /);
    const kept = path.join(npm.context.cache, 'data', 'emoji-fluent');
    expect(readdirSync(kept).sort()).toEqual([
      ...['0023-fe0f-20e3.webp', '1f600.webp', 'complete.json', 'sha256.json'],
    ]);
    expect(readFileSync(path.join(kept, '0023-fe0f-20e3.webp'), 'utf8')).toBe('key');
    expect(readdirSync(path.join(npm.context.cache, 'downloads'))).toEqual([]);
    const other = fluentFrom({ ...named, bytes: 1, integrity: 'sha512-other', version: '1.1.1' });
    expect(other.isDone(npm.context)).toBe(false);
    await expect(other.run(npm.context)).rejects.toThrow(
      /with the integrity sha512-.*, not sha512-other/,
    );
  });

  test('goes on without npm where it was stopped after the download', async () => {
    const packages = await publish();
    // A file in the way of the data's folder: the first run fetches, and fails to write.
    writeFileSync(path.join(npm.context.cache, 'data'), '');
    await expect(emojiFrom(packages).run(npm.context)).rejects.toThrow(/cannot be made/);
    rmSync(path.join(npm.context.cache, 'data'));
    npm.write('echo "npm error code ENOTFOUND" >&2; exit 1');
    await emojiFrom(packages).run(npm.context);
    expect(emojiFrom(packages).isDone(npm.context)).toBe(true);
  });

  test('without a network says so, and leaves nothing', async () => {
    const packages = await publish();
    npm.write('echo "npm error code ENOTFOUND" >&2; exit 1');
    await expect(emojiFrom(packages).run(npm.context)).rejects.toThrow(
      'The download of the emoji packages failed: the network, or the package registry, cannot be ' +
        'reached. Check the connection',
    );
    expect(readdirSync(path.join(npm.context.cache, 'downloads'))).toEqual([]);
    expect(existsSync(inData(''))).toBe(false);
  });

  test('refuses an archive with another content, and leaves nothing', async () => {
    const packages = await publish();
    npm.publish('emoji-datasource-twitter-16.0.0.tgz', Buffer.from('other'));
    await expect(emojiFrom(packages).run(npm.context)).rejects.toThrow(
      /brought emoji-datasource-twitter-16\.0\.0\.tgz with the integrity sha512-.*, not sha512-.*Check which registry npm uses/,
    );
    expect(readdirSync(path.join(npm.context.cache, 'downloads'))).toEqual([]);
    expect(existsSync(inData(''))).toBe(false);
  });
});
