import * as path from 'node:path';
import type { tf } from '../../src/core/tf.js';
import type { TarFlow } from '../../src/models/tarflow/index.js';
import { goldenFlow, goldenInput, goldenTensor, readGolden } from '../conformance/golden-file.js';

/** A trained flow of a golden file, with its noise, its images and their labels. */
export interface GoldenModel {
  flow: TarFlow;
  noise: tf.Tensor3D;
  images: tf.Tensor4D;
  labels: number[] | undefined;
}

/** Reads a golden file's model by the file's name without ending; the caller frees it. */
export async function goldenModel(name: string): Promise<GoldenModel> {
  const golden = await readGolden(path.join(__dirname, '..', 'golden', `${name}.safetensors`));
  const flow = goldenFlow(golden);
  return {
    flow,
    noise: goldenTensor(golden, 'noise') as tf.Tensor3D,
    images: goldenTensor(golden, 'x') as tf.Tensor4D,
    labels: flow.config.classes > 0 ? Array.from(goldenInput(golden, 'y').data) : undefined,
  };
}
