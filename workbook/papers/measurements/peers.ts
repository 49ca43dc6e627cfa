import { each, figure, measurement, type Notebook } from './measurement.js';

/** Kinds of models at one cost. */
export const peers = {
  notebook: 'reports/10-peers',
  question: 'What do other kinds of models do, at one cost?',
  claims: ['X1', 'X2', 'X3', 'X4'],
  measurements: [
    measurement({
      id: 'peers-pixelcnn',
      title: 'X4 Bits of clothes by the PixelCNN',
      claim: 'Competitive likelihood with PixelCNN.',
      figures: [figure('bits per dimension', 'bits/dim'), figure('images', '', 'exact')],
    }),
    measurement({
      id: 'peers-kept',
      title: 'Peers beside kept implementations',
      claim: 'No kind of model is a straw man.',
      figures: each(['ours', 'kept'], (side) =>
        each(['epsilon', 'v', 'rectified-flow', 'vae', 'pixelcnn', 'gan'], (kind) =>
          figure(`${side}, ${kind}`),
        ),
      ),
      command: 'TARFLOW_RESULTS=results npx tsx test/benchmarks/kept-checks.ts',
      apart: true,
    }),
  ],
} satisfies Notebook;
