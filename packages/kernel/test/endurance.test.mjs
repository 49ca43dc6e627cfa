import { expect, test } from 'vitest';
import { openKernel, prepare } from './drive.mjs';

/** As many cells as a day has of half a minute, by night. */
const cells = 2880;

/** What a person does all day: declares the same names again, computes, prints, waits. */
const day = (/** @type {number} */ k) => {
  const name = k % 20;
  return [
    { code: `const rows${name} = Array.from({ length: 1000 }, (_, i) => i * ${k});` },
    { code: `rows${name}.reduce((a, b) => a + b, 0)` },
    {
      code: `interface Row${name} { text: string }\nfunction f${name}(row: Row${name}): string { return row.text; }\nf${name}({ text: 'x' })`,
    },
    { code: `for (let i = 0; i < 50; i++) console.log('line', i, ${k});` },
    { code: 'await new Promise((go) => setTimeout(go, 1));' },
  ];
};

test.skipIf(!process.env.TARFLOW_NIGHTLY)(
  `memory and time of a cell stay flat over ${cells} cells`,
  async () => {
    const place = prepare('endurance');
    const kernel = openKernel(place);
    /** @type {{ megabytes: number, seconds: number }[]} */
    const quarters = [];
    for (let quarter = 0, k = 0; quarter < 4; quarter++) {
      const begun = performance.now();
      for (const end = k + cells / 20; k < end; k++) {
        const results = await kernel.run(day(k));
        expect(results.map(({ reply }) => reply.status)).toEqual(Array(5).fill('ok'));
      }
      const seconds = (performance.now() - begun) / 1000;
      const [used] = await kernel.run([{ code: 'process.memoryUsage().rss / 1e6' }]);
      const shown = used?.outputs.find(([type]) => type === 'execute_result');
      quarters.push({ megabytes: Number(shown?.[1].data['text/plain']), seconds });
    }
    await kernel.close();
    place.remove();
    console.log(quarters);
    const [, second, , last] = quarters;
    expect(last?.megabytes).toBeLessThan((second?.megabytes ?? 0) + 150);
  },
);
