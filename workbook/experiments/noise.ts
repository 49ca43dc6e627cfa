import { UserError } from '../../src/core/errors.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Noise } from '../../src/training/batches/index.js';
import type { Experiment } from '../../src/training/experiment.js';
import { settingsOf, smallTarFlow } from './experiment.js';

/** What every run of the comparison shares, whatever its noise: only so is it about the noise. */
const config = smallTarFlow({ channels: 40, headWidth: 20 });

const images: Readonly<Record<string, { name: string; image: TarFlowConfig['image'] }>> = {
  'fashion-mnist': { name: 'fashion-mnist-noise', image: config.image },
  'emoji-base-32': { name: 'emoji-noise', image: { channels: 3, height: 32, width: 32 } },
};

/**
 * One run of the comparison of training noises, the workbook's twin of TarFlow's noise ablation
 * (section 4.4): a small class-conditional flow, 4-40-4-2, which is the same for every noise and
 * seed. The paper claims, at its scale, that the denoised samples of models trained with Gaussian noise are
 * best, and that training with uniform noise of one grey level gives poor ones.
 *
 * @throws UserError for a data set that the comparison does not use
 *
 * @example
 * ```ts
 * import { noiseExperiment } from 'tarflow/workbook';
 *
 * const { settings } = noiseExperiment('fashion-mnist', { kind: 'gaussian', sigma: 0.05 }, 2);
 * console.log(settings.noise, settings.seed);
 * ```
 */
export function noiseExperiment(
  dataset: string,
  noise: Noise,
  seed = 1,
): Experiment<TarFlowConfig> {
  const chosen = Object.hasOwn(images, dataset) ? images[dataset] : undefined;
  if (!chosen) {
    throw new UserError(
      `The comparison of noises does not use '${dataset}'`,
      `Expected ${Object.keys(images).join(' or ')}`,
    );
  }
  return {
    name: chosen.name,
    description: `Which noise to train with: a small class-conditional flow on ${dataset}`,
    dataset,
    config: { ...config, image: chosen.image },
    settings: settingsOf({
      noise,
      batchSize: 64,
      steps: 1400,
      peakLearningRate: 2e-3,
      warmupSteps: 100,
      dropLabel: 0.1,
      seed,
      validateEvery: 200,
      validationImages: 512,
    }),
  };
}

/** The comparison of training noises, with Gaussian noise of 0.1. */
export const noise: readonly Experiment[] = [
  noiseExperiment('fashion-mnist', { kind: 'gaussian', sigma: 0.1 }),
  noiseExperiment('emoji-base-32', { kind: 'gaussian', sigma: 0.1 }),
];
