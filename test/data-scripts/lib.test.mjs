import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { createGunzip, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { download } from '../../data-scripts/lib/download.mjs';
import {
  folderSize,
  linkAtomically,
  makeFolder,
  requireDiskSpace,
  sha256OfFile,
} from '../../data-scripts/lib/files.mjs';
import { labOptions } from '../../data-scripts/lib/lab.mjs';
import { notebookError } from '../../data-scripts/lib/notebooks.mjs';
import { cacheFolder } from '../../data-scripts/lib/places.mjs';
import { Progress } from '../../data-scripts/lib/progress.mjs';
import { explainFailure, run, runOrThrow } from '../../data-scripts/lib/run.mjs';
import { runSteps } from '../../data-scripts/lib/steps.mjs';

/** @type {string} */
let folder;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tarflow-test-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** @param {string} text */
function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}

describe('the cache folder', () => {
  test.each([
    [{ TARFLOW_CACHE: '/a', XDG_CACHE_HOME: '/b' }, path.resolve('/a')],
    [{ XDG_CACHE_HOME: '/b' }, path.join('/b', 'tarflow')],
    [{ TARFLOW_CACHE: '', XDG_CACHE_HOME: '' }, path.join(homedir(), '.cache', 'tarflow')],
    [{ XDG_CACHE_HOME: 'relative' }, path.join(homedir(), '.cache', 'tarflow')],
  ])('for %o is %s', (environment, expected) => {
    expect(cacheFolder(environment)).toBe(expected);
  });
});

describe('makeFolder', () => {
  test('makes the whole folder, over an incomplete one', async () => {
    const target = path.join(folder, 'parent', 'made');
    mkdirSync(target, { recursive: true });
    writeFileSync(path.join(target, 'old'), '');
    await makeFolder(target, async (temporary) => writeFileSync(path.join(temporary, 'new'), ''));
    expect(readdirSync(target)).toEqual(['new']);
    expect(readdirSync(path.dirname(target))).toEqual(['made']);
  });

  test('leaves nothing, and what was there before, when the filling fails', async () => {
    const target = path.join(folder, 'made');
    mkdirSync(target);
    writeFileSync(path.join(target, 'old'), '');
    const filling = makeFolder(target, async (temporary) => {
      writeFileSync(path.join(temporary, 'half'), '');
      throw new Error('interrupted');
    });
    await expect(filling).rejects.toThrow('interrupted');
    expect(readdirSync(folder)).toEqual(['made']);
    expect(readdirSync(target)).toEqual(['old']);
  });

  test('removes what a killed process left behind, not what a living one is making', async () => {
    const target = path.join(folder, 'made');
    // No process has this number: it is above the kernel's limit.
    mkdirSync(`${target}.partial-99999999`);
    mkdirSync(`${target}.partial-${process.ppid}`);
    await makeFolder(target, async () => {});
    expect(readdirSync(folder).sort()).toEqual(['made', `made.partial-${process.ppid}`]);
  });
});

test('linkAtomically makes, keeps and switches a link', () => {
  const link = path.join(folder, 'deep', 'link');
  for (const target of ['/one', '/one', '/two']) {
    linkAtomically(target, link);
    expect(readlinkSync(link)).toBe(target);
  }
  expect(readdirSync(path.dirname(link))).toEqual(['link']);
});

test('sha256OfFile reads a file, or what is inside its gzip', async () => {
  const file = path.join(folder, 'file.gz');
  writeFileSync(file, gzipSync('content'));
  expect(await sha256OfFile(file, createGunzip())).toBe(sha256('content'));
  writeFileSync(file, 'content');
  expect(await sha256OfFile(file)).toBe(sha256('content'));
  await expect(sha256OfFile(file, createGunzip())).rejects.toThrow();
  await expect(sha256OfFile(path.join(folder, 'none'), createGunzip())).rejects.toThrow('ENOENT');
});

test('folderSize counts files at every depth', () => {
  mkdirSync(path.join(folder, 'a', 'b'), { recursive: true });
  writeFileSync(path.join(folder, 'a', 'b', 'file'), '12345');
  writeFileSync(path.join(folder, 'file'), '123');
  expect(folderSize(folder)).toBe(8);
  expect(folderSize(path.join(folder, 'none'))).toBe(0);
});

test('requireDiskSpace refuses what cannot fit, and names the folder', () => {
  const place = path.join(folder, 'not', 'yet');
  expect(() => requireDiskSpace(place, 1, 'A small thing')).not.toThrow();
  expect(() => requireDiskSpace(place, 1e18, 'A big thing')).toThrow(
    `A big thing needs 1000000000.0 GB in ${place}`,
  );
});

describe('running programs', () => {
  test('collects output and status', async () => {
    const script = "console.log('out'); console.error('error'); process.exit(3)";
    const { status, output } = await run(process.execPath, ['-e', script]);
    expect(status).toBe(3);
    expect(output).toContain('out');
    expect(output).toContain('error');
  });

  test('a program that does not exist has status 127', async () => {
    expect((await run(path.join(folder, 'none'), [])).status).toBe(127);
  });

  test('runOrThrow throws one sentence and the last lines', async () => {
    const script = "console.error('the reason'); process.exit(1)";
    const running = runOrThrow('The probe', process.execPath, ['-e', script], {
      remedy: 'Repair it',
    });
    await expect(running).rejects.toMatchObject({
      message: 'The probe failed. Repair it.',
      details: 'the reason',
    });
  });

  test.each([
    ['npm error code ENOTFOUND', 'the network'],
    ['npm error code ENOTCACHED', 'the network'],
    ["WARNING: Retrying after connection broken by 'NewConnectionError'", 'the network'],
    ['E: Temporary failure resolving deb.example.org', 'the network'],
    ['OSError: [Errno 28] No space left on device', 'the disk is full'],
    ['npm error code ENOSPC', 'the disk is full'],
  ])('%s is understood as: %s', (output, reason) => {
    const error = explainFailure('The probe', output);
    expect(error.message).toContain(`The probe failed: ${reason}`);
    expect(error.details).toBeUndefined();
  });
});

describe('runSteps', () => {
  /** @returns {import('../../data-scripts/lib/steps.mjs').Context & { shown: string[] }} */
  function context() {
    /** @type {string[]} */
    const shown = [];
    const stream = { isTTY: false, write: (/** @type {string} */ text) => shown.push(text) };
    const progress = new Progress(/** @type {any} */ (stream));
    return { root: folder, cache: folder, env: {}, progress, shown };
  }

  /** @param {string} name */
  function step(name) {
    return {
      title: name,
      isDone: () => existsSync(path.join(folder, name)),
      run: async () => writeFileSync(path.join(folder, name), ''),
    };
  }

  test('runs what is not done, once', async () => {
    writeFileSync(path.join(folder, 'first'), '');
    const first = context();
    expect(await runSteps([step('first'), step('second')], first)).toBe(1);
    expect(first.shown.join('')).toMatch(/^ {2}second …\n✓ second \(0\.\d s\)\n$/);
    const again = context();
    expect(await runSteps([step('first'), step('second')], again)).toBe(0);
    expect(again.shown).toEqual([]);
  });

  test('stops at the step that fails and goes on there the next time', async () => {
    const failing = {
      ...step('second'),
      run: async () => {
        throw new Error('no');
      },
    };
    const first = context();
    await expect(runSteps([step('first'), failing, step('third')], first)).rejects.toThrow('no');
    expect(first.shown.join('')).toContain('✗ second');
    expect(readdirSync(folder).sort()).toEqual(['first', 'locks']);
    expect(readdirSync(path.join(folder, 'locks'))).toEqual([]);
    expect(await runSteps([step('first'), step('second'), step('third')], context())).toBe(2);
  });

  test('a log shows every tenth of a download once', () => {
    const { progress, shown } = context();
    progress.start('It');
    for (let done = 0; done <= 1000; done += 1) progress.update(done * 1e6, 1e9);
    expect(shown).toHaveLength(12);
    expect(shown.at(-1)).toBe('  It … 100 % of 1.0 GB\n');
  });
});

describe('download', () => {
  const content = 'abcdefghij'.repeat(1000);
  /** @type {import('node:http').Server} */
  let server;
  /** @type {string} */
  let address;
  /** @type {(string | undefined)[]} */
  let ranges;

  beforeEach(async () => {
    ranges = [];
    server = createServer((request, response) => {
      const { range } = request.headers;
      ranges.push(range);
      if (request.url === '/missing') {
        response.writeHead(404).end();
        return;
      }
      const start = Number(/bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
      if (start >= content.length) {
        response.writeHead(416).end();
        return;
      }
      const body = request.url === '/no-ranges' ? content : content.slice(start);
      response.writeHead(body === content ? 200 : 206, { 'content-length': body.length });
      response.end(body);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    address = `http://127.0.0.1:${port}`;
  });

  afterEach(() => {
    server.close();
    server.closeAllConnections();
  });

  const verify = async (/** @type {string} */ file) => {
    if ((await sha256OfFile(file)) !== sha256(content)) throw new Error('damaged');
  };

  test('brings the file and tells how far it is', async () => {
    const file = path.join(folder, 'deep', 'file');
    /** @type {[number, number | undefined][]} */
    const seen = [];
    await download(`${address}/file`, file, {
      verify,
      onProgress: (done, total) => seen.push([done, total]),
    });
    expect(readFileSync(file, 'utf8')).toBe(content);
    expect(seen.at(-1)).toEqual([content.length, content.length]);
  });

  test.each([
    ['file', 4000],
    ['no-ranges', 4000],
    ['file', content.length],
  ])('of /%s goes on after %i bytes', async (name, have) => {
    const file = path.join(folder, 'file');
    writeFileSync(`${file}.part`, content.slice(0, have));
    await download(`${address}/${name}`, file, { verify });
    expect(ranges).toEqual([`bytes=${have}-`]);
    expect(readdirSync(folder)).toEqual(['file']);
    expect(readFileSync(file, 'utf8')).toBe(content);
  });

  test('leaves nothing of a file with the wrong content', async () => {
    const file = path.join(folder, 'file');
    writeFileSync(`${file}.part`, 'x'.repeat(4000));
    await expect(download(`${address}/file`, file, { verify })).rejects.toThrow('damaged');
    expect(readdirSync(folder)).toEqual([]);
  });

  test('names the address that does not answer well', async () => {
    const file = path.join(folder, 'file');
    await expect(download(`${address}/missing`, file, { verify })).rejects.toThrow(
      `${address}/missing answered 404`,
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});

test("notebookError keeps the cell and its message, not the tools' own lines", () => {
  const output = [
    'Traceback (most recent call last):',
    '  File "client.py", line 918, in _check_raise_for_error',
    'nbclient.exceptions.CellExecutionError: An error occurred while executing the following cell:',
    'throw new Error("no")',
    'Error: no',
    '    at evalmachine.<anonymous>:2:7',
    '    at sigintHandlersWrap (node:vm:280:12)',
    '    at Object.execute (/x/node_modules/tslab/dist/executor.js:160:38)',
    '',
  ].join('\n');
  expect(notebookError(output)).toBe(
    [
      'An error occurred while executing the following cell:',
      'throw new Error("no")',
      'Error: no',
      '    at evalmachine.<anonymous>:2:7',
    ].join('\n'),
  );
  expect(notebookError('jupyter: kernel died')).toBe('jupyter: kernel died');
});

test('JupyterLab opens its start page, but not in a folder that has none', () => {
  const page = '--LabApp.default_url=/lab/tree/START.md';
  expect(labOptions('/project', ['--no-browser'])).toEqual([
    '--MultiKernelManager.default_kernel_name=tarflow',
    '--LabApp.app_settings_dir=/project/data-scripts/lab-settings',
    page,
    '--no-browser',
  ]);
  expect(labOptions('/project', ['--ServerApp.root_dir=reproduction'])).not.toContain(page);
});
