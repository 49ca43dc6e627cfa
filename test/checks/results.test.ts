import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { modelFingerprint } from '../../src/sampling/planner/plan-file.js';
import type { Acceleration } from '../../workbook/records/record.js';
import { resultsFolder } from '../../workbook/records/results-folder.js';

/** What `tarflow accelerate` wrote; other files of the folder hold no tables. */
interface Recorded {
  checkpoint?: string;
  tables?: Acceleration[];
}

const folder = path.join(resultsFolder(), 'acceleration');
const recorded = fs
  .readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => {
    const record = JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8')) as Recorded;
    return { name, ...record };
  });

describe('acceleration tables were measured on the checkpoints that lie beside them', () => {
  test.each(recorded.filter(({ tables }) => tables))('$name', async ({ checkpoint, tables }) => {
    const file = path.join(resultsFolder(), 'checkpoints', checkpoint as string);
    const flow = await loadCheckpoint(file);
    const model = modelFingerprint(flow);
    const measured = (tables as Acceleration[]).flatMap((table) => [table.model, table.plan.model]);
    expect([...new Set(measured)]).toEqual([model]);
  });
});
