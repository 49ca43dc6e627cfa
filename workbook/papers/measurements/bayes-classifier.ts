import { figure, measurement, type Notebook } from './measurement.js';

/** Notebook 05: the flow as a classifier. */
export const bayesClassifier = {
  notebook: '05-bayes-classifier',
  question: 'Can a flow classify?',
  measurements: [
    measurement({
      id: '05-bayes-classifier',
      title: "The flow classifies by Bayes' rule",
      claim:
        "A class-conditional flow is a classifier without further training, by Bayes' rule: argmax over y of log p(x | y).",
      figures: [
        figure("accuracy of the flow by Bayes' rule", '%', 'computed'),
        figure('accuracy of logistic regression', '%', 'trained'),
        figure('accuracy of the small convolutional network', '%', 'computed'),
        figure('accuracy of the flow, first 2000 images, with noise', '%', 'computed'),
        figure('accuracy of the flow, first 2000 images, without noise', '%', 'computed'),
        figure('accuracy of the flow, first 2000 images, 4 draws of noise', '%', 'computed'),
        figure('accuracy of logistic regression, first 2000 images', '%', 'trained'),
        figure('expected calibration error of the flow', '%', 'computed'),
        figure('expected calibration error of the flow with a temperature', '%', 'computed'),
        figure('expected calibration error of logistic regression', '%', 'trained'),
        figure('fitted temperature', '', 'computed'),
      ],
    }),
  ],
} satisfies Notebook;
