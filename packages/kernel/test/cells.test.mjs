import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { drive, openKernel, prepare, shown } from './drive.mjs';

/** @type {string} */
let folder;
/** @type {Record<string, string>} */
let env;

/** @type {() => void} */
let remove;
/** @type {ReturnType<typeof openKernel>} */
let kernel;

beforeAll(() => {
  ({ folder, env, remove } = prepare('kernel'));
  kernel = openKernel({ folder, env });
});

afterAll(async () => {
  expect(await kernel.close()).toEqual([]);
  remove();
});

/**
 * A package in the folder.
 *
 * @param {string} name
 * @param {object} description what its package.json says
 * @param {Record<string, string>} files
 */
function makePackage(name, description, files) {
  const place = path.join(folder, 'node_modules', name);
  mkdirSync(place, { recursive: true });
  const content = JSON.stringify({ name, version: '1.0.0', ...description });
  writeFileSync(path.join(place, 'package.json'), content);
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(place, file), text);
}

/** @param {(string | object)[]} steps */
const asked = (steps) => steps.map((step) => (typeof step === 'string' ? { code: step } : step));
/** @param {import('./drive.mjs').Result[]} results */
const withShown = (results) => results.map((result) => ({ ...result, ...shown(result.outputs) }));

/**
 * Steps in the kernel that the tests share. What they show of cells counts from their first one.
 *
 * @param {(string | object)[]} steps
 */
async function cells(...steps) {
  const text = JSON.stringify(await kernel.run(asked(steps)));
  const before = JSON.parse(text)[0].reply.execution_count - 1;
  return withShown(JSON.parse(text.replace(/\bcell (\d+)/g, (_, n) => `cell ${n - before}`)));
}

/**
 * Steps in a kernel of their own.
 *
 * @param {(string | object)[]} steps
 */
async function freshCells(...steps) {
  const { results, left } = await drive(asked(steps), { folder, env });
  return { results: withShown(results), left };
}

const sleep = 'const sleep = (ms: number) => new Promise((go) => setTimeout(go, ms));';

describe('requests', () => {
  test('count, are silent, answer expressions, and are aborted behind an error', async () => {
    const { results } = await freshCells(
      '1 + 1',
      { code: 'console.log(2); 3', silent: true },
      { code: '4', store_history: false },
      {
        code: 'const a = 6;',
        user_expressions: {
          product: 'a * 7',
          wrong: 'b',
          thrown: "(() => { throw new TypeError('no'); })()",
        },
      },
      // Long enough for the others to be sent.
      {
        code: "await new Promise((go) => setTimeout(go, 200));\nthrow new Error('stop');",
        with: [{ code: 'a' }, { code: 'a + 1' }],
      },
      { code: "throw new Error('go on');", stop_on_error: false, with: [{ code: 'a + 2' }] },
      { ask: 'comm_info_request' },
      { ask: 'is_complete_request', content: { code: 'if (a) {\n  f(' } },
      { ask: 'comm_open', content: { comm_id: 'c', target_name: 't', data: {} }, unanswered: true },
      { ask: 'comm_msg', content: { comm_id: 'c', data: {} }, unanswered: true },
      { ask: 'history_request', content: { hist_access_type: 'tail', n: 2, output: true } },
    );
    expect(results[11]?.outputs).toEqual([['comm_close', { comm_id: 'c', data: {} }]]);
    expect(results[12]?.outputs).toEqual([]);
    const replies = results.map(({ reply }) => reply).filter((reply) => reply !== null);
    expect(replies.map(({ status }) => status).join(' ')).toBe(
      'ok ok ok ok error aborted aborted error ok ok incomplete ok',
    );
    const counts = replies.map(({ execution_count }) => execution_count);
    expect(counts.slice(0, 7)).toEqual([1, 1, 1, 2, 3, undefined, undefined]);
    expect(counts[8]).toBe(5);
    expect(results[0]?.of('execute_input')).toEqual([{ code: '1 + 1', execution_count: 1 }]);
    expect(results[1]?.outputs).toEqual([]);
    expect(results[2]?.result).toEqual({ 'text/plain': '4' });
    const { product, wrong, thrown } = replies[3].user_expressions;
    expect(product).toEqual({ status: 'ok', data: { 'text/plain': '42' }, metadata: {} });
    expect(wrong.evalue).toBe("TS2304: Cannot find name 'b'.");
    expect(thrown.ename).toBe('TypeError');
    expect(results[4]?.error).toEqual({
      ename: 'Error',
      evalue: 'stop',
      traceback: replies[4].traceback,
    });
    expect(results[8]?.result).toEqual({ 'text/plain': '8' });
    expect(replies[9].comms).toEqual({});
    expect(replies[10].indent).toBe('    ');
    expect(replies[11].history.map((/** @type {unknown[]} */ entry) => entry[2])).toEqual([
      ["throw new Error('go on');", null],
      ['a + 2', '8'],
    ]);
  });

  test('are answered: completions with types, members, imports and paths; inspection', async () => {
    writeFileSync(path.join(folder, 'neighbour.ts'), 'export const near = 1;\n');
    makePackage('with-doors', { exports: { './flow': './flow.js' } }, {});
    const ask = (/** @type {string} */ code) => ({
      ask: 'complete_request',
      content: { code, cursor_pos: [...code].length },
    });
    const inspect = (/** @type {string} */ code) => ({
      ask: 'inspect_request',
      content: { code, cursor_pos: [...code].length, detail_level: 0 },
    });
    const results = await cells(
      '/** Doubles a number. */\nfunction twice(x: number): number { return 2 * x; }\nconst box = { width: 1, height: 2 };',
      ask('"😀"; box.wi'),
      ask("import { near } from './neigh"),
      ask("import { forward } from 'with-doors/fl"),
      inspect('twice('),
      inspect('nothing'),
    );
    const [, member, file, door] = results.map(({ reply }) => reply);
    expect(member).toMatchObject({ matches: ['width'], cursor_start: 9, cursor_end: 11 });
    expect(member.metadata._jupyter_types_experimental[0].type).toBe('property');
    expect(file.matches).toEqual(['./neighbour']);
    expect(door.matches).toEqual(['with-doors/flow']);
    const found = results[4]?.reply;
    expect(found.data['text/plain']).toContain('function twice(x: number): number');
    expect(found.data['text/markdown']).toContain('Doubles a number.');
    expect(results[5]?.reply).toMatchObject({ status: 'ok', found: false });
  });

  test('what other cells declare is there in every form', async () => {
    const results = await cells(
      'let a = 1;\nconst b = 2;\nfunction f() { return 3; }\nclass C { d = 4; }',
      'function g(a: number) { return { a, b }; }\n({ a, own: { b, f: f() }, g: g(5), d: new C().d })',
      '({ a } = { a: 7 });\nfor (const x of [1]) { const b = 9; console.log({ a, b }); }',
      'a += 1;\na',
      'const pairs = [{ left: { right: 5 } }];',
      'pairs.map(({ left: { right: five } }) => five)',
    );
    const values = results.map(({ result }) => result?.['text/plain']);
    expect(values[1]).toBe('{ a: 1, own: { b: 2, f: 3 }, g: { a: 5, b: 2 }, d: 4 }');
    expect(results[2]?.stdout).toBe('{ a: 7, b: 9 }\n');
    expect(values[3]).toBe('8');
    expect(values[5]).toBe('[ 5 ]');
  });

  test('a cell that reads from stdin is told that nobody answers', async () => {
    const results = await cells(
      "import * as readline from 'node:readline/promises';",
      'for await (const line of process.stdin) console.log(line);',
    );
    expect(results[1]?.error.evalue).toMatch(/cannot read from stdin/);
  });
});

describe('errors', () => {
  test('point at the lines of their cells; internals are left out', async () => {
    const results = await cells(
      "interface Row { x: number }\n// A comment.\nfunction inner(row: Row) {\n  if (row.x > 0) throw new RangeError('too large');\n}",
      'const outer = async (row: Row) => {\n  await null;\n  inner(row);\n};',
      'await outer({ x: 1 });',
      "const n: number = 'text';\nconst m: { a: { b: number } } = { a: { b: 'text' } };",
      "throw new Error('outside', { cause: new TypeError('inside') });",
      "throw { not: 'an error' };",
      'console.log(new Error("shown").stack);\nconst later = async () => ({ x: 1 });',
      'later().x;',
      'from tarflow import sample',
      'print(3)',
      '%time f()',
      '!ls -la',
      "import * as fs from 'node:fs';\nlater()",
      'const fs = 3;\nconst list = { a: 1 };\nlist[0];',
      'const ys = [log(2), pi, len([1])];',
      'if True:\n  unknown(3)',
    );
    const lines = results[2]?.error.traceback;
    expect(lines).toEqual([
      'RangeError: too large',
      '  2 | // A comment.',
      '  3 | function inner(row: Row) {',
      "  4 |   if (row.x > 0) throw new RangeError('too large');",
      '    |                        ^',
      '  5 | }',
      expect.stringMatching(/^ {4}at inner \(cell 1:4:24\)$/),
      expect.stringMatching(/^ {4}at outer \(cell 2:3:3\)$/),
      expect.stringMatching(/^ {4}at async cell 3:1:1$/),
    ]);
    const wrong = results[3]?.error;
    expect(wrong.ename).toBe('TypeScriptError');
    expect(wrong.traceback.slice(0, 4)).toEqual([
      "TS2322: Type 'string' is not assignable to type 'number'.",
      'cell 4, line 1, column 7',
      "  1 | const n: number = 'text';",
      '    |       ^',
    ]);
    expect(wrong.traceback.join('\n')).toContain('cell 4, line 2, column 40');
    expect(results[4]?.error.traceback.join('\n')).toMatch(
      /outside.*Caused by:\nTypeError: inside/s,
    );
    expect(results[5]?.error).toMatchObject({ ename: 'Object', evalue: "{ not: 'an error' }" });
    expect(results[6]?.stdout).toBe('Error: shown\n    at cell 7:1:13\n');
    expect(results[7]?.error.traceback.slice(0, 2)).toEqual([
      "TS2339: Property 'x' does not exist on type 'Promise<{ x: number; }>'.\n  Did you forget to use 'await'?",
      'cell 8, line 1, column 9',
    ]);
    const hints = results.map(({ of }) =>
      of('display_data').map(({ data }) => data['text/plain'].replace('Hint: ', '')),
    );
    expect(hints.slice(0, 8).flat()).toEqual([]);
    expect(hints.slice(8)).toEqual([
      ["In TypeScript: `import { sample } from 'tarflow';`"],
      [expect.stringContaining('`console.log(…)`')],
      [expect.stringContaining('`console.time(); …; console.timeEnd();`')],
      [expect.stringContaining("execSync('ls -la')")],
      [],
      [expect.stringContaining("`fs` was imported from 'node:fs'")],
      ['Math.log', 'Math.PI', 'x.length'].map((here) => `In TypeScript: \`${here}\`.`),
      ['In TypeScript: `true`.'],
    ]);
    // What does not parse is told alone.
    const syntax = results[15]?.error.traceback.join('\n');
    expect(syntax).toMatch(/TS1\d{3}: /);
    expect(syntax).not.toMatch(/TS2\d{3}: /);
    expect(results[12]?.result['text/plain']).toMatch(/^A promise\. Write `await` before it/);
    expect(results[8]?.stderr).toBe('');
  });

  test('and interrupts leave what a cell had declared before', async () => {
    const results = await cells(
      "const before = 1;\nclass Known { x = 2; }\nthrow new Error('stop');\nconst after = 3, other = 4;",
      'before + new Known().x',
      'after',
      {
        code: "const log: number[] = [];\nconsole.log('go');\nfor (let i = 0; ; i++) {\n  log.push(i);\n  await null;\n}\nconst beyond = 5;",
        when: 'go',
        interrupt: 'message',
      },
      'log.length > 0',
      'beyond',
      {
        code: "let loops = 0;\nconsole.log('go');\nfor (;;) loops++;",
        when: 'go',
        interrupt: 'message',
      },
      'loops > 0 && before === 1',
    );
    const seen = results.map(({ result, error }) => result?.['text/plain'] ?? error?.evalue);
    expect(seen[1]).toBe('3');
    expect(seen[2]).toContain("Cannot find name 'after'");
    expect(seen[4]).toBe('true');
    expect(seen[5]).toContain("Cannot find name 'beyond'");
    expect(seen[7]).toBe('true');
  });

  test('that nobody caught are shown below their cell, and the kernel lives', async () => {
    const results = await cells(
      `${sleep}\nconst late = (name: string) => Promise.reject(new Error(name));`,
      "void late('rejected');\nsetTimeout(() => { throw new Error('thrown'); }, 100);\nconsole.log('first');",
      "await sleep(300);\nconsole.log('second');",
    );
    const [, first, second] = results;
    const later = shown(first?.late ?? []).stderr;
    expect((first?.stderr ?? '') + later).toMatch(
      /Unhandled rejection: Error: rejected.*cell 1:2:47/s,
    );
    expect(later).toMatch(/Uncaught: Error: thrown.*cell 2:2:26/s);
    expect(second).toMatchObject({ stdout: 'second\n', stderr: '' });
    expect(second?.late).toEqual([]);
  });
});

describe('an interrupt', () => {
  const alive = 'kept + 1';

  test.each(['message', 'signal'])(
    'as a %s stops loops of every kind; what was there stays',
    async (interrupt) => {
      const at = { when: 'go', interrupt };
      const results = await cells(
        `${sleep}\nconst kept = 41;`,
        {
          code: "console.log('go'); for (;;) {}",
          ...at,
          with: [{ code: "console.log('queued')" }],
        },
        alive,
        { code: "await sleep(1); console.log('go'); for (;;) {}", ...at },
        alive,
        {
          code: "setTimeout(() => { console.log('go'); for (;;) {} }, 1); await sleep(60_000);",
          ...at,
        },
        alive,
        { code: "console.log('go'); for (;;) { try { await sleep(10); } catch {} }", ...at },
        alive,
        { code: "console.log('go'); for (;;) await null;", ...at },
        alive,
        {
          code: "setInterval(() => console.log('tick'), 5);\ntry { console.log('go'); await sleep(60_000); } finally { console.log('left'); }",
          ...at,
        },
        `await sleep(100); ${alive}`,
      );
      const [, first, ...others] = results.filter(({ reply }) => reply.status !== 'aborted');
      expect(results[2]?.reply.status).toBe('aborted');
      for (const result of [first, ...others.filter((_, i) => i % 2 === 1)]) {
        expect(result?.error).toMatchObject({ ename: 'Interrupted' });
        expect(result?.late).toEqual([]);
      }
      for (const result of others.filter((_, i) => i % 2 === 0)) {
        expect(result?.result).toEqual({ 'text/plain': '42' });
        expect(result?.stdout).toBe('');
      }
      expect(results.at(-2)?.stdout).toMatch(/tick.*left\n$/s);
    },
  );

  test('reaches a cell that has not begun, while the compiler starts', async () => {
    const { results } = await freshCells(
      { code: 'for (;;) {}', when: '', interrupt: 'message' },
      '1 + 1',
    );
    expect(results[0]?.error).toMatchObject({ ename: 'Interrupted' });
    expect(results[1]?.result).toEqual({ 'text/plain': '2' });
  });

  test('leaves what a package still does under its cell', async () => {
    const work = `const { readFile } = require('node:fs/promises');
exports.work = async () => {
  for (let i = 0; !globalThis.enough; i++) {
    await readFile(__filename);
    if (i % 50 === 0) console.log('step');
  }
  console.log('over');
};`;
    const types = 'export declare function work(): Promise<void>;\n';
    makePackage('endless', {}, { 'index.js': work, 'index.d.ts': types });
    const results = await cells(
      `${sleep}\nimport { work } from 'endless';`,
      { code: 'await work();', when: 'step', interrupt: 'message' },
      'for (let i = 0; i < 20; i++) { await sleep(5); console.log(i); }\n(globalThis as any).enough = true;',
    );
    const [, interrupted, next] = results;
    expect(interrupted?.error.ename).toBe('Interrupted');
    expect(shown(interrupted?.late ?? []).stdout).toContain('step\n');
    expect(next?.stdout).toBe(Array.from({ length: 20 }, (_, i) => `${i}\n`).join(''));
  });

  test('leaves what a child process still says under its cell', async () => {
    const results = await cells(
      `${sleep}\nimport { spawn } from 'node:child_process';\nimport { EventEmitter } from 'node:events';`,
      {
        code: `const child = spawn(process.execPath, ['-e', "setInterval(() => console.log('said'), 5)"]);
child.stdout.on('data', (text) => console.log(String(text)));
await sleep(60_000);`,
        when: 'said',
        interrupt: 'message',
      },
      `for (let i = 0; i < 20; i++) { await sleep(5); console.log(i); }
child.kill();
const emitter = new EventEmitter();
const count = () => emitter.listenerCount('x');
const listener = () => console.log('heard');
emitter.on('x', listener);
emitter.once('x', listener);
emitter.emit('x');
console.log(count());
emitter.off('x', listener);
emitter.once('x', listener);
emitter.off('x', listener);
console.log(count(), emitter.emit('x'));`,
    );
    const [, interrupted, next] = results;
    expect(interrupted?.error.ename).toBe('Interrupted');
    expect(shown(interrupted?.late ?? []).stdout).toContain('said\n');
    const numbers = Array.from({ length: 20 }, (_, i) => `${i}\n`).join('');
    expect(next?.stdout).toBe(`${numbers}heard\nheard\n1\n0 false\n`);
  });

  test('clears timers in every form', async () => {
    const results = await cells(
      `import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
const waits = [() => pause(5, 'a'), () => promisify(setTimeout)(5, 'b'), () => promisify(setImmediate)('c')];
const values: unknown[] = [];
for (const wait of waits) values.push(await wait());
values`,
      {
        code: "process.nextTick(() => console.log('tick'));\nqueueMicrotask(() => console.log('task'));\nfor (const wait of waits) void wait().then(() => console.log('late'));\nvoid pause(50).then(() => console.log('late'));\nconsole.log('go');\nawait new Promise(() => {});",
        when: 'go',
        interrupt: 'message',
      },
      "await pause(100); 'over'",
    );
    expect(results[0]?.result).toEqual({ 'text/plain': "[ 'a', 'b', 'c' ]" });
    expect(results[1]?.error).toMatchObject({ ename: 'Interrupted' });
    expect(results[1]?.stdout).toMatch(/^go\n(tick\ntask|task\ntick)\n/);
    expect(results[2]).toMatchObject({ stdout: '', result: { 'text/plain': "'over'" } });
  });

  test('first tells those who listen, such as a training that saves', async () => {
    const results = await cells(
      `${sleep}
await sleep(0);
let asked = false;
process.once('SIGINT', () => { asked = true; });`,
      {
        code: "console.log('go');\nwhile (!asked) await sleep(5);\nconst steps = 'saved';\nsteps",
        when: 'go',
        interrupt: 'message',
        with: [{ code: 'steps' }],
      },
      'steps',
    );
    const [, training, queued, after] = results;
    expect(training?.reply.status).toBe('ok');
    expect(training?.result).toEqual({ 'text/plain': "'saved'" });
    expect(queued?.reply.status).toBe('aborted');
    expect(after?.result).toEqual({ 'text/plain': "'saved'" });
  });
});

describe('a kernel that ends', () => {
  test('says so in the cell when its process is killed, and leaves none behind', async () => {
    const { results, left } = await freshCells({
      code: "console.log('go'); for (;;) {}",
      when: 'go',
      kill: 'cells',
    });
    expect(results[0]?.error).toMatchObject({
      ename: 'KernelEnded',
      evalue: expect.stringContaining('SIGKILL'),
    });
    expect(left).toEqual([]);
  });

  test('because it was killed from outside leaves no process behind', async () => {
    const step = { code: "console.log('go'); for (;;) {}", when: 'go', kill: 'front' };
    expect((await freshCells(step)).left).toEqual([]);
  });
});

describe('floods', () => {
  test('ten megabytes of text arrive whole, in few messages; of many updates the last is shown; no reply is lost', async () => {
    const results = await cells(
      "for (let i = 0; i < 100_000; i++) console.log(String(i).padStart(99, '.'));",
      `import { newDisplay } from 'tslab';
const place = newDisplay();
for (let i = 0; i < 20_000; i++) place.text(String(i));
console.log('end');`,
      { code: "throw new Error('stop');", with: Array(300).fill({ code: '1' }) },
    );
    const [text, updates, stopped, ...aborted] = results;
    expect(stopped?.reply.status).toBe('error');
    // Those that were sent after the error was out are run.
    expect(aborted.every(({ reply }) => ['aborted', 'ok'].includes(reply.status))).toBe(true);
    expect(text?.stdout.length).toBe(100 * 100_000);
    expect(text?.stdout.endsWith('99999\n')).toBe(true);
    expect(text?.of('stream').length).toBeLessThan(1000);
    const sent = updates?.of('update_display_data') ?? [];
    expect(sent.at(-1).data).toEqual({ 'text/plain': '19999' });
    expect(sent.length).toBeLessThan(200);
  });
});

describe('imports', () => {
  test('read local files again when they or what they import have changed', async () => {
    const place = 'notes';
    const local = (/** @type {string} */ name, /** @type {string} */ text) => {
      mkdirSync(path.join(folder, place, 'deep'), { recursive: true });
      writeFileSync(path.join(folder, place, name), text);
    };
    local(
      '../above.ts',
      "import { low } from './notes/deep/low';\nexport const above: string = 'above ' + low;\n",
    );
    local('deep/low.ts', "export const low: string = 'one';\n");
    local('deep/plain.js', 'export function plain() {\n  return 7;\n}\n');
    local(
      'deep/failing.ts',
      "export interface Unused { x: number }\n\nexport function fail(): never {\n  throw new Error('in a file');\n}\n",
    );
    const change = (/** @type {string} */ value) =>
      `import * as fs from 'node:fs';\nfs.writeFileSync('deep/low.ts', "export const low: string = '${value}';\\n");`;
    const { results } = await drive(
      [
        "import { above } from '../above';\nabove",
        change('another'),
        "import { above } from '../above';\nabove",
        "import { plain } from './deep/plain';\nplain()",
        "import { fail } from './deep/failing.js';\nfail()",
        "fs.writeFileSync('new.ts', 'export const fresh: number = 1;');",
        "import { fresh } from './new';\nconst text: string = fresh;",
        "import { fresh } from './new';\nfresh",
        "import { no } from './missing';",
      ].map((code) => ({ code })),
      { folder: path.join(folder, place), env },
    );
    const seen = results.map(({ outputs }) => shown(outputs));
    expect(seen[0]?.result['text/plain']).toBe("'above one'");
    expect(seen[2]?.result['text/plain']).toBe("'above another'");
    expect(seen[3]?.result['text/plain']).toBe('7');
    expect(seen[4]?.error.traceback.join('\n')).toMatch(
      /4 \| {3}throw new Error.*failing\.ts:4:9/s,
    );
    expect(seen[6]?.error.evalue).toContain("'number' is not assignable to type 'string'");
    expect(seen[7]?.result['text/plain']).toBe('1');
    expect(seen[8]?.error.evalue).toContain("Cannot find module './missing'");
  });

  test('take packages of ES modules, with types', async () => {
    makePackage(
      'only-es',
      { type: 'module', exports: { '.': { types: './index.d.ts', import: './index.js' } } },
      {
        'index.js': 'export const named = 5;\nexport default () => 6;\n',
        'index.d.ts':
          'export declare const named: number;\ndeclare const six: () => number;\nexport default six;\n',
      },
    );
    const results = await cells(
      "import six, { named } from 'only-es';\nsix() + named",
      'const wrong: string = named;',
      "(await import('only-es')).named",
    );
    expect(results[0]?.result).toEqual({ 'text/plain': '11' });
    expect(results[1]?.error.evalue).toContain("'number' is not assignable to type 'string'");
    expect(results[2]?.result).toEqual({ 'text/plain': '5' });
  });
});

test('last values come in several forms; strict mode is an option', async () => {
  const views = `exports.lastValueView = async (value) =>
    value.celsius === undefined ? undefined : { data: { 'text/html': value.celsius + ' °C' }, metadata: {} };`;
  // What it is asked about, and what replaced a name in the last cell.
  const hints = `exports.hint = ({ when, ...rest }) =>
    when === 'found' ? rest.code + ' ' + rest.line.slice(rest.column)
    : when === 'replaced' ? rest.name + ' was ' + rest.old : undefined;`;
  makePackage(
    'with-views',
    { main: 'index.js', notebook: { views: './views.js', hints: './hints.js' } },
    {
      'index.js': 'exports.measure = () => ({ celsius: 20 });',
      'views.js': views,
      'hints.js': hints,
    },
  );
  env.TARFLOW_KERNEL_STRICT = '1';
  const { results } = await freshCells(
    "import pl from 'nodejs-polars';\npl.DataFrame({ word: ['one', 'two'], number: [1, 2] })",
    '({ [Symbol.for("Jupyter.display")]: async () => ({ "text/html": "<b>own</b>" }) })',
    'const list: number[] = [];\nconst first: number = list.find((x) => x > 0);',
    'const { measure } = require("with-views");\nmeasure()',
    '({ kelvin: 293 })',
    'let degrees = 20;',
    "degrees = 'warm';",
    'const degrees = 21;',
    "console.log('gone');\n(globalThis as any)[Symbol.for('tarflow.kernel')].clearOutput(false);",
  );
  delete env.TARFLOW_KERNEL_STRICT;
  const [frame, own, strict, viewed, plain, first, wrong, again, cleared] = results;
  const hintsOf = (/** @type {typeof wrong} */ result) =>
    result?.of('display_data').map(({ data }) => data['text/markdown']);
  expect([viewed, plain, first].flatMap(hintsOf)).toEqual([]);
  expect(hintsOf(wrong)).toEqual(["💡 2322 degrees = 'warm';"]);
  expect(hintsOf(again)).toEqual(['💡 degrees was 20']);
  expect(frame?.result['text/html']).toContain('<table');
  expect(own?.result['text/html']).toBe('<b>own</b>');
  expect(strict?.error.evalue).toContain("'number | undefined' is not assignable");
  expect(viewed?.result).toEqual({ 'text/plain': '{ celsius: 20 }', 'text/html': '20 °C' });
  expect(plain?.result).toEqual({ 'text/plain': '{ kelvin: 293 }' });
  expect(cleared?.of('clear_output')).toEqual([{ wait: false }]);
  expect(readFileSync(path.join(folder, 'data', 'kernel-history.jsonl'), 'utf8')).toContain(
    'kelvin',
  );
});
