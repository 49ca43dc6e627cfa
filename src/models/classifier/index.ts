export { accuracy, classifierFeatures, disposeClassifier } from './classifier.js';
export {
  type Classifier,
  type ClassifierConfig,
  type ClassifierParameters,
  classifier,
} from './family.js';
export { loadClassifier, saveClassifier } from './file.js';
export {
  type ClassifierProgress,
  type ClassifierTrainingOptions,
  trainClassifier,
} from './train.js';
