import type { FigureName, MeasurementId } from './measurements/index.js';
import type { PublishedReference, Table, Verdict } from './paper-table.js';

/** A paper: what its tables report, and what it claims. */
export interface Paper {
  id: string;
  title: string;
  /** For example 'arXiv 2412.06329'. */
  work: string;
  tables: readonly Table[];
  claims: readonly Claim[];
}

/** A figure of `results/claims/`: what was measured here. */
export interface OurReference {
  measurement: MeasurementId;
  figure: string;
  /** Decimals; four significant digits where absent. */
  decimals?: number;
  /** Show a share as a percentage. */
  percent?: true;
  /** Show its standard error, too. */
  error?: true;
}

/** Text in which figures are references, so that none is typed. */
export type Sentence<Reference> = readonly (string | Reference)[];

/** A claim of a paper, and what our figures say of it: never more than they do. */
export interface Claim {
  /** For example 'S2'. */
  id: string;
  /** A few words for a table. */
  title: string;
  /** What the paper claims. */
  claim: string;
  /** The files of `results/claims/` that it stands on. */
  measurements: readonly MeasurementId[];
  /** What the papers report, for the table of results. */
  published?: Sentence<PublishedReference>;
  /** What was measured here, for the table of results. */
  ours?: Sentence<OurReference>;
  verdict: Verdict;
  /** Where the verdict is narrower than the claim, for example 'in two dimensions'. */
  scope?: string;
  /** Verdict and scope in at most eight words, where they take more: for the README. */
  brief?: string;
  /** Why, in one sentence. */
  reason: Sentence<OurReference>;
}

/** A sentence from a template literal whose values are references. */
export function sentence<Reference>(
  texts: TemplateStringsArray,
  ...references: Reference[]
): Sentence<Reference> {
  const parts = texts.flatMap((text, i): (string | Reference)[] => {
    const reference = references[i];
    return reference === undefined ? [text] : [text, reference];
  });
  return parts.filter((part) => part !== '');
}

/** A figure measured here, for {@link sentence}. */
export function ours<const Id extends MeasurementId>(
  measurement: Id,
  figure: FigureName<Id>,
  format: Pick<OurReference, 'decimals' | 'percent' | 'error'> = {},
): OurReference {
  return { measurement, figure, ...format };
}
