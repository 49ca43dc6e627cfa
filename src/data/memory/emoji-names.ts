import { createRequire } from 'node:module';

/** Emoji style, which some lists of code points leave out. */
const style = /\uFE0F/g;

let known: ReadonlyMap<string, string> | undefined;

/**
 * The name that Unicode gives an emoji, as `red heart` or `woman astronaut`; nothing where it gives
 * none.
 *
 * @param code code points in hexadecimal, joined by hyphens, without a skin tone
 */
export function emojiName(code: string): string | undefined {
  known ??= readNames();
  const points = code.split('-').map((each) => Number.parseInt(each, 16));
  const isCode = points.every((point) => point >= 0 && point <= 0x10ffff);
  return isCode ? known.get(String.fromCodePoint(...points).replace(style, '')) : undefined;
}

/** Read once it is asked for: the package is 0.4 MB of JSON. */
function readNames(): ReadonlyMap<string, string> {
  const listed: Record<string, { name: string }> = createRequire(__filename)('unicode-emoji-json');
  return new Map(
    Object.entries(listed).map(([emoji, { name }]) => [emoji.replace(style, ''), name]),
  );
}
