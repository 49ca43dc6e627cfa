import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  display,
  displayMarkdown,
  displayPng,
  inNotebook,
  newDisplay,
} from '../../src/show/display.js';
import { leaveNotebook, pretendNotebook } from '../workbook/kernel.js';

afterEach(() => {
  leaveNotebook();
  vi.restoreAllMocks();
});

describe('in a notebook', () => {
  test('every form goes out in one output', () => {
    const outputs = pretendNotebook();
    expect(inNotebook()).toBe(true);
    const bundle = { 'text/plain': 'a chart', 'image/png': 'AAAA' };
    display(bundle, { width: 10, height: 20 });
    expect(outputs).toEqual([
      {
        data: bundle,
        metadata: { 'image/png': { width: 10, height: 20 } },
        transient: {},
        update: false,
      },
    ]);
  });

  test('a display is shown once and then updated under its own name', () => {
    const outputs = pretendNotebook();
    const [first, second] = [newDisplay(), newDisplay()];
    first.show({ 'text/plain': '1' });
    second.show({ 'text/plain': '2' });
    first.show({ 'text/plain': '3' });
    expect(outputs.map(({ update }) => update)).toEqual([false, false, true]);
    const ids = outputs.map(({ transient }) => transient.display_id);
    expect(ids[0]).toBe(ids[2]);
    expect(ids[0]).not.toBe(ids[1]);
  });

  test('HTML, Markdown and PNG carry text too', () => {
    const outputs = pretendNotebook();
    display({ 'text/html': '<b>x</b>', 'text/plain': 'x' });
    displayMarkdown('$x$');
    displayPng(new Uint8Array([1, 2, 3]), 'a picture');
    expect(outputs.map(({ data }) => data)).toEqual([
      { 'text/html': '<b>x</b>', 'text/plain': 'x' },
      { 'text/markdown': '$x$', 'text/plain': '$x$' },
      { 'image/png': 'AQID', 'text/plain': 'a picture' },
    ]);
  });
});

test('in plain Node the text is printed', () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  expect(inNotebook()).toBe(false);
  display({ 'text/html': '<b>x</b>', 'text/plain': 'x' });
  newDisplay().show({ 'text/plain': 'y', 'image/png': 'AAAA' });
  expect(log.mock.calls).toEqual([['x'], ['y']]);
});
