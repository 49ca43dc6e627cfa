import { tensorSpec } from '@tarflow/graph';
import { z } from 'zod';
import { tf } from '../../src/core/tf.js';
import type { Family, FlowAbility, ModelConfig, Objective } from '../../src/flow/model.js';
import { ones, zeros } from '../../src/nn/specs.js';
import { noisyImageFeeds } from '../../src/training/batches/index.js';
import { likelihood } from '../../src/training/objectives/likelihood.js';

const image = { channels: 1, height: 4, width: 4 };
const size = 16;
const imageSchema = z.strictObject({
  channels: z.number(),
  height: z.number(),
  width: z.number(),
});

/** A flow of one affine map, z = (x − mean)·exp(−logScale), and its prior's variance. */
export type AffineConfig = ModelConfig & { kind: 'affine' };
type AffineParameters = { mean: tf.Tensor1D; logScale: tf.Tensor1D };

export const affineConfig: AffineConfig = { kind: 'affine', image, classes: 0 };

const affineFlow: FlowAbility<AffineConfig, AffineParameters> = {
  forward({ parameters: { mean, logScale } }, x) {
    const flat = tf.reshape(x, [x.shape[0], 1, size]);
    const z = tf.mul(tf.sub(flat, mean), tf.exp(tf.neg(logScale))) as tf.Tensor3D;
    const logDet = tf.fill([x.shape[0]], 1);
    const logDets = tf.mul(logDet, tf.neg(tf.sum(logScale))) as tf.Tensor1D;
    return { z, logDet: logDets, outputs: [z], logDets: [logDets] };
  },
  rows: () => 1,
  width: () => size,
};

export const affineFamily: Family<AffineConfig, AffineParameters> = {
  kind: 'affine',
  schema: z.strictObject({ kind: z.literal('affine'), image: imageSchema, classes: z.number() }),
  check: (config) => config,
  title: () => 'affine',
  specs: () => ({
    parameters: { mean: zeros([size]), logScale: zeros([size]) },
    buffers: { var: ones([1, size]) },
  }),
  objectives: () => [likelihood({ runningVariance: true })],
  prior: { shape: () => [1, size] },
  flow: affineFlow,
};

/** The affine flow that begins as what whitens the first batch. */
export const startedFamily: Family<AffineConfig, AffineParameters> = {
  ...affineFamily,
  start(_model, images) {
    const { mean, variance } = tf.moments(tf.reshape(images, [images.shape[0], size]), 0);
    return { mean, logScale: tf.mul(tf.log(variance), 0.5) };
  },
};

/** Two vectors, one after the mean of scaled images, the other after the first; the scale is fixed. */
export type ChaseConfig = ModelConfig & { kind: 'chase' };
type ChaseParameters = { leader: tf.Tensor1D; follower: tf.Tensor1D; scale: tf.Tensor1D };

export const chaseConfig: ChaseConfig = { kind: 'chase', image, classes: 0 };

const leader: Objective<ChaseConfig, ChaseParameters> = {
  name: 'leader',
  inputs: (_, batch) => ({ images: tensorSpec([batch, 1, 4, 4]) }),
  feeds: noisyImageFeeds,
  trains: (leaf) => leaf === 'leader',
  loss({ parameters, buffers }, { images }) {
    const x = tf.mul(tf.reshape(images as tf.Tensor, [-1, size]), parameters.scale);
    const miss = tf.sub(x, parameters.leader);
    const seen = tf.add(tf.mul(buffers.seen as tf.Tensor, 0.5), tf.mul(tf.mean(x, 0), 0.5));
    return {
      loss: tf.mean(tf.square(miss)) as tf.Scalar,
      terms: { miss: tf.mean(miss), places: tf.mean(miss, 0) },
      buffers: { seen },
    };
  },
};

const follower: Objective<ChaseConfig, ChaseParameters> = {
  ...leader,
  name: 'follower',
  trains: (leaf) => leaf === 'follower',
  loss({ parameters }, { images }) {
    const gap = tf.sub(parameters.follower, parameters.leader);
    // As every loss: a mean over the batch.
    const rows = tf.mul(tf.ones([(images as tf.Tensor).shape[0], 1]), gap);
    return { loss: tf.mean(tf.square(rows)) as tf.Scalar, terms: {} };
  },
};

export const chaseFamily: Family<ChaseConfig, ChaseParameters> = {
  kind: 'chase',
  schema: z.strictObject({ kind: z.literal('chase'), image: imageSchema, classes: z.number() }),
  check: (config) => config,
  title: () => 'chase',
  specs: () => ({
    parameters: { leader: zeros([size]), follower: zeros([size]), scale: ones([size]) },
    buffers: { seen: zeros([size]) },
  }),
  objectives: () => [leader, follower],
};
