import {
  batchParts,
  createProgram,
  type Mode,
  type Precision,
  type Program,
  tensorSpec,
} from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import type { Leaves } from '../backend/tree.js';
import { tokenCount } from '../models/tarflow/config.js';
import type { TarFlow } from '../models/tarflow/index.js';
import {
  evaluationStep,
  programState,
  type StepOptions,
  type StepOutputs,
  trainingStep,
} from './step.js';

type Specs = Record<string, ReturnType<typeof tensorSpec>>;

/** A training step, `train`, and the loss on other images, `evaluate`, over one state. */
export type TrainingProgram = Program<
  { train: Specs; evaluate: Specs },
  { train: StepOutputs; evaluate: Pick<StepOutputs, 'loss' | 'prior' | 'logDet'> }
>;

/** What a training program is made for. */
export interface TrainingProgramOptions {
  /** Images of a step. */
  batchSize: number;
  /** Images that the loss is evaluated on together. */
  heldOut: number;
  step: Omit<StepOptions, 'parts'>;
  /** Default: what the engine does best. */
  mode?: Mode | undefined;
  precision: Precision;
}

/**
 * The step and the evaluation as functions over a training state, each of which takes `StepInputs`
 * or the first two of them.
 *
 * @param state as `initialState` makes it; the program has a copy
 */
export function trainingProgram(
  template: TarFlow,
  state: Leaves,
  { batchSize, heldOut, step, mode, precision }: TrainingProgramOptions,
): TrainingProgram {
  const { config } = template;
  const { channels, height, width } = config.image;
  const batch = (size: number): Specs => ({
    images: tensorSpec([size, channels, height, width]),
    ...(config.classes > 0 && { classes: tensorSpec([size, config.classes]) }),
  });
  const tokens = tokenCount(config);
  const parts = batchParts(mode, batchSize, batchSize * tokens, 'summed');
  const heldParts = batchParts(mode, heldOut, heldOut * tokens);
  const scalar = tensorSpec([]);
  const rates = { learningRate: scalar, firstCorrection: scalar, secondCorrection: scalar };
  const variables = programState(template, state, mode);
  try {
    return createProgram({
      variables,
      functions: {
        train: {
          inputs: { ...batch(batchSize), ...rates },
          body: trainingStep(template, { ...step, parts }) as never,
        },
        evaluate: {
          inputs: batch(heldOut),
          body: evaluationStep(template, heldParts) as never,
        },
      },
      ...(mode && { mode }),
      precision,
      description: JSON.stringify({ config, step: { ...step, parts }, heldParts }),
    }) as unknown as TrainingProgram;
  } finally {
    tf.dispose(variables);
  }
}
