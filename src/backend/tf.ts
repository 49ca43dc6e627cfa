/** The one door to TensorFlow.js: everything outside `backend/` imports `tf` from here. */
export * as tf from '@tensorflow/tfjs-core';
