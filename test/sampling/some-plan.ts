import type { Plan } from '../../src/sampling/planner/plan-file.js';

/** A plan for one image op by op, without a model and its solvers. */
export const somePlan: Omit<Plan, 'model' | 'solvers'> = {
  format: 'tarflow-plan',
  tolerance: 1e-3,
  batch: 1,
  label: null,
  engine: 'tensorflow',
  version: 'TensorFlow 2.21.0',
  device: 'a processor',
  threads: 2,
  mode: 'eager',
  loop: 'eager',
  precision: 'float32',
  guidance: null,
  sequential: { milliseconds: 2, error: 0 },
  planned: { milliseconds: 1, error: 0 },
};
