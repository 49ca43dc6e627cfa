// Loads native TensorFlow in a process of its own, where even a crash of the library is only an
// answer, and prints what it found as one JSON line.
const util = require('node:util');

// Node ≥ 23 removed two functions that tfjs-node calls.
util.isNullOrUndefined ??= (value) => value === null || value === undefined;
util.isArray ??= Array.isArray;
process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';

const tf = require('@tensorflow/tfjs-node-gpu');
const backend = tf.backend();
const product = tf.tidy(() => tf.matMul(tf.ones([2, 3]), tf.ones([3, 2])).dataSync());
if (product.some((value) => value !== 3)) throw new Error('it multiplies matrices wrongly');
console.log(
  JSON.stringify({ version: backend.binding.TF_Version, gpu: backend.isUsingGpuDevice === true }),
);
