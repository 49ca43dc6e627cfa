import type { ModelConfig } from '../flow/model.js';
import type { TrainingSettings } from './settings.js';

/** One row of a paper's table, or its twin at workbook scale: everything that a run needs. */
export interface Experiment<C extends ModelConfig = ModelConfig> {
  name: string;
  /** What it shows, in a sentence. */
  description: string;
  /** As `openDataset` takes it: a name that `loadDataset` knows, or `latents:PATH` with a relative path. */
  dataset: string;
  config: C;
  settings: TrainingSettings;
}
