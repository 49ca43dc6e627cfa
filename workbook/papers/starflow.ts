import { ourFlows, type Paper, type PaperScale, reported, type Source } from './paper-table.js';

const work = 'arXiv 2506.06276';
const quoted = (place: string): Source => ({ work, place, known: 'quoted' });

/** What the models have in common. */
const shared = {
  dataset: 'latents',
  latentChannels: 4,
  patchSize: 1,
  blocks: 6,
  noise: 0.3,
  batchSize: 512,
  peakLearningRate: 6.4e-5,
  dropLabel: 0.1,
} as const;

/**
 * One deep block nearest the noise, and five shallow ones: 18(6) in the paper's words. It was trained
 * on 400 million images, which are 312 epochs. The learning rate is that of the released
 * configuration; w is that of the paper's pictures, since it does not say which w its figures used.
 */
const classConditional: PaperScale = {
  ...shared,
  data: 'ImageNet 256×256, latents of 32×32×4',
  encoded: 'imagenet',
  classes: 1000,
  side: 32,
  channels: 2048,
  layersPerBlock: [2, 2, 2, 2, 2, 18],
  epochs: 312,
  sampling: { guidance: 3, rule: 'product', denoising: 0 },
};
/** It goes on with longer sequences, for how long is not said. */
const { epochs: _, ...untimed } = classConditional;
const largeImages: PaperScale = {
  ...untimed,
  data: 'ImageNet 512×512, latents of 64×64×4',
  side: 64,
  gridSide: 32,
};
/** It was trained on CC12M; for how long is not said. */
const textToImage: PaperScale = {
  ...shared,
  data: 'pairs of images 256×256 and texts, latents of 32×32×4',
  encoded: 'cc12m',
  side: 32,
  text: { entries: 128, width: 2048 },
  channels: 3072,
  layersPerBlock: [2, 2, 2, 2, 2, 24],
  sampling: { guidance: 4, rule: 'product', denoising: 0, samples: 30_000 },
};

/** A TarFlow in the latent space of an autoencoder. */
export const starflow: Paper = {
  id: 'starflow',
  title: 'STARFlow: Scaling Latent Normalizing Flows for High-resolution Image Synthesis',
  work,
  tables: [
    {
      id: 'fid-imagenet-256',
      title: 'Table 3: samples of ImageNet 256×256, class-conditional',
      rows: reported('FID', quoted('samples of ImageNet 256×256'), [
        ['STARFlow (1.4B), latents', 'flow', 2.4, { paper: classConditional }],
        [
          'STARFlow, denoised by its score, decoder as it was',
          'flow',
          2.96,
          {
            paper: {
              ...classConditional,
              sampling: { ...classConditional.sampling, denoising: 1 },
            },
          },
        ],
        ['deep and shallow blocks in pixel space (1.4B)', 'flow', 4.69],
        ['TarFlow in pixel space (1.3B)', 'flow', 5.56],
        ['JetFormer (2.8B)', 'flow and autoregressive', 6.64],
        ['DiT-XL/2', 'diffusion', 2.27],
        ['SiT-XL', 'diffusion', 2.06],
        ['LDM-4', 'diffusion', 3.6],
        ['ADM', 'diffusion', 4.59],
        ['CDM', 'diffusion', 4.88],
        ['GIVT', 'autoregressive', 2.59],
        ['MAR-AR', 'autoregressive', 4.69],
        ['MAR', 'autoregressive', 1.55],
        ['VAR', 'autoregressive', 1.73],
        ['LlamaGen-3B', 'autoregressive', 2.18],
        ['RQ-Transformer', 'autoregressive', 3.8],
        ['DART', 'autoregressive and diffusion', 3.82],
      ]),
    },
    {
      id: 'fid-imagenet-512',
      title: 'Table 3: samples of ImageNet 512×512, class-conditional',
      rows: reported('FID', quoted('samples of ImageNet 512×512'), [
        ['STARFlow', 'flow', 3, { paper: largeImages }],
      ]),
    },
    {
      id: 'text-to-image',
      title: 'Table 3: MSCOCO, zero-shot, from text',
      rows: [
        {
          name: 'STARFlow (3.8B), CC12M',
          kind: 'flow',
          paper: textToImage,
          weights: 'starflow_3B_t2i_256x256.pth',
          published: [
            { measure: 'FID', value: 9.1, source: quoted('COCO, zero-shot FID-30K') },
            { measure: 'GenEval', value: 0.56, source: quoted('GenEval') },
          ],
        },
      ],
    },
    {
      id: 'deep-shallow',
      title: 'How layers are shared out among four blocks, at one cost (L2)',
      rows: ourFlows(['held-out loss', 'FID'], {
        'one deep block nearest the noise, 1-1-1-5': 'design-deep-near-noise',
        'an even split, 2-2-2-2': 'design-even',
        'one deep block nearest the data, 5-1-1-1': 'design-deep-near-data',
      }),
    },
    {
      id: 'latents-and-pixels',
      title: 'A flow on latents and on pixels, at one cost of training (L1)',
      rows: ourFlows(['held-out loss', 'FID'], {
        'latents, decoder trained on noise': 'emoji-on-latents',
        'pixels, patches of 8×8, σ = 0.05': 'emoji-on-pixels',
        'pixels, patches of 8×8, σ = 0.1': 'emoji-on-noisier-pixels',
        'pixels, patches of 4×4, σ = 0.05': 'emoji-on-small-patches',
      }).map((row) => ({
        ...row,
        labelledAsTrained: true,
        ...(row.workbook === 'emoji-on-latents' && {
          latents: { images: 'emoji-base-64', autoencoder: 'emoji-vae-noisy' },
        }),
      })),
    },
  ],
};
