import { layeredEnvironment } from './layered.mjs';

/** The Python environment of the site's command. */
export const siteEnvironment = '.venv-site';

/** What makes the site. */
export const sphinx = layeredEnvironment({
  title: 'Sphinx',
  folder: siteEnvironment,
  name: 'site',
});
