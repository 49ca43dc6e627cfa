import type { Notebook } from './measurement.js';

/** What is drawn given the rest of an image, between images, and by another label. */
export const editing = {
  notebook: 'reports/13-editing',
  question: 'Can images be filled in, mixed and given another class?',
  claims: ['P4'],
  measurements: [],
} satisfies Notebook;
