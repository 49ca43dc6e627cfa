import {
  type Measure,
  type MeasureName,
  measures,
  type Paper,
  type PaperScale,
  papers,
  placeText,
  type Table,
} from '../papers/index.js';
import { markdownTable } from './markdown.js';

/** The tables of the papers. Nothing in them was measured here. */
export function publishedTables(): string {
  return papers
    .flatMap((paper) => [
      `### ${paper.title} (${paper.work})`,
      ...paper.tables
        .filter(({ rows }) => rows.some(({ published }) => published.length > 0))
        .map(publishedTable),
      ...scalesTable(paper),
    ])
    .join('\n\n');
}

/** The measures of the tables: their units, which way is better, and what computes them here. */
export function measuresTable(): string {
  const rows = Object.entries<Measure>(measures).map(([measure, { unit, better, computedBy }]) => ({
    measure,
    unit,
    better: better ?? '',
    'computed here by': computedBy ?? 'nothing yet',
  }));
  return markdownTable(rows);
}

/** With models as lines or, where they have more figures than there are models, as columns. */
function publishedTable({ title, rows: all }: Table): string {
  const rows = all.filter(({ published }) => published.length > 0);
  const figures = rows.flatMap(({ published }) => published);
  const titles = [...new Set(figures.map(({ measure, of }) => figureTitle(measure, of)))];
  const models = rows.map(({ name, kind, setting, published }) => ({
    name: setting === undefined ? name : `${name}, ${setting}`,
    kind,
    values: new Map(
      published.map(({ measure, of, value }) => [figureTitle(measure, of), `${value}`]),
    ),
  }));
  const lines =
    titles.length > rows.length
      ? titles.map((figure) => ({
          figure,
          ...Object.fromEntries(models.map(({ name, values }) => [name, values.get(figure) ?? ''])),
        }))
      : models.map(({ name, kind, values }) => ({
          model: name,
          ...(kind !== undefined && { kind }),
          ...Object.fromEntries(titles.map((figure) => [figure, values.get(figure) ?? ''])),
        }));
  const places = [...new Set(figures.map(({ source }) => placeText(source)))].join('; ');
  return `**${title}** (${places})\n\n${markdownTable(lines)}`;
}

function figureTitle(measure: MeasureName, of: string | undefined): string {
  const { unit } = measures[measure];
  const title = of === undefined ? measure : `${measure}, ${of}`;
  return unit === '' ? title : `${title} (${unit})`;
}

/** What was trained for the tables of a paper, there and here. */
function scalesTable({ tables }: Paper): string[] {
  const lines = tables.flatMap(({ rows }) =>
    rows
      .filter(({ paper, workbook }) => paper !== undefined || workbook !== undefined)
      .map(({ paper, workbook }) => ({
        'at the paper’s scale': paper === undefined ? '' : scaleText(paper),
        'at workbook scale': workbook === undefined ? '' : `\`${workbook}\``,
      })),
  );
  const different = [...new Map(lines.map((line) => [JSON.stringify(line), line])).values()];
  return lines.length === 0 ? [] : [`**Experiments**\n\n${markdownTable(different)}`];
}

function scaleText(scale: PaperScale): string {
  const { data, patchSize, channels, blocks, layersPerBlock, noise } = scale;
  const known: [string, number | undefined][] = [
    ['batch', scale.batchSize],
    ['epochs', scale.epochs],
    ['learning rate', scale.peakLearningRate],
    ['share of labels dropped', scale.dropLabel],
    ['GPUs', scale.gpus],
  ];
  return [
    data,
    `${patchSize}-${channels}-${blocks}-${[layersPerBlock].flat().join('/')}`,
    ...(noise === undefined ? [] : [noise === 'uniform' ? 'uniform noise' : `noise ${noise}`]),
    ...known.flatMap(([what, value]) => (value === undefined ? [] : [`${what} ${value}`])),
  ].join(', ');
}
