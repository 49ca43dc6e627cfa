import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { measurements } from '../papers/index.js';
import { readAccelerations } from '../records/accelerations.js';
import { readClaim } from '../records/claim.js';
import { readRecord } from '../records/record.js';
import { resultsFolder } from '../records/results-folder.js';
import type { Evidence } from './paper-claim.js';

/** The data on which kinds of models are compared. */
const comparedData = ['fashion-mnist', 'emoji-base-32'];

/** What is recorded in `results/`, for the rules of claims. */
export async function recordedEvidence(): Promise<Evidence> {
  const entries = measurements.map(async ({ id }) => [id, await readClaim(id)] as const);
  const recorded = new Map(await Promise.all(entries));
  const names = (await readdir(path.join(resultsFolder(), 'tables'))).sort();
  const tables = await Promise.all(
    names.map((name) => readRecord('table', path.join(resultsFolder(), 'tables', name))),
  );
  const accelerations = path.join(resultsFolder(), 'acceleration');
  const peers = await Promise.all(
    comparedData.map((name) =>
      readRecord('peers', path.join(resultsFolder(), 'peers', `${name}.json`)),
    ),
  );
  const [study, sizes, authors, editing] = await Promise.all([
    readRecord('blocks', path.join(accelerations, 'blocks.json')),
    readRecord('paper size', path.join(accelerations, 'paper-size.json')),
    readRecord('authors loop', path.join(accelerations, 'authors-loop.json')),
    readRecord('editing', path.join(resultsFolder(), 'uses', 'editing.json')),
  ]);
  return {
    figure: (measurement, figure) => {
      const claim = recorded.get(measurement);
      const value = claim?.figures[figure];
      if (value === undefined) throw new Error(`${measurement} has no figure '${figure}'`);
      return { value, error: claim?.errors[figure] };
    },
    unrecorded: new Set(measurements.map(({ id }) => id).filter((id) => !recorded.get(id))),
    trainings: (table, row, measure) => {
      const found = tables[names.indexOf(`${table}-workbook.json`)];
      const figures = found?.results.find((one) => one.row === row)?.figures ?? [];
      if (found && figures.length === 0) throw new Error(`The table ${table} has no row '${row}'`);
      const ours = figures.find((one) => one.measure === measure)?.ours;
      return typeof ours === 'object' ? (ours.values ?? [ours.value]) : [];
    },
    blocks: study?.rows ?? [],
    paperSizes: sizes?.rows ?? [],
    authorsLoop: authors?.flows ?? [],
    accelerations: await readAccelerations(),
    editing,
    peers: peers.filter((record) => record !== undefined),
  };
}
