import type {
  FigureName,
  MeasurementId,
  MeasureName,
  PublishedReference,
} from '../papers/index.js';
import type {
  Acceleration,
  AuthorsLoopFlow,
  BlockStudyRow,
  EditingRecord,
  PaperSizeRow,
  PeersRecord,
} from '../records/record.js';

/** A recorded figure, and how it is written. */
export interface OurReference {
  /**
   * Its record: a file of `results/claims/`, or the id of a table in `results/tables/`; or how it is
   * computed.
   */
  measurement: MeasurementId | { table: string } | { computed: (evidence: Evidence) => number };
  /** Its name, or the row of the table, whose trainings are meant; '' where it is computed. */
  figure: string;
  /** The measure, of a table. */
  measure?: MeasureName;
  /** Decimals; four significant digits where absent. */
  decimals?: number;
  /** Show a share as a percentage. */
  percent?: true;
  /** Show its standard error, too. */
  error?: true;
}

/** Text in which figures are references, so that none is typed. */
export type Sentence<Reference> = readonly (string | Reference)[];

/** A figure as it is recorded. */
export interface Recorded {
  value: number;
  /** Its standard error, where one is recorded. */
  error: number | undefined;
}

/** What is recorded in `results/`, for the rules of claims. */
export interface Evidence {
  /**
   * A figure that a notebook recorded.
   * @throws Error where it is not there
   */
  figure: <const Id extends MeasurementId>(measurement: Id, name: FigureName<Id>) => Recorded;
  /** Measurements that have no record: one was deleted, or its notebook is new. Absent: none. */
  unrecorded?: ReadonlySet<MeasurementId>;
  /** A figure of each training of a row of a table of `tarflow reproduce`; none where it is not filled. */
  trainings: (table: string, row: string, measure: MeasureName) => readonly number[];
  /** How each block of some flows converges, by `tarflow blocks`; none where that was not measured. */
  blocks: readonly BlockStudyRow[];
  /** What a block of a published size costs, by `test/benchmarks/paper-size.ts`. */
  paperSizes: readonly PaperSizeRow[];
  /** Strategies over the authors' kind of loop, by `test/benchmarks/authors-loop.ts`. */
  authorsLoop: readonly AuthorsLoopFlow[];
  /** Strategies over the loop that XLA compiles, by `tarflow accelerate`. */
  accelerations: readonly { model: string; table: Acceleration }[];
  /** Inpainting and editing, by `test/benchmarks/editing.ts`; absent where that was not measured. */
  editing: EditingRecord | undefined;
  /** Kinds of models at one cost, a record for each set of data; none where that was not measured. */
  peers: readonly PeersRecord[];
}

/** Whether something holds; undefined where it is open. */
export type Outcome = boolean | 'in part' | undefined;

/** What a claim says, or one of several things that it says, and the rule that decides it. */
export interface ClaimPart {
  /** At most four words; absent where a claim says one thing. */
  part?: string;
  /** When it holds, in one sentence. */
  rule: string;
  /**
   * Whether it holds by the rule. Undefined where the figures leave it open, and absent where they are
   * not measured yet.
   */
  holds?: (evidence: Evidence) => Outcome;
  /** What would settle it, and its cost, where it is open. */
  toSettle?: string;
}

/** A claim of a paper, and what our figures say of it. */
export interface Claim {
  /** For example 'S2'. */
  id: string;
  /** A few words for a table. */
  title: string;
  /** What the paper claims. */
  claim: string;
  /** The files of `results/claims/` that it stands on. */
  measurements: readonly MeasurementId[];
  /** The tables of `results/tables/` that it stands on. */
  tables?: readonly string[];
  /** The files of `results/acceleration/` that it stands on. */
  accelerations?: readonly string[];
  /** Other files of `results/` that it stands on, for example 'uses/editing.json'. */
  files?: readonly string[];
  /** Whether its figures are there that are in no measurement; absent: they are. */
  measured?: (evidence: Evidence) => boolean;
  /** What the papers report. */
  published?: Sentence<PublishedReference>;
  /** What was measured here, in at most 25 words, whatever the verdict. */
  ours?: Sentence<OurReference>;
  /** None where nothing was measured that decides it. */
  parts: readonly ClaimPart[];
}

/** What figures say of a claim. `not at this size`: they were measured, and leave it open. */
export type Verdict =
  | 'holds'
  | 'holds in part'
  | 'does not hold here'
  | 'not at this size'
  | 'not measured yet';

/** A part of a claim, judged. */
export interface JudgedPart extends ClaimPart {
  outcome: Outcome;
}

/**
 * The verdict on a claim: it holds where each part does, in part where some do.
 *
 * @throws Error for a figure that is not recorded
 */
export function judge(claim: Claim, evidence: Evidence): { verdict: Verdict; parts: JudgedPart[] } {
  if (lacksRecord(claim, evidence)) {
    const parts = claim.parts.map((part) => ({ ...part, outcome: undefined }));
    return { verdict: 'not measured yet', parts };
  }
  const parts = claim.parts.map((part) => ({ ...part, outcome: part.holds?.(evidence) }));
  const outcomes = parts.map(({ outcome }) => outcome);
  if (!parts.some(({ holds }) => holds)) return { verdict: 'not measured yet', parts };
  if (outcomes.every((outcome) => outcome === true)) return { verdict: 'holds', parts };
  if (outcomes.includes(true) || outcomes.includes('in part'))
    return { verdict: 'holds in part', parts };
  return { verdict: outcomes.includes(false) ? 'does not hold here' : 'not at this size', parts };
}

/** Whether a record is not there on which a claim stands. */
export function lacksRecord({ measurements, measured }: Claim, evidence: Evidence): boolean {
  if (measured && !measured(evidence)) return true;
  return measurements.some((id) => evidence.unrecorded?.has(id));
}

/**
 * Whether one figure is below another by more than twice the standard error of their difference.
 *
 * @param factor another multiple, for errors of few trainings: 4.3 for three
 * @returns undefined where they are too near for that, and false where it is above
 * @throws Error for a recorded figure without its error
 */
export function clearlyBelow(
  one: Recorded | number,
  other: Recorded | number,
  factor = 2,
): boolean | undefined {
  const [a, b] = [withError(one), withError(other)];
  const margin = factor * Math.hypot(a.error, b.error);
  if (a.value + margin < b.value) return true;
  return a.value - margin > b.value ? false : undefined;
}

function withError(figure: Recorded | number): { value: number; error: number } {
  const { value, error } = typeof figure === 'number' ? { value: figure, error: 0 } : figure;
  if (error === undefined) throw new Error(`The figure ${value} has no standard error`);
  return { value, error };
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

/** The mean over the trainings of a row of a table of `tarflow reproduce`, for {@link sentence}. */
export function ofTrainings(
  table: string,
  row: string,
  measure: MeasureName,
  decimals: number,
): OurReference {
  return { measurement: { table }, figure: row, measure, decimals, error: true };
}

/** A figure measured here, for {@link sentence}. */
export function ours<const Id extends MeasurementId>(
  measurement: Id,
  figure: FigureName<Id>,
  format: Pick<OurReference, 'decimals' | 'percent' | 'error'> = {},
): OurReference {
  return { measurement, figure, ...format };
}

/** A number that is computed from what is recorded, for {@link sentence}. */
export function computed(
  value: (evidence: Evidence) => number,
  format: Pick<OurReference, 'decimals' | 'percent'> = { decimals: 0 },
): OurReference {
  return { measurement: { computed: value }, figure: '', ...format };
}
