// The site's demos in Chromium, from a server on this machine: each draws on WebAssembly in time, and what it
// draws is what the library draws.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { sample } from '../../src/sampling/sample.js';
import { browserIsThere, launchBrowser, skipNote } from './chromium.mjs';
import { servedFolder } from './serve.mjs';

const checkpoint = 'fashion-mnist-conditional-8x2.safetensors';
const jacobi = /** @type {const} */ ({ kind: 'jacobi', tolerance: 1e-3 });
const common = { label: 3, guidance: { weight: 1.5 }, seed: 7 };

const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Demos</title>
<link rel="stylesheet" href="site.css"><link rel="icon" href="data:,"><main><h1>Demos</h1>
<div id="sequential"></div><div id="jacobi"></div><div id="plane"></div></main>
<script type="module">
for (const el of document.querySelectorAll('main > div')) {
  const { default: demo } = await import(\`./\${el.id}.mjs\`);
  demo.render({ el });
}
</script></html>`;

describe('the demos in Chromium', () => {
  const demosFolder = servedFolder('demos', (folder) => {
    const site = path.join(projectRoot, 'docs', 'site');
    mkdirSync(folder, { recursive: true });
    cpSync(path.join(site, 'demos'), folder, { recursive: true });
    cpSync(path.join(site, 'static', 'site.css'), path.join(folder, 'site.css'));
    cpSync(path.join(projectRoot, 'dist', 'web'), path.join(folder, 'tarflow-web'), {
      recursive: true,
    });
    cpSync(
      path.join(projectRoot, 'results', 'checkpoints', checkpoint),
      path.join(folder, checkpoint),
    );
    writeFileSync(path.join(folder, 'index.html'), page);
  });

  /** @param {import('vitest').TestContext} context */
  async function openDemos(context) {
    const opened = await demosFolder.open(context);
    await opened.waitForSelector('#plane canvas');
    return opened;
  }

  test('draw within 20 seconds, and move a point', async (context) => {
    const demos = await openDemos(context);
    /** @param {string} name */
    const draw = async (name) => {
      await demos.click(`#${name} button`);
      await demos
        .locator(`#${name} [role=status]`, { hasText: /Drawn|failed/ })
        .waitFor({ timeout: 120_000 });
      return [
        await demos.textContent(`#${name} [role=status]`),
        await demos.textContent(`#${name} .demo-place`),
      ];
    };
    const [drawn, tokens] = await draw('sequential');
    expect(drawn).toMatch(/^Drawn: Dress, seed 7, in \d+\.\d s by 384 evaluations/);
    expect(tokens).toMatch(/^384 tokens in 8 blocks: 48 \+ 48/);
    const [iterated, sweeps] = await draw('jacobi');
    expect(sweeps).toMatch(/^\d\d sweeps in 8 blocks/);
    for (const said of [drawn, iterated]) {
      expect(Number(/in ([\d.]+) s/.exec(said ?? '')?.[1])).toBeLessThan(20);
    }
    // The same seed, solved in two ways, to the grey level.
    /** @type {number[][]} */
    const pictures = await demos.evaluate(`['sequential', 'jacobi'].map((id) => {
      const canvas = document.querySelector('#' + id + ' canvas');
      return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data];
    })`);
    const [one = [], other = []] = pictures;
    expect(one.filter((grey, i) => Math.abs(grey - (other[i] ?? 0)) > 1)).toEqual([]);
    expect(new Set(one).size).toBeGreaterThan(20);

    await demos.click('#plane button');
    await demos.waitForSelector('#plane [role=status]:has-text("⟷")', { timeout: 20_000 });
    const before = await demos.textContent('#plane [role=status]');
    await demos.locator('#plane input').first().focus();
    await demos.keyboard.press('ArrowRight');
    await expect.poll(() => demos.textContent('#plane [role=status]')).not.toBe(before);
    await demos.close();
  });

  test('have nothing serious that axe-core finds', async (context) => {
    const demos = await openDemos(context);
    const axe = path.join(projectRoot, 'node_modules', 'axe-core', 'axe.min.js');
    await demos.evaluate(readFileSync(axe, 'utf8'));
    const found = await demos.evaluate(
      'axe.run().then(({ violations }) => violations.map(({ id, impact }) => impact + ": " + id))',
    );
    expect(found).toEqual([]);
    await demos.close();
  });

  // A software device takes half a minute.
  test.runIf(process.env.TARFLOW_NIGHTLY)(
    'WebGPU draws what the library draws',
    async ({ skip }) => {
      skip(!browserIsThere, skipNote);
      const device = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
      const software = await launchBrowser([
        ...[...device, '--enable-features=Vulkan', '--use-vulkan=swiftshader'],
        '--disable-gpu-watchdog',
      ]);
      try {
        const opened = await software.newPage();
        await opened.goto(demosFolder.address());
        const hasDevice = await opened.evaluate('navigator.gpu?.requestAdapter().then(Boolean)');
        skip(!hasDevice, 'skipped: this Chromium has no software device for WebGPU');
        const options = { ...common, solver: jacobi };
        /** @type {number[]} */
        const drawn = await opened.evaluate(`import('./tarflow-web/index.js').then(async (web) => {
        await web.startEngine({ engine: 'webgpu' });
        const flow = await web.loadCheckpoint('${checkpoint}');
        const images = await web.draw(flow, ${JSON.stringify(options)});
        return [...await images.data()];
      })`);
        const flow = await loadCheckpoint(
          path.join(projectRoot, 'results', 'checkpoints', checkpoint),
        );
        const images = await sample(flow, { ...options, count: 1 });
        const differences = images.dataSync().map((value, i) => Math.abs(value - Number(drawn[i])));
        expect(Math.max(...differences)).toBeLessThan(1e-3);
      } finally {
        await software.close();
      }
    },
  );
});
