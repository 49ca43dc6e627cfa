import { SourceMap } from 'node:module';

/** A place in a text; lines and columns count from 1. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

/** Finds where a place in compiled code comes from, both counted from 1. */
export type Origin = (line: number, column: number) => { line: number; column: number } | undefined;

const origins = new Map<string, Origin>();

/** Remembers where the code of a file comes from. */
export function rememberOrigin(file: string, origin: Origin): void {
  origins.set(file, origin);
}

/** The place that the user wrote in a file that was compiled here; undefined for what was added. */
export function originalPlace(place: Place): Place | undefined {
  const found = origins.get(place.file)?.(place.line, place.column);
  return found && { file: place.file, ...found };
}

/** True for a file that was compiled here. */
export function isCompiled(file: string): boolean {
  return origins.has(file);
}

/** Follows one or two source maps, the last step first. Maps are read when they are first needed. */
export function originThrough(...steps: readonly string[]): Origin {
  let maps: SourceMap[] | undefined;
  return (line, column) => {
    maps ??= steps.map((text) => new SourceMap(JSON.parse(text)));
    let [row, place] = [line - 1, column - 1];
    for (const map of maps) {
      const entry = map.findEntry(row, place);
      if (!('originalLine' in entry)) return undefined;
      [row, place] = [entry.originalLine, entry.originalColumn];
    }
    return { line: row + 1, column: place + 1 };
  };
}

const mark = '//# sourceMappingURL=data:application/json;base64,';

/** Code and the source map that the compiler wrote below it. */
export function splitMap(code: string): { code: string; map?: string } {
  const at = code.lastIndexOf(mark);
  if (at === -1) return { code };
  const map = Buffer.from(code.slice(at + mark.length).trim(), 'base64').toString();
  return { code: code.slice(0, at), map };
}
