import { fontFamily } from '../src/show/sharp.js';

/**
 * Colours that people with any kind of colour blindness can tell apart, in the order in which series
 * take them (Okabe and Ito 2008, then a dark brown and a grey). Black is reserved for published
 * figures.
 */
export const palette = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#e69f00',
  '#5d4037',
  '#7f7f7f',
] as const;

/** The colour of what a paper reports, in contrast to what was measured here. */
export const publishedColour = '#333333';

const ink = '#222222';
const quiet = '#5a5a5a';

/** The colour of a line that something measured is compared with, and that was computed here. */
export const levelColour = quiet;

/** The house style of every chart, as a vega-lite configuration. */
export const theme = {
  background: 'white',
  font: fontFamily,
  padding: 12,
  view: { stroke: null, continuousWidth: 480, continuousHeight: 280 },
  title: {
    anchor: 'start',
    color: ink,
    fontSize: 15,
    fontWeight: 'bold',
    offset: 14,
    subtitleColor: quiet,
    subtitleFontSize: 12,
    subtitlePadding: 5,
  },
  axis: {
    domainColor: '#888888',
    gridColor: '#e8e8e8',
    labelColor: ink,
    labelFlush: false,
    labelFontSize: 11,
    labelPadding: 5,
    tickColor: '#888888',
    tickCount: 6,
    titleColor: ink,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titlePadding: 10,
  },
  axisX: { grid: false },
  axisBand: { ticks: false },
  legend: {
    labelColor: ink,
    labelFontSize: 12,
    labelLimit: 300,
    symbolStrokeWidth: 2.5,
    titleColor: quiet,
    titleFontSize: 11,
    titleFontWeight: 'normal',
  },
  header: { labelColor: ink, labelFontSize: 12, titleColor: quiet, titleFontSize: 12 },
  // A mitred join would draw spikes beyond the values.
  line: { strokeWidth: 2.2, strokeJoin: 'round' },
  point: { filled: true, size: 40 },
  bar: { color: palette[0] },
  range: { category: [...palette], heatmap: { scheme: 'viridis' }, ramp: { scheme: 'viridis' } },
};
