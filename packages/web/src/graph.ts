/**
 * In a bundle for browsers this module stands in the place of `@tarflow/graph`: everything runs op by op,
 * since there are no graphs without TensorFlow's C library.
 */
import type * as graph from '@tarflow/graph';
import { tidy } from '../../../src/core/tf.js';

export { UserError } from '../../graph/src/errors.js';
export { tensorSpec } from '../../graph/src/run/create-program.js';
export { repeat, withSlice } from '../../graph/src/trace/repeat.js';

export const callCompiled: typeof graph.callCompiled = ({ parameters, inputs, body }) =>
  tidy(() => body(parameters, inputs));

export const isTracing: typeof graph.isTracing = () => false;

export const xlaIsAtHand: typeof graph.xlaIsAtHand = () => false;

export const threadsForParts: typeof graph.threadsForParts = () => 1;

export const batchParts: typeof graph.batchParts = () => 1;

export const partsOf: typeof graph.partsOf = (tensors) => [tensors];

export const inParts: typeof graph.inParts = (parts) => parts.map((part) => part());
