import { each, figure, measurement, type Notebook } from './measurement.js';

/** What a flow of Fashion-MNIST is to tell apart from its images. */
export const outlierSets = ['digits', 'noise', 'constants', 'photographs'] as const;
/** By what it does: the scores of `tarflow score`. */
export const anomalyScoreNames = [
  'bitsPerDimension',
  'complexityCorrected',
  'likelihoodRatio',
  'typicality',
  'scoreNorm',
] as const;

/** Which images are strange to a flow. */
export const anomalies = {
  notebook: 'reports/11-anomalies',
  question: 'Does a likelihood tell strange images from others?',
  claims: ['P1'],
  measurements: [
    measurement({
      id: 'anomalies',
      title: 'Strange images by the likelihood of a flow',
      claim: 'An exact likelihood serves anomaly detection.',
      figures: each(outlierSets, (set) =>
        each(anomalyScoreNames, (score) => [
          figure(`AUROC, ${score}, ${set}`),
          figure(`AUPR, ${score}, ${set}`),
          figure(`FPR95, ${score}, ${set}`),
        ]),
      ),
    }),
    measurement({
      id: 'anomalies-without-spread',
      title: 'Strange images by a flow that does not spread the background',
      claim: 'An exact likelihood serves anomaly detection.',
      figures: each(outlierSets, (set) =>
        each(['bitsPerDimension', 'complexityCorrected'], (score) => [
          figure(`AUROC, ${score}, ${set}`),
          figure(`AUPR, ${score}, ${set}`),
          figure(`FPR95, ${score}, ${set}`),
        ]),
      ),
    }),
  ],
} satisfies Notebook;
