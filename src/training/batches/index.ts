/** The batches that a run trains on: noisy samples in the order of its epochs, made ahead by a thread. */
export { type BatchSource, batchSource } from './batch-source.js';
export {
  type Batch,
  type BatchOptions,
  checkShares,
  heldOutBatch,
  type Share,
  sampleKeys,
  samplesOf,
} from './batches.js';
export { type Noise, noisyImageFeeds, noisyImages } from './noisy-images.js';
