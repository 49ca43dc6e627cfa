// Leads from every page of the API reference back to the site, where it is part of it.
import { JSX } from 'typedoc';

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.renderer.hooks.on('content.begin', (context) =>
    JSX.createElement('a', { href: context.relativeURL('../index.html') }, '← The site'),
  );
}
