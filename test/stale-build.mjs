import { newContext } from '../data-scripts/lib/steps.mjs';
import { build } from '../data-scripts/steps/build.mjs';

/** Before any test: tests load packages as they were built, so an old build is told. */
export default function warnOfStaleBuild() {
  if (build.isDone(newContext())) return;
  console.warn('dist/ is missing or older than its sources: `npm run build` makes it anew.');
}
