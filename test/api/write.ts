/** Writes the API reports, one for each entry point: `npm run api`. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { apiReports, root } from './report.js';

for (const [file, text] of apiReports()) fs.writeFileSync(path.join(root, file), text);
