/** A chart, or a part of one, as far as it is looked at here. */
interface Part {
  layer?: readonly Part[];
  concat?: readonly Part[];
  hconcat?: readonly Part[];
  vconcat?: readonly Part[];
  encoding?: Readonly<Record<string, Part | undefined>>;
  [field: string]: unknown;
}

type Row = Readonly<Record<string, unknown>>;

/** What is wrong with a chart, in words. */
export interface Faults {
  /** Fields that no row has: what shows them stays empty. */
  missing: string[];
  /** Numbers that are not finite, in data and in formulas. */
  notFinite: string[];
}

/**
 * Looks for what cannot be drawn in the data of a chart and of its parts. Fields that transforms make are
 * not known here.
 */
export function faultsOf(spec: Part): Faults {
  const missing = new Set<string>();
  const notFinite = new Set<string>();
  const visit = (part: Part, above: readonly Row[], transformed: boolean): void => {
    const rows = rowsOf(part) ?? above;
    const transforms = Array.isArray(part.transform) ? part.transform : [];
    const isMade = transformed || transforms.length > 0;
    for (const { calculate, as } of transforms) {
      const [found] = /\b(NaN|Infinity)\b/.exec(String(calculate)) ?? [];
      if (found) notFinite.add(`the formula of '${as}' has ${found}`);
    }
    for (const field of fieldsOf(part)) {
      if (!isMade && rows.length > 0 && !rows.some((row) => field in row)) {
        missing.add(
          `no row has '${field}'; the first has ${Object.keys(rows[0] ?? {}).join(', ')}`,
        );
      }
      const odd = rows.flatMap((row, place) => (isOdd(row[field]) ? [place] : []));
      const [first] = odd;
      if (first === undefined) continue;
      const all = odd.length > 1 ? ` (${odd.length} rows in all are not finite)` : '';
      notFinite.add(`'${field}' of row ${first + 1} is ${rows[first]?.[field]}${all}`);
    }
    const { layer = [], concat = [], hconcat = [], vconcat = [] } = part;
    for (const inner of [...layer, ...concat, ...hconcat, ...vconcat]) visit(inner, rows, isMade);
  };
  visit(spec, [], false);
  return { missing: [...missing], notFinite: [...notFinite] };
}

function isOdd(value: unknown): boolean {
  return typeof value === 'number' && !Number.isFinite(value);
}

function rowsOf({ data }: Part): Row[] | undefined {
  const { values } = Object(data);
  return Array.isArray(values) ? values.filter((row) => Object(row) === row) : undefined;
}

/** The fields of a part's encoding; a path into nested values is none. */
function fieldsOf({ encoding = {} }: Part): string[] {
  return Object.values(encoding).flatMap((channel) => {
    const field = channel?.field;
    return typeof field === 'string' && !/[.[\]\\]/.test(field) ? [field] : [];
  });
}
