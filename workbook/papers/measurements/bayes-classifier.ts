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
        figure("accuracy of the flow by Bayes' rule", '%'),
        figure('accuracy of logistic regression', '%', 'trained'),
        figure('accuracy of the small convolutional network', '%'),
        figure('accuracy of the flow, first 2000 images, with noise', '%'),
        figure('accuracy of the flow, first 2000 images, without noise', '%'),
        figure('accuracy of the flow, first 2000 images, 4 draws of noise', '%'),
        figure('accuracy of logistic regression, first 2000 images', '%', 'trained'),
        figure('expected calibration error of the flow', '%'),
        figure('expected calibration error of the flow with a temperature', '%'),
        figure('expected calibration error of logistic regression', '%', 'trained'),
        figure('fitted temperature'),
      ],
    }),
  ],
} satisfies Notebook;
