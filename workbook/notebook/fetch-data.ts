import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../src/core/package-root.js';
import { type Progress, startProgress } from '../../src/show/progress.js';

/**
 * Fetches data sets and networks into the cache folder where they are missing, as `npx tarflow data` does,
 * with a bar for each, and says in one line that they are there.
 *
 * @param names such as 'emoji' and 'minilm'; `npx tarflow data --help` lists them, with their sizes
 * @throws an error that says what to do, for a name that there is not and where the network fails
 */
export async function fetchData(...names: string[]): Promise<void> {
  const script = (...file: string[]) =>
    import(pathToFileURL(path.join(packageRoot(), 'data-scripts', ...file)).href);
  const { newContext } = await script('lib', 'steps.mjs');
  const commands = await script('commands', 'data.mjs');
  await commands.fetchData(names, { ...newContext(), progress: new Bars() });
}

/** What the scripts tell of their steps, as bars where the size is known. */
class Bars {
  private title = '';
  private bar: Progress | undefined;

  start(title: string): void {
    this.title = title;
  }

  update(done: number, total: number | undefined): void {
    if (total === undefined) return;
    const megabytes = (bytes: number) => Math.round(bytes / 1e6);
    this.bar ??= startProgress({ title: this.title, total: megabytes(total), unit: 'MB' });
    this.bar.update(megabytes(done));
  }

  part(): void {}

  tick(): void {}

  finish(): void {
    this.bar?.finish();
    this.bar = undefined;
  }

  fail(): void {
    this.finish();
  }

  note(text: string): void {
    console.log(text);
  }
}
