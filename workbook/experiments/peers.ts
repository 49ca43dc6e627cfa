import type { ImageSize } from '../../src/data/source.js';
import type { ModelConfig } from '../../src/flow/model.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { TrainingSettings } from '../../src/training/settings.js';
import type { DiffusionConfig } from '../peers/diffusion.js';
import type { GanConfig } from '../peers/gan.js';
import '../peers/index.js';
import type { PixelVaeConfig } from '../peers/pixel-vae.js';
import type { PixelCnnConfig } from '../peers/pixelcnn.js';
import { clothes, settingsOf, smallTarFlow } from './experiment.js';

/** What the models of a comparison are trained on, and how long. */
interface Compared {
  /** Begins the names of the experiments. */
  prefix: string;
  dataset: string;
  image: ImageSize;
  /** Steps of each kind: with its batch so many that all take the operations of the flow. */
  steps: { flow: number; diffusion: number; pixels: number; vae: number; gan: number };
  /** The level of the background that a flow of uniform noise spreads. */
  background?: 0;
  /** What all trainings on these data share. */
  settings: Pick<TrainingSettings, 'warmupSteps'> & Partial<TrainingSettings>;
}

/** Eight models at one cost; all read labels. */
function comparison({ prefix, dataset, image, steps, background, settings }: Compared) {
  const experiment = <C extends ModelConfig>(
    name: string,
    about: string,
    config: C,
    own: Pick<TrainingSettings, 'noise' | 'batchSize' | 'steps' | 'peakLearningRate'> &
      Partial<TrainingSettings>,
  ): Experiment<C> => ({
    name: `${prefix}-${name}`,
    description: `Kinds of models at one cost on ${dataset}: ${about}`,
    dataset,
    config,
    settings: settingsOf({
      averageDecay: 0.999,
      precision: 'bfloat16',
      validateEvery: Math.ceil(own.steps / 1000) * 100,
      ...settings,
      ...own,
    }),
  });
  const flow = smallTarFlow({ image, channels: 128, layersPerBlock: 4, headWidth: 64 });
  const ofFlow = { batchSize: 128, steps: steps.flow, peakLearningRate: 1e-3 };
  const transformer = (
    prediction: DiffusionConfig['prediction'],
    name: string,
    about: string,
  ): Experiment<DiffusionConfig> => {
    const size = { patchSize: 4, channels: 128, layers: 16, headWidth: 64 };
    return experiment(
      name,
      about,
      { kind: 'diffusion', image, ...size, classes: 10, prediction },
      { ...ofFlow, noise: { kind: 'uniform' }, steps: steps.diffusion, dropLabel: 0.1 },
    );
  };
  const asTheyAre = { noise: { kind: 'none' }, peakLearningRate: 1e-3 } as const;
  return [
    experiment('tarflow', 'a TarFlow with Gaussian noise, for samples', flow, {
      ...ofFlow,
      noise: { kind: 'gaussian', sigma: 0.1 },
      dropLabel: 0.1,
    }),
    experiment(
      'density',
      'a TarFlow with uniform noise, for likelihood',
      { ...flow, ...(background !== undefined && { background }) },
      { ...ofFlow, noise: { kind: 'uniform' } },
    ),
    transformer('epsilon', 'epsilon', 'diffusion that predicts the noise'),
    transformer('v', 'v', 'diffusion that predicts v'),
    transformer('flow', 'rectified-flow', 'a rectified flow'),
    experiment<PixelCnnConfig>(
      'pixelcnn',
      'a PixelCNN++',
      { kind: 'pixelcnn', image, channels: 48, layers: 8, components: 5, classes: 10 },
      { ...asTheyAre, batchSize: 32, steps: steps.pixels },
    ),
    experiment('vae', 'a VAE', vaeOf(image), {
      ...asTheyAre,
      batchSize: 128,
      steps: steps.vae,
    }),
    experiment('gan', 'a GAN', ganOf(image), {
      ...asTheyAre,
      batchSize: 64,
      steps: steps.gan,
      peakLearningRate: 2e-4,
      beta1: 0,
      beta2: 0.99,
      weightDecay: 0,
      clipNorm: 0,
    }),
  ];
}

function vaeOf(image: ImageSize): PixelVaeConfig {
  return {
    kind: 'pixel-vae',
    image,
    channels: [32, 64, 64],
    resnetsPerLevel: 1,
    groups: 8,
    lowestChannels: 16,
    latent: 64,
    beta: 1,
    classes: 10,
  };
}

function ganOf(image: ImageSize): GanConfig {
  return {
    kind: 'gan',
    image,
    latent: 64,
    channels: [32, 64, 128],
    groups: 8,
    penalty: 0.1,
    classes: 10,
  };
}

/**
 * Flows, diffusion, an autoregressive model, a VAE and a GAN at one cost: that of a TarFlow of three million
 * parameters, 5·10¹⁴ operations for clothes and 1.5·10¹⁴ for emoji, of which there are fewer. Learning rates are
 * those before a sweep.
 */
export const peers: readonly Experiment[] = [
  ...comparison({
    prefix: 'peers',
    dataset: 'fashion-mnist',
    image: clothes,
    steps: { flow: 3950, diffusion: 3950, pixels: 5750, vae: 4050, gan: 3900 },
    background: 0,
    settings: { warmupSteps: 300, validationImages: 1024 },
  }),
  ...comparison({
    prefix: 'peers-emoji',
    dataset: 'emoji-base-32',
    image: { channels: 3, height: 32, width: 32 },
    steps: { flow: 870, diffusion: 885, pixels: 1320, vae: 915, gan: 885 },
    settings: { warmupSteps: 100, flip: true, validationImages: 336 },
  }),
];
