import * as path from 'node:path';
import type { Mode, Packing } from '@tarflow/graph';
import { foldIn, integers, normal, randomKey, tf } from '../../src/core/index.js';
import { disposeTree, grouped, type Leaves, leaves, mapTree } from '../../src/core/tree.js';
import { type ImageDataset, imageDataset, type Split } from '../../src/data/index.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { createModel } from '../../src/models/registry.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import { createTarFlow, type TarFlow, tarflow } from '../../src/models/tarflow/index.js';
import type { TarFlowParameters } from '../../src/models/tarflow/parameters.js';
import { type CheckpointDetails, saveCheckpoint } from '../../src/training/checkpoint.js';
import { modelSpec } from '../../src/training/model-spec.js';
import type { TrainingSettings } from '../../src/training/settings.js';
import { packingOf } from '../../src/training/step.js';
import type { TrainingRun } from '../../src/training/train.js';

/** Made-up images, for tests that need no real ones. */
export function madeUpImages(split: Split, length: number): ImageDataset {
  const image = { channels: 1, height: 4, width: 4 };
  const key = randomKey(split === 'train' ? 1 : 2);
  return imageDataset({
    name: 'made-up',
    split,
    image,
    classes: ['a', 'b', 'c'],
    pixels: Uint8Array.from(integers(key, length * 16, 0, 256)),
    labels: Int32Array.from({ length }, (_, i) => i % 3),
    licence: 'none',
  });
}

export const smallConfig: TarFlowConfig = {
  kind: 'tarflow',
  image: { channels: 1, height: 4, width: 4 },
  patchSize: 2,
  channels: 8,
  blocks: 2,
  layersPerBlock: 1,
  headWidth: 4,
  classes: 3,
  volumePreserving: false,
};

export const smallSettings: TrainingSettings = {
  noise: { kind: 'uniform' },
  batchSize: 8,
  steps: 7,
  peakLearningRate: 1e-2,
  warmupSteps: 2,
  dropLabel: 0.25,
  weightDecay: 1e-4,
  clipNorm: 0,
  averageDecay: 0,
  flip: false,
  precision: 'float32',
  seed: 4,
  validateEvery: 3,
  validationImages: 16,
  saveEvery: 2,
};

/** A run of a TarFlow. */
export type TarFlowRun = TrainingRun<TarFlowConfig, TarFlowParameters>;

/** What the steps of a TarFlow are made for: its form, its one objective, and how a program holds it. */
export function tarflowSpec(config: TarFlowConfig, mode?: Mode) {
  const spec = modelSpec(tarflow, config);
  const [task] = spec.tasks;
  return { spec, task: task!, packing: packingOf(spec, mode) };
}

/** A state as a program holds it. */
export function packedState(packing: Packing, state: Leaves): Leaves {
  return leaves(mapValues(grouped(state), (tensors) => packing.pack(tensors)));
}

/** The same state with a tensor for each leaf. */
export function unpackedState(packing: Packing, held: Leaves): Leaves {
  return leaves(mapValues(grouped(held), (tensors) => packing.unpack(tensors)));
}

function mapValues(groups: Record<string, Leaves>, f: (tensors: Leaves) => Leaves) {
  return Object.fromEntries(Object.entries(groups).map(([kind, tensors]) => [kind, f(tensors)]));
}

/** A run of a few steps into a folder. */
export function smallRun(folder: string, more: Partial<TarFlowRun> = {}): TarFlowRun {
  return {
    family: tarflow,
    config: smallConfig,
    settings: smallSettings,
    data: madeUpImages('train', 32),
    validation: madeUpImages('test', 20),
    folder,
    // Recording a graph takes longer than these few steps.
    mode: 'eager',
    ...more,
  };
}

/** A flow that is far from the identity and knows its labels, unlike a fresh one. */
export function livelyFlow(config: TarFlowConfig): TarFlow {
  const flow = createTarFlow(config, 1);
  const lively = mapTree(flow.parameters, (leaf, name) => {
    const noise = normal(foldIn(randomKey(5), name), leaf.size);
    return tf.tidy(() => tf.add(leaf, tf.mul(tf.tensor(noise, leaf.shape), 0.1)));
  });
  disposeTree(flow.parameters);
  return { ...flow, parameters: lively };
}

/** The file of a checkpoint of a lively flow, in a folder. */
export async function savedFlow(
  folder: string,
  config: TarFlowConfig,
  details: CheckpointDetails,
): Promise<string> {
  const file = path.join(folder, 'checkpoint.safetensors');
  const flow = livelyFlow(config);
  await saveCheckpoint(flow, file, details);
  disposeModel(flow);
  return file;
}

/** A file of a small autoencoder of grey images, which has no density. */
export async function savedAutoencoder(folder: string): Promise<string> {
  const file = path.join(folder, 'autoencoder.safetensors');
  const model = createModel(
    {
      ...{ kind: 'vae', image: { channels: 1, height: 28, width: 28 }, classes: 0 },
      ...{
        channels: [4, 8],
        resnetsPerLevel: 1,
        groups: 2,
        latentChannels: 2,
        midAttention: false,
      },
      loss: { trained: 'all', kl: 0, squares: 0, features: 0 },
    },
    1,
  );
  await saveCheckpoint(model, file);
  disposeModel(model);
  return file;
}
