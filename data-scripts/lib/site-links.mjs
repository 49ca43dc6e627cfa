import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * The links of built pages that lead nowhere, and what a page would load from another place than the site.
 * Links to other sites are not followed.
 *
 * @param {string} folder of the site
 * @returns {string[]} page and link, one a line
 */
export function brokenLinks(folder) {
  const pages = pagesOf(folder);
  /** @type {Map<string, Set<string>>} */
  const known = new Map();
  const anchorsOf = (/** @type {string} */ file) => {
    const anchors =
      known.get(file) ??
      new Set([...textOf(file).matchAll(/\s(?:id|name)="([^"]*)"/g)].map(([, id = '']) => id));
    known.set(file, anchors);
    return anchors;
  };
  return pages.flatMap((page) => {
    const file = path.join(folder, page);
    const text = textOf(file);
    const links = [...text.matchAll(/<(\w+)\b[^>]*?\s(href|src)="([^"]*)"/g)];
    return links.flatMap(([, tag = '', , link = '']) => {
      if (/^(data|mailto|javascript):/.test(link)) return [];
      if (/^(https?:)?\/\//.test(link)) return tag === 'a' ? [] : [`${page}: loads ${link}`];
      const [target = '', anchor] = unescaped(link).split('#');
      const [address = ''] = target.split('?');
      let place = address === '' ? file : path.resolve(path.dirname(file), decodeURI(address));
      if (existsSync(place) && statSync(place).isDirectory())
        place = path.join(place, 'index.html');
      if (!existsSync(place)) return [`${page}: ${link}`];
      if (!anchor || !place.endsWith('.html')) return [];
      return anchorsOf(place).has(decodeURIComponent(anchor)) ? [] : [`${page}: ${link}`];
    });
  });
}

/**
 * The pictures of built pages without words for who cannot see them: none, or the name of a file.
 *
 * @param {string} folder of the site
 * @returns {string[]} page and tag, one a line
 */
export function poorAlts(folder) {
  return pagesOf(folder).flatMap((page) =>
    [...textOf(path.join(folder, page)).matchAll(/<img\b(?:"[^"]*"|[^>"])*>/g)]
      .filter(([tag]) => !/\salt="(?!\s*"|[^"]*\.(png|svg|jpe?g)")/.test(tag))
      .map(([tag]) => `${page}: ${tag.slice(0, 200)}`),
  );
}

/** @param {string} folder of the site, where templates of the theme are among the files */
function pagesOf(folder) {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.html') && !file.startsWith('_static'));
}

/**
 * A page without its scripts, in which there may be what looks like a link.
 *
 * @param {string} file
 */
function textOf(file) {
  return readFileSync(file, 'utf8').replace(/(<script\b[^>]*>).*?<\/script>/gs, '$1</script>');
}

/** @param {string} text of an attribute */
function unescaped(text) {
  return text.replaceAll('&amp;', '&').replaceAll('&quot;', '"').replaceAll('&#39;', "'");
}
