import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { apiReports, root } from './report.js';
import { settingsFile, settingsPage } from './settings-page.js';

test('the reports of the public surface are up to date', () => {
  const now = Object.fromEntries(apiReports());
  const names = fs.readdirSync(__dirname).filter((name) => name.endsWith('.md'));
  const committed = Object.fromEntries(
    names.map((name) => [
      `test/api/${name}`,
      fs.readFileSync(path.join(root, 'test', 'api', name), 'utf8'),
    ]),
  );
  expect(now['test/api/sampling.md']).toContain('function sample(flow: Model');
  expect(committed, 'run `npm run api`, and see whether the changes are meant').toEqual(now);
});

test('the page of settings is up to date, and each has a meaning', () => {
  const page = settingsPage();
  expect(fs.readFileSync(settingsFile, 'utf8'), 'run `npm run api`').toBe(page);
  expect(page).toContain('| `batchSize` | whole number above 0 | `64` | Samples in a step. |');
  expect(page).not.toMatch(/\| +\|$/m);
});
