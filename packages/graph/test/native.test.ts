import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';

const root = path.join(__dirname, '..');

/** Runs a script in a process of its own, with what uses the addon as `native`. */
function run(script: string) {
  const file = path.join(root, 'src', 'native', 'addon.ts');
  const program = `const native = require(${JSON.stringify(file)}); const fs = require('node:fs');
    (async () => { ${script} })();`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--expose-gc', '--require', 'tsx/cjs', '--eval', program],
    { cwd: root, encoding: 'utf8' },
  );
  return { stdout, stderr, status };
}

const native = process.platform === 'linux' && process.arch === 'x64';

describe.runIf(native)('the own addon', () => {
  test('leaves out the unwanted lines of stderr and no other', () => {
    const found = run(`
      fs.writeSync(2, 'before\\n');
      native.withoutStderrLines(/unwanted/, () => fs.writeSync(2, 'one\\nunwanted\\ntwo\\n'));
      fs.writeSync(2, 'after\\n');`);
    expect(found).toEqual({ stdout: '', stderr: 'before\none\ntwo\nafter\n', status: 0 });
  });

  test('lets an error pass and what was written before it', () => {
    const { stderr, stdout } = run(`
      try {
        native.withoutStderrLines(/unwanted/, () => {
          fs.writeSync(2, 'cause\\n');
          throw new Error('failed');
        });
      } catch ({ message }) { console.log(message); }
      fs.writeSync(2, 'after\\n');`);
    expect({ stdout, stderr }).toEqual({ stdout: 'failed\n', stderr: 'cause\nafter\n' });
  });

  test('gives free memory back to the system', () => {
    // Small buffers, which are outside V8's heap; every hundredth stays.
    const { stdout } = run(`
      const resident = () => Number(fs.readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * 4096;
      let buffers = Array.from({ length: 60000 }, () => Buffer.allocUnsafeSlow(1500).fill(1));
      buffers = buffers.filter((_, index) => index % 100 === 0);
      gc();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const before = resident();
      native.releaseFreeMemory();
      console.log(before - resident());`);
    expect(Number(stdout)).toBeGreaterThan(40e6);
  });

  test('starts the engine without a word', () => {
    const engine = path.join(__dirname, 'engine.ts');
    const found = run(`
      const { startEngine } = require(${JSON.stringify(engine)});
      await startEngine('tensorflow');`);
    expect(found).toEqual({ stdout: '', stderr: '', status: 0 });
  });

  test('is what set-up made', () => {
    const installed = path.dirname(require.resolve('@tensorflow/tfjs-node-gpu/package.json'));
    expect(fs.existsSync(path.join(installed, 'lib', 'napi-v8', 'tarflow.node'))).toBe(true);
  });
});
