// How docs/site/demos/two-moons.safetensors was made: npx tsx docs/site/two-moons.ts
import path from 'node:path';
import { startEngine } from '../../src/core/engine.js';
import { tarflow } from '../../src/models/tarflow/index.js';
import { saveCheckpoint } from '../../src/training/checkpoint.js';
import { trainedOnTwoMoons } from '../../test/models/training.js';

async function main(): Promise<void> {
  await startEngine();
  const flow = await trainedOnTwoMoons(tarflow, {
    kind: 'tarflow',
    image: { channels: 1, height: 1, width: 2 },
    patchSize: 1,
    channels: 32,
    blocks: 4,
    layersPerBlock: 1,
    headWidth: 32,
    classes: 0,
    volumePreserving: false,
  });
  await saveCheckpoint(flow, path.join(__dirname, 'demos', 'two-moons.safetensors'));
}

void main();
