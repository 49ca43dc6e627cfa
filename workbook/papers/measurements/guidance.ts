import { each, figure, measurement, type Notebook } from './measurement.js';

const claim = 'Score-based guidance in closed form is stable at large weights.';

/** What L3 compares: weights, and the rules beside the product of Gaussians. */
export const guidanceWeights = [0, 1, 2, 2.5, 3, 4, 6, 8, 10] as const;
export const linearRules = ['linear, constant', 'linear, annealed'] as const;

/** Guidance, with labels and without, by two rules; and Bayes' rule. */
export const guidance = {
  notebook: 'reports/03-guidance-and-classification',
  question: 'Does guidance help, by which rule, and can a flow classify?',
  claims: ['T3', 'L3', 'P2'],
  measurements: [
    measurement({
      id: 'guidance-weights',
      title: 'Guidance by weight and rule',
      claim,
      figures: each(['clothes', 'emoji'], (model) =>
        each(['product', ...linearRules], (rule) =>
          each(guidanceWeights, (weight) => [
            figure(`FD, ${model}, ${rule}, w = ${weight}`),
            figure(`not finite, ${model}, ${rule}, w = ${weight}`, '%'),
          ]),
        ),
      ),
      command: 'TARFLOW_RESULTS=results npx tsx test/benchmarks/guidance-weights.ts',
      apart: true,
    }),
    measurement({
      id: 'bayes-classifier',
      title: "The flow classifies by Bayes' rule",
      claim:
        "A class-conditional flow is a classifier without further training, by Bayes' rule: argmax over y of log p(x | y).",
      figures: [
        figure("accuracy of the flow by Bayes' rule", '%'),
        figure('accuracy of logistic regression', '%', 'trained'),
        figure('accuracy of the small convolutional network', '%'),
      ],
      command: 'npm run workbook -- --all --only reports/03',
    }),
  ],
} satisfies Notebook;
