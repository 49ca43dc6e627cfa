// npm run site: course, reports, docs, API reference, results and flows that draw in the browser, as static
// pages in site/html; any web server serves them.
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { folderSize } from './lib/files.mjs';
import { venvProgram } from './lib/places.mjs';
import { runOrThrow } from './lib/run.mjs';
import { runMain, SetupError } from './lib/setup-error.mjs';
import { brokenLinks, poorAlts } from './lib/site-links.mjs';
import { layOutSources } from './lib/site-sources.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { setUp } from './steps/all.mjs';
import { build } from './steps/build.mjs';
import { siteEnvironment, sphinx } from './steps/sphinx.mjs';

await runMain(async () => {
  const context = newContext();
  const { root, env, progress } = context;
  await setUp(context);
  await runSteps([sphinx, build], context);

  const site = path.join(root, 'site');
  const [sources, pages] = [path.join(site, 'sources'), path.join(site, 'html')];
  rmSync(site, { recursive: true, force: true });
  mkdirSync(sources, { recursive: true });
  await layOutSources(root, sources);

  progress.start('Pages');
  const python = venvProgram(root, 'python', siteEnvironment);
  const options = ['-m', 'sphinx', '-b', 'html', '-W', '--keep-going', '-q'];
  await runOrThrow('Sphinx', python, [...options, sources, pages], { cwd: root, env });
  progress.finish();

  progress.start('API reference');
  const typedoc = path.join(root, 'node_modules', 'typedoc', 'bin', 'typedoc');
  await runOrThrow(
    'The API reference',
    process.execPath,
    [
      ...[typedoc, '--skipErrorChecking', '--out', path.join(pages, 'api')],
      ...['--plugin', path.join(root, 'docs', 'site', 'api-link.mjs')],
    ],
    { cwd: root, env },
  );
  progress.finish();

  const broken = brokenLinks(pages);
  if (broken.length > 0) {
    throw new SetupError(
      `${broken.length} links of the site lead nowhere, or elsewhere for what a page loads`,
      'Repair what is listed below',
      broken.join('\n'),
    );
  }
  const poor = poorAlts(pages);
  if (poor.length > 0) {
    throw new SetupError(
      `${poor.length} pictures of the site do not say what they show`,
      'Describe what is listed below: by `description` of a grid, `alt` of a chart',
      poor.join('\n'),
    );
  }
  progress.note(`The site is in site/html: ${Math.round(folderSize(pages) / 1e6)} MB.`);
  progress.note('To look at it: python3 -m http.server --directory site/html');
  return 0;
});
