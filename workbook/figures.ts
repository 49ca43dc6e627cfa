/** Figures of a claim by name, as `recordClaim` takes them; undefined where one was not measured. */
export type Figures = Record<string, number | undefined>;

/** The figures of several things, such as models or settings, in one record. */
export function figuresOf<T>(things: readonly T[], figures: (thing: T) => Figures): Figures {
  return Object.assign({}, ...things.map(figures)) as Figures;
}
