import * as path from 'node:path';
import { z } from 'zod';
import { readBytes } from '../../src/core/files.js';
import { measurements, papers } from '../papers/index.js';
import { resultsFolder } from '../results-folder.js';
import { markdownTable } from './markdown.js';

/** What each notebook asks, by its file's name. */
const questions = {
  '01-what-a-flow-is': 'What is a flow? In two dimensions, from the formula to a trained model',
  '02-tarflow-on-images': 'How does TarFlow work on images?',
  '03-noise-and-denoising': 'What is the noise of training for, and how is it taken away?',
  '04-guidance': 'What does guidance do?',
  '05-bayes-classifier': 'Can a flow classify?',
  '06-gauss-seidel-jacobi': 'Sampling as a triangular system: GS-Jacobi, CRM, IGM',
  '07-selective-jacobi': 'Which blocks need their past? Selective Jacobi Decoding',
  '08-acceleration': 'When does iterating pay?',
  '09-sample-quality': 'How good are samples?',
  '10-likelihood': 'How many bits does an image cost?',
  '11-emoji-from-text': 'Emoji from text, by a small STARFlow',
  '12-deep-and-shallow': 'One deep block, or even ones?',
  '13-latents-and-pixels': 'Latents or pixels?',
  '14-what-matters': 'What are directions, blocks and size worth, and what does the loss tell?',
  '15-emoji-in-pixels': 'How good are emoji in pixels, and does iterating draw them faster?',
} as const;

const timesSchema = z.record(z.string(), z.record(z.string(), z.number()));

/** The notebooks: what each asks, the claims that it measures, and the minutes of its last run. */
export async function notebookTable(): Promise<string> {
  const file = path.join(resultsFolder(), 'cell-times.json');
  const times = timesSchema.parse(JSON.parse(Buffer.from(await readBytes(file)).toString('utf8')));
  const rows = Object.entries(questions).map(([name, question]) => {
    const number = name.slice(0, 2);
    const seconds = Object.values(times[`${name}.ipynb`] ?? {}).reduce(
      (sum, cell) => sum + cell,
      0,
    );
    return {
      notebook: `[${number}](notebooks/${name}.ipynb)`,
      'what it asks': question,
      claims: claimsOf(number).join(', '),
      minutes: `${Math.max(1, Math.round(seconds / 60))}`,
    };
  });
  return markdownTable(rows);
}

/** The claims to which what a notebook measures belongs, by their letters and numbers. */
function claimsOf(number: string): string[] {
  const measured = measurements.map(({ id }) => id).filter((id) => id.startsWith(`${number}-`));
  return papers
    .flatMap(({ claims }) => claims)
    .filter(({ verdict }) => verdict !== 'not measured yet')
    .filter((claim) => claim.measurements.some((id) => measured.includes(id)))
    .map(({ id }) => id);
}
