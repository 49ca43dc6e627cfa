// npx tsx test/benchmarks/block-depth.ts: what one image costs where the same layers are shared out
// among blocks in other ways. A step over a token reads all weights of its block once.

import { disposeModel, inverse, startEngine } from '../../src/index.js';
import { createModel } from '../../src/models/index.js';
import { median } from '../../src/sampling/planner/timing.js';
import { sampleNoise } from '../../src/sampling/sample.js';
import { configurationName, configurations, type FlowConfig, starflows } from './cases.js';

const rounds = 15;

async function main(): Promise<void> {
  const { version } = await startEngine();
  const [, tarflow] = configurations;
  const [, starflow] = starflows;
  if (!tarflow || !starflow) throw new Error('Expected two models of each family in cases.ts.');
  const configs: FlowConfig[] = [
    tarflow.config,
    { ...tarflow.config, blocks: 2, layersPerBlock: 8 },
    { ...tarflow.config, blocks: 1, layersPerBlock: 16 },
    { ...starflow.config, layersPerBlock: [4, 4, 4, 4] },
    starflow.config,
  ];
  const flows = configs.map((config) => createModel(config, 1));
  const times = flows.map((): number[] => []);
  // In turns; the first two rounds make programs and fill memory.
  for (let round = -2; round < rounds; round++) {
    for (const [i, flow] of flows.entries()) {
      const noise = sampleNoise(flow, 1, Math.max(round, 0), 1);
      const begun = performance.now();
      const image = await inverse(flow, noise, { label: 3 });
      image.dataSync();
      if (round >= 0) times[i]?.push(performance.now() - begun);
      image.dispose();
      noise.dispose();
    }
  }
  console.log(`${version}, float32, one image, median of ${rounds} (least, most)`);
  configs.forEach((config, i) => {
    const sorted = [...(times[i] as number[])].sort((a, b) => a - b);
    const [least, most] = [sorted[0] as number, sorted.at(-1) as number];
    const layers =
      config.kind === 'tarflow' ? config.layersPerBlock : Math.max(...config.layersPerBlock);
    const mebibytes = (layers * 12 * config.channels ** 2 * 4) / 2 ** 20;
    console.log(
      `${configurationName(config)}: ${median(sorted).toFixed(1)} ms ` +
        `(${least.toFixed(1)}, ${most.toFixed(1)}); largest block ${mebibytes.toFixed(0)} MiB`,
    );
  });
  for (const flow of flows) disposeModel(flow);
}

void main();
