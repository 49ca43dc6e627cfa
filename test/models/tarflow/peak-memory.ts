// Likelihood and gradient of one image under a TarFlow from a file, as a program of its own: prints what
// it found, the most memory that it held, and the seconds it took.
import { measuredGradient } from './measured-gradient.js';

async function main(): Promise<void> {
  const begun = performance.now();
  const [file, headWidth] = process.argv.slice(2);
  const measured = await measuredGradient(file as string, Number(headWidth));
  const seconds = (performance.now() - begun) / 1000;
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  console.log(JSON.stringify({ measured, peakBytes, seconds }));
}

void main();
