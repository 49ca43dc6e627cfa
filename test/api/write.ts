/** Writes the API reports, one for each entry point, and the page of settings: `npm run api`. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { apiReports, root } from './report.js';
import { settingsFile, settingsPage } from './settings-page.js';

for (const [file, text] of apiReports()) fs.writeFileSync(path.join(root, file), text);
fs.writeFileSync(settingsFile, settingsPage());
