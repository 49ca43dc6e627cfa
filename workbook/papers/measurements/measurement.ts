import type { Agreement } from '../agreement.js';
import type { PublishedReference } from '../paper-table.js';

/** One number that a notebook measures, as far as it is known before it is measured. */
export interface MeasuredFigure<Name extends string = string> {
  /** For example 'bits per dimension, test split'. Unique within its measurement. */
  name: Name;
  /** For example 'bits/dim', 'nats', 's', 'images/s'; '' for a plain number. */
  unit: string;
  agreement: Agreement;
  /** What a paper reports for the same quantity: for orientation, of another model or data set. */
  published?: PublishedReference | undefined;
}

/** What a notebook measures for a claim: the unchanging part of a file of `results/claims/`. */
export interface Measurement<Id extends string = string, Name extends string = string> {
  /** Names the file. */
  id: Id;
  title: string;
  /** One sentence. */
  claim: string;
  figures: readonly MeasuredFigure<Name>[];
  /** What a reader types to measure it again; default: the command that runs the notebook. */
  command?: string;
  /** True where that command alone measures it, and the notebook reads the record. */
  apart?: true;
}

/** A notebook: what it asks, and what it measures. */
export interface Notebook {
  /** Its file's name. */
  notebook: string;
  question: string;
  /** The claims that it tells of; absent where these are the ones of its measurements and tables. */
  claims?: readonly string[];
  /** The tables of `results/tables/` that it reads. */
  tables?: readonly string[];
  /** The files of `results/acceleration/` that it reads. */
  accelerations?: readonly string[];
  measurements: readonly Measurement[];
}

/** A measurement whose figures are known by name to the compiler. */
export function measurement<const Id extends string, const Name extends string>(
  declared: Measurement<Id, Name>,
): Measurement<Id, Name> {
  return declared;
}

/** A figure of a measurement: a plain number that is computed, where nothing else is said. */
export function figure<const Name extends string>(
  name: Name,
  unit = '',
  agreement: Agreement = 'computed',
  published?: PublishedReference,
): MeasuredFigure<Name> {
  return { name, unit, agreement, published };
}

/** The figures of each of several things, whose names stay known to the compiler. */
export function each<const Item, Made>(
  items: readonly Item[],
  make: (item: Item) => Made | readonly Made[],
): Made[] {
  return items.flatMap(make);
}
