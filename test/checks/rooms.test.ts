import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  circles,
  importsBetween,
  type Order,
  pastTheDoor,
  readSources,
  sharedNames,
  wrongImports,
} from './rooms.js';

/**
 * The one-way order of the rooms of `src/`: each with those that stand directly before it. The
 * architecture section of the README tells the same.
 */
const order: Order = {
  backend: [],
  'backend/program/trace': ['backend'],
  'backend/program/passes': ['backend/program/trace'],
  'backend/program/lowering': ['backend/program/passes'],
  'backend/program/run': ['backend/program/lowering'],
  'backend/program': ['backend/program/run'],
  formats: ['backend/program'],
  data: ['formats'],
  nn: ['backend/program'],
  conditions: ['backend/program'],
  'conditions/text': ['conditions', 'formats'],
  flow: ['nn', 'data', 'conditions'],
  'sampling/guidance': ['flow'],
  'sampling/solvers': ['sampling/guidance'],
  sampling: ['sampling/solvers'],
  'sampling/study': ['sampling'],
  'sampling/planner': ['sampling/study'],
  training: ['flow'],
  pretrained: ['formats'],
  models: ['sampling/planner', 'training', 'conditions/text', 'pretrained'],
  evaluation: ['models'],
  experiments: ['evaluation'],
  papers: ['evaluation'],
  reproduction: ['papers', 'experiments'],
  workbook: ['reproduction'],
  cli: ['workbook'],
  kernel: [],
  'kernel/front': ['kernel'],
  'kernel/cells': ['kernel'],
};

const sources = readSources(path.resolve(__dirname, '../../src'));
const imports = importsBetween(sources);

describe('the rooms of src/', () => {
  test('no files import each other in a circle', () => {
    expect(imports.length).toBeGreaterThan(300);
    expect(circles(imports)).toEqual([]);
  });

  test('imports follow the one-way order', () => {
    expect(wrongImports(imports, order)).toEqual([]);
  });

  test('the program room is entered by its index', () => {
    expect(pastTheDoor(imports, 'backend/program')).toEqual([]);
  });

  test('a base name stands for one thing', () => {
    const files = [...sources.keys()].filter(
      (file) => !/^(models\/[^/]+|papers\/measurements)\//.test(file),
    );
    expect(sharedNames(files)).toEqual([]);
  });
});

describe('the checks find', () => {
  const made = (files: Record<string, string>) => importsBetween(new Map(Object.entries(files)));

  test('a circle, also of types and re-exports, once', () => {
    const found = circles(
      made({
        'flow/a.ts': "import { b } from './b.js';",
        'flow/b.ts': "export * from './c.js';",
        'flow/c.ts': "import type { A } from './a.js'; import { d } from './d.js';",
        'flow/d.ts': 'export const d = 1;',
      }),
    );
    expect(found).toEqual(['flow/a.ts → flow/b.ts → flow/c.ts → flow/a.ts']);
  });

  test('an import against the order, and a file in no room', () => {
    const found = wrongImports(
      made({
        'backend/a.ts': "import { b } from '../flow/deep/b.js';",
        'flow/deep/b.ts': "import { a } from '../../backend/a.js';",
        'sampling/c.ts': "const t: import('../training/d.js').T = 1;",
        'training/d.ts': "import { e } from '../attic/e.js';",
        'attic/e.ts': 'export const e = 1;',
        'index.ts': "export * from './attic/e.js';",
        'flow/index.ts': "export * from './solvers/f.js';",
        'flow/solvers/f.ts': "import { b } from '../deep/b.js';",
        'flow/deep/g.ts': "import { f } from '../solvers/f.js';",
      }),
      {
        backend: [],
        flow: ['backend'],
        'flow/solvers': ['flow'],
        sampling: ['flow'],
        training: ['flow'],
      },
    );
    expect(found).toEqual([
      'backend/a.ts (backend) imports flow/deep/b.ts (flow)',
      'sampling/c.ts (sampling) imports training/d.ts (training)',
      'attic/e.ts is in no room of the order',
      'flow/deep/g.ts (flow) imports flow/solvers/f.ts (flow/solvers)',
    ]);
  });

  test('an import past a door', () => {
    const found = pastTheDoor(
      made({
        'backend/program/index.ts': "export { a } from './run/a.js';",
        'backend/program/run/a.ts': 'export const a = 1;',
        'flow/b.ts': "import { a } from '../backend/program/index.js';",
        'flow/c.ts': "import { a } from '../backend/program/run/a.js';",
      }),
      'backend/program',
    );
    expect(found).toEqual(['flow/c.ts imports backend/program/run/a.ts']);
  });

  test('a name that stands twice, and a missing file', () => {
    const names = ['flow/a.ts', 'flow/index.ts', 'nn/deep/a.ts', 'nn/index.ts', 'nn/b.ts'];
    expect(sharedNames(names)).toEqual(['a.ts: flow, nn/deep']);
    expect(() => made({ 'flow/a.ts': "import './b.js';" })).toThrow('flow/a.ts imports ./b.js');
  });
});
