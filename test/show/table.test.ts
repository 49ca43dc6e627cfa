import * as polars from 'nodejs-polars';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { formatValue } from '../../src/show/table.js';
import { showTable } from '../../workbook/notebook/tables.js';
import { leaveNotebook, pretendNotebook } from '../workbook/kernel.js';

afterEach(() => {
  leaveNotebook();
  vi.restoreAllMocks();
});

test.each([
  [0, '0'],
  [7, '7'],
  [60_000, '60,000'],
  [3.21987, '3.220'],
  [3.1, '3.100'],
  [-0.25, '-0.2500'],
  [0.001234567, '0.001235'],
  [12.3456, '12.35'],
  [1234.56, '1,235'],
  [2e-7, '2.00e-7'],
  [1.5e9 + 0.5, '1.50e+9'],
  [Number.NaN, 'NaN'],
  [Number.NEGATIVE_INFINITY, '-Infinity'],
  [undefined, '–'],
  [null, '–'],
  ['text', 'text'],
  [true, 'true'],
])('formatValue(%s) is %s', (value, text) => expect(formatValue(value)).toBe(text));

const rows = [
  { model: 'ours <28×28>', bpd: 3.21987, source: null },
  { model: 'TarFlow', bpd: 2.99, source: 'Table 2', extra: 1 },
];

describe('showTable', () => {
  test('sends the HTML of a frame: aligned, formatted, escaped, with a caption', () => {
    const outputs = pretendNotebook();
    showTable(rows, { caption: 'Bits & pieces' });
    const html = outputs[0]?.data['text/html'] ?? '';
    expect(html).toMatch(/^<table><caption[^>]*>Bits &amp; pieces<\/caption>/);
    expect(html).toContain('<th style="text-align: left">model</th>');
    expect(html).toContain('<th style="text-align: right">bpd</th>');
    expect(html).toContain('<td style="text-align: left">ours &lt;28×28&gt;</td>');
    expect(html).toContain('<td style="text-align: right">3.220</td>');
    expect(html).toContain('<td style="text-align: left">–</td>');
    expect(html.match(/<td/g)).toHaveLength(8);
  });

  test('takes a polars frame, long ones in full, and formats of its own', () => {
    const outputs = pretendNotebook();
    const frame = polars.DataFrame({ n: Array.from({ length: 40 }, (_, i) => i) });
    showTable(frame, { format: { n: (value) => `#${value}` } });
    expect(outputs[0]?.data['text/html']?.match(/<td/g)).toHaveLength(40);
    expect(outputs[0]?.data['text/html']).toContain('>#39</td>');
  });

  test('prints aligned text in plain Node', () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    showTable(
      rows.map(({ model, bpd }) => ({ model, bpd })),
      { caption: 'Results' },
    );
    expect(log.mock.calls[0]?.[0].split('\n')).toEqual([
      'Results',
      'model           bpd',
      '────────────  ─────',
      'ours <28×28>  3.220',
      'TarFlow       2.990',
    ]);
  });
});
