import { ours, type Paper, sentence } from './paper-claim.js';
import {
  type MeasureName,
  ourFlows,
  type PaperScale,
  published,
  reported,
  type Source,
} from './paper-table.js';

const work = 'arXiv 2412.06329';
const quoted = (place: string): Source => ({ work, place, known: 'quoted' });

/** Of the README of the published code. */
const density: PaperScale = {
  data: 'ImageNet 64×64, the unconditional set',
  dataset: 'imagenet64',
  side: 64,
  patchSize: 2,
  channels: 768,
  blocks: 8,
  layersPerBlock: 8,
  noise: 'uniform',
  batchSize: 256,
  epochs: 100,
  peakLearningRate: 1e-4,
  gpus: 16,
};
/**
 * Guidance and denoising here and below are those of the GS-Jacobi authors, but for w = 2.3 of the
 * conditional model, which the README of the published code gives.
 */
const unconditional64: PaperScale = {
  ...density,
  noise: 0.05,
  epochs: 200,
  gpus: 8,
  sampling: { guidance: 0.2, temperature: 0.3, denoising: 0.9 },
};
const conditional64: PaperScale = {
  ...unconditional64,
  data: 'ImageNet 64×64, 1,000 classes',
  dataset: 'imagenet',
  classes: 1000,
  dropLabel: 0.1,
  sampling: { guidance: 2.3, denoising: 1 },
};
const conditional128: PaperScale = {
  ...conditional64,
  data: 'ImageNet 128×128, 1,000 classes',
  side: 128,
  patchSize: 4,
  channels: 1024,
  noise: 0.15,
  batchSize: 768,
  epochs: 320,
  gpus: 32,
  sampling: { guidance: 1.5, denoising: 0.97 },
};
/** Of the released checkpoint. */
export const afhq256: PaperScale = {
  ...conditional64,
  data: 'AFHQ 256×256, 3 classes',
  dataset: 'afhq',
  classes: 3,
  side: 256,
  patchSize: 8,
  noise: 0.07,
  epochs: 4000,
  sampling: { guidance: 3.4, denoising: 1.4 },
};
export const paperScales = { unconditional64, conditional64, conditional128 };

const ofSamples = (side: number) => quoted(`samples of ImageNet ${side}×${side}`);

/** The twin of the models whose samples are compared. */
const twin = { workbook: 'fashion-mnist-conditional-8x2' };

/** What is measured of a twin at workbook scale beside its distance. */
const measures: readonly MeasureName[] = ['held-out loss', 'FID'];

/** A flow over the patches of an image, and what it is compared with. */
export const tarflow: Paper = {
  id: 'tarflow',
  title: 'Normalizing Flows are Capable Generative Models',
  work,
  tables: [
    {
      id: 'likelihood',
      title: 'Table 2: likelihood of ImageNet 64×64, unconditional',
      rows: reported('bits per dimension', quoted('likelihood of ImageNet 64×64'), [
        ['TarFlow 2-768-8-8', 'flow', 2.99, { paper: density, workbook: 'fashion-mnist-density' }],
        ['NFDM', 'diffusion', 3.2],
        ['Flow Matching', 'flow matching', 3.31],
        ['VDM', 'diffusion', 3.4],
        ['Routing Transformer', 'autoregressive', 3.43],
        ['Sparse Transformer', 'autoregressive', 3.44],
        ['SPN', 'autoregressive', 3.52],
        ['Very Deep VAE', 'VAE', 3.52],
        ['Improved DDPM', 'diffusion', 3.54],
        ['Flow++', 'flow', 3.69],
        ['Glow', 'flow', 3.81],
        ['PixelCNN', 'autoregressive', 3.83],
      ]),
    },
    {
      id: 'likelihood-at-one-cost',
      title: 'Likelihood of Fashion-MNIST by three kinds of flows, at one cost of training',
      rows: ourFlows(['held-out loss', 'bits per dimension'], {
        TarFlow: 'design-likelihood',
        MAF: 'design-likelihood-maf',
        'Affine couplings': 'design-likelihood-coupling',
      }),
    },
    {
      // Set before any of these was trained, as in notebook 10: TarFlow is better than another flow if
      // the 97.5 % t interval of the differences in bits per dimension of test images, of three pairs of
      // trainings with the same seed, lies below 0 (two comparisons), and far better if their mean is
      // also −0.1 bits or less. Before, each kind has a pilot with other settings at the same cost, seed 1
      // (`--set` of TarFlow: patchSize=2 batchSize=32 steps=3060 peakLearningRate=1.5e-3; of couplings:
      // levels=3 hiddenChannels=64 steps=4387; of MAF: hiddenUnits=1024 steps=2760). Of the two the one with
      // fewer bits per dimension of validation images is trained with three seeds. The cost was cut by a
      // third, and bfloat16 taken, to save time, after TarFlow's two had been tried once at the larger cost.
      // Patches of 2×2, which were ahead there by 0.005, were trained with three seeds and read on test
      // images before patches of 4×4 were tried at this cost.
      id: 'likelihood-at-one-cost-cifar10',
      title: 'Likelihood of CIFAR-10 by three kinds of flows, at one cost of training',
      rows: ourFlows(['held-out loss', 'bits per dimension'], {
        TarFlow: 'cifar10-likelihood',
        MAF: 'cifar10-likelihood-maf',
        'Affine couplings': 'cifar10-likelihood-coupling',
      }),
    },
    {
      id: 'likelihood-fashion-mnist',
      title: 'Likelihood of Fashion-MNIST, for orientation',
      rows: [
        ...ourFlows(['bits per dimension'], {
          TarFlow: 'fashion-mnist-density',
          MAF: 'fashion-mnist-maf',
          'Affine couplings': 'fashion-mnist-coupling',
        }),
        ...reported(
          'bits per dimension',
          { work: 'Nalisnick et al. 2019', place: 'test split', known: 'remembered' },
          [['Glow on Fashion-MNIST test', 'flow', 2.958]],
        ),
      ],
    },
    {
      id: 'fid-imagenet-64-conditional',
      title: 'Table 3: samples of ImageNet 64×64, class-conditional',
      rows: reported('FID', ofSamples(64), [
        [
          'TarFlow 2-768-8-8, N(0, 0.05²)',
          'flow',
          2.66,
          { ...twin, paper: conditional64, weights: 'imagenet_model_2_768_8_8_0.05.pth' },
        ],
        ['EDM', 'diffusion', 1.55],
        ['ADM (dropout)', 'diffusion', 2.09],
        ['iDDPM', 'diffusion', 2.92],
        ['iCT-deep', 'consistency', 3.25],
        ['BigGAN', 'GAN', 4.06],
        ['CD (LPIPS)', 'consistency', 4.7],
        ['IC-GAN', 'GAN', 6.7],
      ]),
    },
    {
      id: 'fid-imagenet-128-conditional',
      title: 'Table 3: samples of ImageNet 128×128, class-conditional',
      rows: reported('FID', ofSamples(128), [
        [
          'TarFlow 4-1024-8-8, N(0, 0.15²)',
          'flow',
          5.03,
          { ...twin, paper: conditional128, weights: 'imagenet_model_4_1024_8_8_0.15.pth' },
        ],
        ['TarFlow, configuration not stated', 'flow', 5.29],
        ['Simple Diffusion', 'diffusion', 1.94],
        ['ADM-G', 'diffusion', 2.97],
        ['BigGAN-deep', 'GAN', 5.7],
        ['BigGAN', 'GAN', 8.7],
      ]),
    },
    {
      id: 'fid-imagenet-64-unconditional',
      title: 'Table 3: samples of ImageNet 64×64, unconditional',
      rows: reported('FID', ofSamples(64), [
        [
          'TarFlow',
          'flow',
          18.42,
          {
            ...twin,
            paper: unconditional64,
            unlabelled: true,
            weights: 'imagenet64_model_2_768_8_8_0.05.pth',
          },
        ],
        ['AGM', 'diffusion', 10.07],
        ['IC-GAN', 'GAN', 10.4],
        ['MFM', 'flow matching', 11.82],
        ['Flow Matching', 'flow matching', 13.93],
      ]),
    },
    {
      id: 'noise-ablation',
      title: 'Noise of training, ImageNet 64×64',
      rows: reported('best σ', quoted('ablation of the training noise'), [
        ['TarFlow, ablation at 64×64', 'flow', 0.05, { workbook: 'fashion-mnist-noise' }],
      ]),
    },
    {
      id: 'design-ablation',
      title: 'What the design is worth: ImageNet 64×64, class-conditional, w = 2',
      rows: [
        ...reported('FID', quoted('ablation of the design'), [
          ['scale and shift (NVP)', 'flow', 5.7, { workbook: 'design-base', measures }],
          ['shift only (VP)', 'flow', 51, { workbook: 'design-volume-preserving', measures }],
          [
            'coupling of channels instead of autoregression',
            'flow',
            20.4,
            { workbook: 'design-coupling', measures },
          ],
          [
            'one block, from left to right only',
            'flow',
            267,
            { workbook: 'design-one-block', measures },
          ],
        ]),
        ...ourFlows(measures, { 'four blocks, all from left to right': 'design-same-direction' }),
      ],
    },
    {
      id: 'sizes',
      title: 'Blocks, layers, width and patches of small flows (C1)',
      rows: ourFlows(measures, {
        '1 block of 8 layers': 'design-one-block',
        '2 blocks of 4 layers': 'design-2-blocks',
        '4 blocks of 2 layers': 'design-base',
        '8 blocks of 1 layer': 'design-8-blocks',
        '4 blocks of 1 layer': 'design-half',
        '4 blocks of 4 layers': 'design-double-depth',
        '8 blocks of 2 layers': 'design-double-blocks',
        '4 blocks of 2 layers, twice as wide': 'design-wide',
        '4 blocks of 2 layers, patches of 2×2': 'design-patch-2',
        '4 blocks of 2 layers, patches of 7×7': 'design-patch-7',
      }),
    },
    {
      id: 'loss-and-distance',
      title: 'How the loss and the distance of samples fall together (C2)',
      rows: ourFlows(['correlation of loss and FID'], { 'TarFlow, small': 'design-base' }),
    },
    {
      id: 'noise-kinds',
      title: 'Uniform and Gaussian noise of training (T1)',
      rows: ourFlows(measures, {
        'Gaussian noise of 0.1': 'design-gaussian',
        'uniform noise of one grey level': 'design-uniform',
      }),
    },
  ],
  claims: [
    {
      id: 'A2',
      title: 'directions must alternate',
      claim:
        'The direction alternates between blocks; without the alternation, or with a single block, it fails.',
      measurements: ['01-alternation', '14-design'],
      published: sentence`FID ${published('design-ablation', 'one block, from left to right only', 'FID')} with one block, ${published('design-ablation', 'scale and shift (NVP)', 'FID')} for the whole model`,
      ours: sentence`−log p of two moons (one seed) ${ours('01-alternation', '−E[log p], 8 blocks, alternating', { decimals: 3 })} nats, not alternating ${ours('01-alternation', '−E[log p], 8 blocks, no alternation', { decimals: 3 })}; best possible ${ours('01-alternation', 'entropy of the data, the best possible', { decimals: 3 })}; small flows of Fashion-MNIST, FD of three trainings each: alternating ${ours('14-design', 'FD, alternating', { decimals: 0, error: true })}, one direction ${ours('14-design', 'FD, one direction', { decimals: 0, error: true })}, one block ${ours('14-design', 'FD, one block', { decimals: 0, error: true })}`,
      verdict: 'holds',
      scope: 'in two dimensions and in small flows of Fashion-MNIST',
      brief: 'holds, in small flows',
      reason: sentence`Without alternation eight blocks stop at ${ours('01-alternation', '−E[log p], 8 blocks, no alternation', { decimals: 3 })} nats, beside the bound of ${ours('01-alternation', 'best possible without alternation', { decimals: 3 })} that theory gives, and with it they come near the entropy. In flows of images at one cost of training, four blocks in one direction and a single block have the higher FD in each of three trainings, more than twice that of alternating blocks, which was set beforehand as the mark of failing. In both the next patch is Gaussian, given those before it. Most of the distance comes from the first patch, for which TarFlow predicts nothing: with corners of real images in its place FD falls to ${ours('14-design', 'FD, one direction, corners of real images, seed 1', { decimals: 0, error: true })} and ${ours('14-design', 'FD, one block, corners of real images, seed 1', { decimals: 0, error: true })} (one training each). Both are still higher than with alternating blocks, but by the mark above one direction would then no longer fail.`,
    },
    {
      id: 'A3',
      title: 'exact likelihood, exact inverse',
      claim:
        'The Jacobian is triangular, so the likelihood is exact and cheap; the map is exactly invertible.',
      measurements: [
        '01-density-integrates-to-one',
        '01-log-determinant',
        '01-round-trip',
        '02-triangular-jacobian',
        '02-round-trip',
      ],
      ours: sentence`largest entry of a Jacobian outside the triangle ${ours('02-triangular-jacobian', 'largest entry outside the triangle')}; error of a round trip at most ${ours('02-round-trip', 'largest error, uniform-noise model')}`,
      verdict: 'holds',
      reason: sentence`One trained model, at one test image, has nothing outside the triangle, and its log-determinant agrees with elimination to ${ours('02-triangular-jacobian', 'log-determinant: elimination against forward pass, difference')} nats, a density in two dimensions sums to one within ${ours('01-density-integrates-to-one', 'its distance from 1')}, and images come back up to errors of rounding.`,
    },
    {
      id: 'A5',
      title: 'the loss falls smoothly and monotonically',
      claim:
        'Two kinds of residual connection make training as stable as a standard transformer’s: the loss falls smoothly and monotonically.',
      measurements: ['01-stable-training', '02-training-curve', '14-loss-and-distance'],
      ours: sentence`every validation below the one before in ${ours('14-loss-and-distance', 'trainings in which every validation is lower than the one before')} of ${ours('14-loss-and-distance', 'trainings')} trainings of small flows with Gaussian noise (10 validations each)`,
      verdict: 'cannot be told at this size',
      reason: sentence`In small flows of Fashion-MNIST with Gaussian noise, each trained under one plan, every validation (300 steps apart) is lower than the one before; with uniform noise the held-out loss jumps in two of three trainings (T1). In two dimensions, with a far higher learning rate and more frequent validations, the loss also rises. Two longer trainings are validated by the running mean of their weights, which smooths the curve. One falls at every validation. The other falls at ${ours('02-training-curve', 'validations lower than the one before, conditional', { percent: true, decimals: 0 })} of them; its largest rise, after it had begun again with a higher learning rate, is ${ours('02-training-curve', 'largest rise between validations, conditional', { percent: true, decimals: 2 })} of the fall from the first validation to the lowest. Whether this is due to the residual connections would take an ablation.`,
    },
    {
      id: 'C1',
      title: 'likelihood and FID improve with size',
      claim: 'Likelihood and FID improve with model size (more blocks or more layers).',
      measurements: ['14-sizes'],
      ours: sentence`FD, mean of three trainings at equal steps: four blocks of one layer ${ours('14-sizes', 'FD, 4 blocks of 1 layer', { decimals: 0, error: true })}, of two ${ours('14-sizes', 'FD, 4 blocks of 2 layers', { decimals: 0, error: true })}, of four ${ours('14-sizes', 'FD, 4 blocks of 4 layers', { decimals: 0, error: true })}; eight blocks of one layer ${ours('14-sizes', 'FD, 8 blocks of 1 layer', { decimals: 0, error: true })}`,
      verdict: 'cannot be told at this size',
      reason: sentence`Three comparisons at equal steps, two of twice as many layers and one of twice as many blocks, with three trainings each: in ${ours('14-sizes', 'comparisons in which size helps')} of 3 the larger flow has the lower FD and the lower held-out loss, by intervals for three comparisons; the rule, set beforehand, asked for all three. With twice as many blocks loss and FD are lower in each training, but the interval of FD includes 0. A larger flow costs more at equal steps; whether it is better at equal cost was not measured. Four more comparisons, each with four blocks of two layers, were set after these had been seen and before their flows were trained; they change no verdict. Twice the width has the lower FD (${ours('14-sizes', 'FD, twice as wide', { decimals: 0, error: true })}) and the lower loss, by intervals for four comparisons. Eight blocks of two layers and patches of 2×2 have the lower loss, and the interval of FD includes 0; patches of 7×7 are worse in both. A last one, set after all others and before its flows were trained, divides eight layers in another way: two blocks of four layers (FD ${ours('14-sizes', 'FD, 2 blocks of 4 layers', { decimals: 0, error: true })}) have a higher loss than four of two, and by FD the two cannot be told apart (intervals for one comparison).`,
    },
    {
      id: 'C2',
      title: 'the loss tells how good samples are',
      claim:
        'The training loss curve is smooth and monotonic, and correlates strongly with the FID curve.',
      measurements: ['02-training-curve', '14-loss-and-distance'],
      ours: sentence`lowest correlation of the ranks of held-out loss and FD over a training ${ours('14-loss-and-distance', 'correlation of ranks, lowest of the trainings', { decimals: 3 })} (three trainings of 10 points, 5,000 samples a point)`,
      verdict: 'holds',
      scope: 'over trainings of a small flow',
      brief: 'holds, in a small flow',
      reason: sentence`Loss and FD fall together in three trainings, more closely than the rule, set beforehand, asked for. The test is not a hard one: both follow the learning rate, and the points of a training are not independent. Between flows the loss does not always tell which samples are better: one block has a lower loss than four blocks in one direction, and a higher FD, in each of three trainings.`,
    },
    {
      id: 'Table 2',
      title: 'likelihood',
      claim: 'TarFlow has the best likelihood of all kinds of models on ImageNet 64×64.',
      measurements: ['10-bits-per-dimension', '10-background'],
      published: sentence`${published('likelihood', 'TarFlow 2-768-8-8', 'bits per dimension')} bits/dim on ImageNet 64×64; Glow on Fashion-MNIST ${published('likelihood-fashion-mnist', 'Glow on Fashion-MNIST test', 'bits per dimension')}`,
      ours: sentence`${ours('10-bits-per-dimension', 'bits per dimension, test split', { decimals: 3, error: true })} bits/dim on Fashion-MNIST, test split`,
      verdict: 'cannot be told at this size',
      reason: sentence`One training of a small model on another data set needs slightly fewer bits than Glow is reported to need there, by no more than two standard errors of such a difference; that figure is quoted from memory. Our model spreads the black background first, which is our addition. At one cost of short trainings couplings need fewer bits than TarFlow, on clothes and on photographs, and MAF needs more on clothes (X5).`,
    },
    {
      id: 'Table 3',
      title: 'sample quality',
      claim: 'TarFlow’s class-conditional samples are near those of diffusion models and GANs.',
      measurements: ['09-sample-quality', '15-emoji-quality'],
      published: sentence`FID ${published('fid-imagenet-64-conditional', 'TarFlow 2-768-8-8, N(0, 0.05²)', 'FID')} on ImageNet 64×64 with classes`,
      ours: sentence`Fashion-MNIST, FD (classifier features, 10,000 samples, one training) as sampled ${ours('09-sample-quality', 'FD, labels, as sampled', { decimals: 1, error: true })}, denoised ${ours('09-sample-quality', 'FD, labels, denoised', { decimals: 1, error: true })}, guided ${ours('09-sample-quality', 'FD, labels, guided, denoised', { decimals: 1, error: true })}; real test images ${ours('09-sample-quality', 'FD, real: test images', { decimals: 1, error: true })}; emoji of 32×32, FD (EfficientNet-Lite0 features, as many samples as test drawings) denoised ${ours('15-emoji-quality', 'FD of few, denoised', { decimals: 1, error: true })}, guided ${ours('15-emoji-quality', 'FD of few, guided, denoised', { decimals: 1, error: true })}; test drawings ${ours('15-emoji-quality', 'FD of few, real: test drawings', { decimals: 1, error: true })}`,
      verdict: 'cannot be told at this size',
      reason: sentence`The aims set for this flow were an FD of at most 10, at best of 5, and nearly the share in class of real images. The classifier puts ${ours('09-sample-quality', 'in class, labels, denoised', { decimals: 1, error: true })} % of the samples into their class, ${ours('09-sample-quality', 'in class, labels, guided, denoised', { decimals: 1, error: true })} % of the guided ones and ${ours('09-sample-quality', 'in class, real: test images', { decimals: 1, error: true })} % of real test images. The emoji are often not recognisable: of the guided ones ${ours('15-emoji-quality', 'in class, guided, denoised', { decimals: 0, error: true })} % lie among drawings of their category, of real test drawings ${ours('15-emoji-quality', 'in class, real: test drawings', { decimals: 0, error: true })} %. No diffusion model and no GAN was trained at the same cost yet, and the paper’s models were not measured.`,
    },
    {
      id: 'T1',
      title: 'Gaussian noise is decisive',
      claim:
        'Gaussian noise added to the training data is decisive for sample quality; narrow uniform noise leads to numerical trouble and poor samples.',
      measurements: ['03-noise', '03-denoising'],
      published: sentence`best σ ${published('noise-ablation', 'TarFlow, ablation at 64×64', 'best σ')} on ImageNet 64×64`,
      ours: sentence`emoji that are not finite: uniform noise ${ours('03-noise', 'emoji not finite, uniform')} %, Gaussian ${ours('03-noise', 'emoji not finite, gaussian')} % (one training each); FD after seven epochs (three trainings each, 10,000 samples less those that are not finite) ${ours('03-noise', 'FD, uniform, seven epochs', { decimals: 0, error: true })}, and with Gaussian noise, denoised, ${ours('03-noise', 'FD, Gaussian 0.1, denoised, seven epochs', { decimals: 0, error: true })}`,
      verdict: 'cannot be told at this size',
      reason: sentence`The rule, set beforehand: decisive if the interval of the differences of FD lies above 0 and each training with uniform noise has more than twice the FD of that with Gaussian noise. In short trainings the interval does lie above 0 (difference ${ours('03-noise', 'FD, uniform − Gaussian, seven epochs', { decimals: 0 })}), and the lowest multiple is ${ours('03-noise', 'FD, uniform / Gaussian, seven epochs, lowest of the seeds', { decimals: 2 })}: better, but not decisively. The numerical trouble shows: with uniform noise the mean loss of held-out images explodes several times in one of three trainings and jumps once in another (perhaps because of a few images), some samples of clothes are not finite, and most emoji are not. None of this was seen with Gaussian noise, but in the smallest flows many of its samples, too, lie far beyond the range of images (${ours('03-noise', 'samples far beyond the range, gaussian', { decimals: 0 })} %, with uniform noise ${ours('03-noise', 'samples far beyond the range, uniform', { decimals: 0 })} %; three trainings each).`,
    },
    {
      id: 'T2',
      title: 'one denoising step',
      claim:
        'One training-free denoising step, using the model’s own score, cleans the noisy samples.',
      measurements: ['02-denoising', '03-denoising', '09-sample-quality'],
      ours: sentence`${ours('02-denoising', 'share of the noise’s power removed', { percent: true, decimals: 0 })} of the noise’s power removed by a trained flow (100 test images), by clipping to the range alone ${ours('02-denoising', 'share removed by clipping alone', { percent: true, decimals: 0 })}; by small ones (three trainings) about half: the root mean square error falls from ${ours('03-denoising', 'error on test images before the step', { decimals: 3 })} to ${ours('03-denoising', 'error on test images after the step', { decimals: 3 })}, by clipping alone to ${ours('03-denoising', 'error on test images, clipping alone', { decimals: 3 })} (500 test images)`,
      verdict: 'holds',
      scope: 'on noisy test images',
      reason: sentence`In the trained flow the step takes away most of the noise’s power and brings samples nearer to training images (one model, 10,000 samples: FD ${ours('09-sample-quality', 'FD, labels, as sampled', { decimals: 0, error: true })} to ${ours('09-sample-quality', 'FD, labels, denoised', { decimals: 0, error: true })}). The step and then clipping take away ${ours('02-denoising', 'share removed by the step and clipping', { percent: true, decimals: 0 })} of the power, more than clipping alone does, on average over the same images and in each of three small trainings.`,
    },
    {
      id: 'T3',
      title: 'guidance',
      claim:
        'Guidance works for class-conditional and for unconditional models (attention temperature).',
      measurements: ['04-guidance', '09-sample-quality'],
      ours: sentence`samples in their class ${ours('04-guidance', 'samples in their class, no guidance', { decimals: 0, error: true })} %, guided (constant w = 1) ${ours('04-guidance', 'samples in their class, w = 1 constant', { decimals: 0, error: true })} %; real images ${ours('04-guidance', 'real test images in their class', { decimals: 0, error: true })} %, while FD goes from ${ours('04-guidance', 'FD (Fashion-MNIST classifier features), no guidance', { decimals: 0, error: true })} to ${ours('04-guidance', 'FD (Fashion-MNIST classifier features), w = 1 constant', { decimals: 0, error: true })} (three seeds of 200 samples of one model); with an annealed weight, on five fresh seeds, from ${ours('04-guidance', 'FD on fresh seeds, no guidance', { decimals: 0, error: true })} to ${ours('04-guidance', 'FD on fresh seeds, best annealed weight', { decimals: 0, error: true })}`,
      verdict: 'holds',
      scope: 'in one small model; without labels by FD of one large set',
      brief: 'holds, in one small model',
      reason: sentence`With labels, guided samples look more like their class, and beyond small weights FD grows. The best annealed weight of those tried lowers FD on five fresh seeds (the interval excludes 0); that it is better than the best constant one (${ours('04-guidance', 'FD on fresh seeds, best constant weight', { decimals: 0, error: true })}) cannot be told. Among samples that look like their class with and without guidance, a constant w = 1 costs diversity (variance ratio ${ours('04-guidance', 'variance ratio, no guidance', { decimals: 2, error: true })} to ${ours('04-guidance', 'variance ratio, w = 1 constant', { decimals: 2, error: true })}). Without labels the best of four temperature settings takes FD from ${ours('04-guidance', 'FD without labels, no guidance', { decimals: 0, error: true })} to ${ours('04-guidance', 'FD without labels, best temperature guidance', { decimals: 0, error: true })} on three seeds of 200 samples, where the interval includes 0. In one larger set of samples without labels FD falls from ${ours('09-sample-quality', 'FD, no labels, denoised', { decimals: 0, error: true })} to ${ours('09-sample-quality', 'FD, no labels, guided, denoised', { decimals: 0, error: true })}; precision goes from ${ours('09-sample-quality', 'precision, no labels, denoised', { decimals: 2 })} to ${ours('09-sample-quality', 'precision, no labels, guided, denoised', { decimals: 2 })} and recall from ${ours('09-sample-quality', 'recall, no labels, denoised', { decimals: 2 })} to ${ours('09-sample-quality', 'recall, no labels, guided, denoised', { decimals: 2 })} (weight and temperature chosen on validation images).`,
    },
    {
      id: 'P1',
      title: 'anomaly detection',
      claim: 'An exact likelihood serves anomaly detection.',
      measurements: [],
      verdict: 'not measured yet',
      reason: sentence`No images from outside the distribution were tested.`,
    },
    {
      id: 'P2',
      title: 'Bayes classification',
      claim: 'A class-conditional flow classifies by Bayes’ rule from p(x|y).',
      measurements: ['05-bayes-classifier'],
      ours: sentence`${ours('05-bayes-classifier', "accuracy of the flow by Bayes' rule", { decimals: 1, error: true })} % right with one draw of noise, ${ours('05-bayes-classifier', 'accuracy of the flow, first 2000 images, 4 draws of noise', { decimals: 1, error: true })} % with four; logistic regression ${ours('05-bayes-classifier', 'accuracy of logistic regression', { decimals: 1, error: true })} % (2,000 test images)`,
      verdict: 'holds',
      scope: 'in one small flow',
      reason: sentence`One flow, which was trained with labels but not to classify, is right more often than logistic regression on the same images (McNemar’s test, 2,000 images). A small convolutional network is right for ${ours('05-bayes-classifier', 'accuracy of the small convolutional network', { decimals: 1, error: true })} %.`,
    },
    {
      id: 'P3',
      title: 'lossless compression',
      claim: 'An exact likelihood serves lossless compression.',
      measurements: [],
      verdict: 'not measured yet',
      reason: sentence`No coder is here yet.`,
    },
    {
      id: 'P4',
      title: 'editing, inpainting, interpolation',
      claim: 'Images are edited, inpainted and interpolated in latent space.',
      measurements: [],
      verdict: 'not measured yet',
      reason: sentence`No figure was recorded.`,
    },
    {
      id: 'X1',
      title: 'against diffusion',
      claim:
        'Comparable samples; exact likelihood and one exactly invertible function, which diffusion lacks.',
      measurements: [],
      verdict: 'not measured yet',
      reason: sentence`No diffusion model is here yet.`,
    },
    {
      id: 'X2',
      title: 'against GANs',
      claim: 'Stable training, a likelihood; no mode collapse.',
      measurements: ['09-no-copies'],
      verdict: 'not measured yet',
      reason: sentence`No GAN is here yet; the distances of samples to training images say nothing about modes.`,
    },
    {
      id: 'X3',
      title: 'against VAEs',
      claim: 'Exact likelihood instead of a bound; sharper samples.',
      measurements: [],
      verdict: 'not measured yet',
      reason: sentence`A VAE is here only as the autoencoder of latents; its bound and its samples were not compared.`,
    },
    {
      id: 'X4',
      title: 'against autoregressive pixel models',
      claim:
        'Competitive likelihood with PixelCNN, a latent space, faster sampling with GS-Jacobi.',
      measurements: [],
      verdict: 'not measured yet',
      reason: sentence`No PixelCNN is here yet.`,
    },
    {
      id: 'X5',
      title: 'against earlier flows',
      claim:
        'Far better likelihood than earlier flows such as MAF, RealNVP and Glow (Table 2); at equal cost is our question.',
      measurements: ['10-one-cost', '10-photographs'],
      ours: sentence`Fashion-MNIST, test split, bits per dimension at one cost of training: TarFlow ${ours('10-one-cost', 'bits per dimension, TarFlow', { decimals: 3, error: true })}, affine couplings ${ours('10-one-cost', 'bits per dimension, affine couplings', { decimals: 3, error: true })}, MAF ${ours('10-one-cost', 'bits per dimension, MAF', { decimals: 3, error: true })} (three trainings each), MAF of zuko ${ours('10-one-cost', 'bits per dimension, MAF of zuko', { decimals: 3 })} (one); CIFAR-10, likewise: TarFlow ${ours('10-photographs', 'bits per dimension, TarFlow', { decimals: 3, error: true })}, affine couplings ${ours('10-photographs', 'bits per dimension, affine couplings', { decimals: 3, error: true })}, MAF ${ours('10-photographs', 'bits per dimension, MAF', { decimals: 3, error: true })}`,
      verdict: 'does not hold here',
      brief: 'does not hold here, against couplings',
      scope:
        'against couplings; against MAF it holds on clothes; all in short trainings at small cost',
      reason: sentence`The rule, set beforehand: better where the interval of the differences in bits per dimension of test images, between three pairs of trainings with the same seeds, excludes 0 (two comparisons on each data set, Bonferroni); far better where the mean difference is also at least a tenth of a bit. Couplings are ${ours('10-one-cost', 'TarFlow − affine couplings', { decimals: 3 })} lower on clothes and ${ours('10-photographs', 'TarFlow − affine couplings', { decimals: 3 })} on photographs, and the intervals exclude 0. TarFlow is far better than MAF on clothes by that rule (difference ${ours('10-one-cost', 'TarFlow − MAF', { decimals: 3 })}), where one training of zuko’s MAF comes out near the mean of ours. On photographs our MAF was not compared with another implementation, so that comparison is not judged. Batches and learning rates differ between the kinds and were not tuned for the comparison. Each flow saw every image only five to seventeen times, and none was trained until its loss stopped falling.`,
    },
  ],
};
