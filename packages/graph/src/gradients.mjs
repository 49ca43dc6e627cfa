// What @tensorflow/tfjs registers beside the core: gradients of operations, and operations as methods
// of tensors. The core's own CommonJS bundle lacks both, so that the build makes one of these modules.
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops.js';
