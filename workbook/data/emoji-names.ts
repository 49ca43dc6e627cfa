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

/** The words of a name, or of a caption. */
export function nameWords(name: string): string[] {
  return name.toLowerCase().match(/[\p{L}\p{N}’-]+/gu) ?? [];
}

/** Whether a name has all words of a held-out one, as `man running facing right` those of `man running`. */
export function isComposed(name: string, composed: readonly string[]): boolean {
  const words = new Set(nameWords(name));
  return composed.some((held) => nameWords(held).every((word) => words.has(word)));
}

/**
 * Names of emoji that are held out of training and validation in the data sets `emoji-composed-*`, and in
 * those that are split like them: their words occur there in other names. They are the test split. They
 * are every third, second or fourth diagonal of tables of names such as colours by things (the rule is in
 * `test/workbook/data/composed-names.ts`).
 */
export const heldOutNames: readonly string[] = [
  'red heart',
  'orange square',
  'yellow circle',
  'green heart',
  'green book',
  'blue square',
  'purple circle',
  'brown heart',
  'white circle',
  'crying cat',
  'kissing cat',
  'man artist',
  'man dancing',
  'man farmer',
  'man guard',
  'man singer',
  'man swimming',
  'woman cook',
  'woman fairy',
  'woman golfing',
  'woman mage',
  'woman scientist',
  'woman surfing',
  'woman vampire',
];

/** Code points that tell variants of one emoji apart. */
const variantCodes = new Set([
  ...['1F3FB', '1F3FC', '1F3FD', '1F3FE', '1F3FF'], // skin tones
  ...['1F9B0', '1F9B1', '1F9B2', '1F9B3'], // hair
  ...['2640', '2642'], // gender
  '27A1', // facing right
  ...['200D', 'FE0F'], // joiner, emoji style
]);

/** Men and women are persons, boys and girls are children. */
const neutralCodes: Record<string, string> = {
  '1F468': '1F9D1',
  '1F469': '1F9D1',
  '1F466': '1F9D2',
  '1F467': '1F9D2',
};

/** Variants, or the same drawing, under code points that do not show it. */
const sameBase: Record<string, string> = {
  '1F471': '1F9D1', // blond hair
  '1F9D4': '1F9D1', // beard
  '1F474': '1F9D3', // old man
  '1F475': '1F9D3', // old woman
  '1F934': '1FAC5', // prince
  '1F478': '1FAC5', // princess
  '1F57A': '1F483', // man dancing
  '1F930': '1FAC4', // pregnant woman
  '1FAC3': '1FAC4', // pregnant man
  '1F931': '1F9D1-1F37C', // breast-feeding
  '1F385': '1F9D1-1F384', // Father Christmas
  '1F936': '1F9D1-1F384', // Mother Christmas
  '1F46B': '1F9D1-1F91D-1F9D1', // woman and man holding hands
  '1F46C': '1F9D1-1F91D-1F9D1', // men
  '1F46D': '1F9D1-1F91D-1F9D1', // women
  '1F9D1-2764-1F48B-1F9D1': '1F48F', // kiss
  '1F9D1-2764-1F9D1': '1F491', // couple with heart
  '1F64E': '1F64D', // pouting and frowning person
  '1F1F2-1F1EB': '1F1EB-1F1F7', // Saint Martin, France
  '1F1E8-1F1F5': '1F1EB-1F1F7', // Clipperton
  '1F1ED-1F1F2': '1F1E6-1F1FA', // Heard and McDonald Islands, Australia
  '1F1EA-1F1E6': '1F1EA-1F1F8', // Ceuta and Melilla, Spain
  '1F1E9-1F1EC': '1F1EE-1F1F4', // Diego Garcia, British Indian Ocean Territory
  '1F1E7-1F1FB': '1F1F3-1F1F4', // Bouvet Island, Norway
  '1F1F8-1F1EF': '1F1F3-1F1F4', // Svalbard and Jan Mayen
  '1F1FA-1F1F2': '1F1FA-1F1F8', // outlying islands, United States
  '1F1E8-1F1F6': '1F1F8-1F1E6', // Sark, which Google draws as Saudi Arabia
  '1F1F2-1F1E8': '1F1EE-1F1E9', // Monaco, Indonesia
  '1F1F9-1F1E9': '1F1F7-1F1F4', // Chad, Romania
};

/** A family of any number of adults and children; they are drawn alike. */
const family = /^(1F9D1-)+1F9D2(-1F9D2)*$/;

/**
 * The code points that stand for an emoji and all its variants of skin tone, gender, hair and
 * direction, for the other flag of the same design, and for families of every kind.
 *
 * @param code code points in hexadecimal, joined by hyphens, as `1F469-1F3FD-200D-1F680`
 */
export function baseEmoji(code: string): string {
  const codes = code.split('-').filter((each) => !variantCodes.has(each));
  // What is nothing but a variant's code (♀, ➡, a skin tone) stands for itself.
  if (codes.length === 0) return code;
  const neutral = codes.map((each) => neutralCodes[each] ?? each).join('-');
  return family.test(neutral) ? '1F46A' : (sameBase[neutral] ?? neutral);
}
