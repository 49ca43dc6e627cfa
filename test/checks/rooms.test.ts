import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../api/report.js';
import {
  circles,
  importsBetween,
  type Order,
  packagesImported,
  readSources,
  sharedNames,
  wrongImports,
} from './rooms.js';

/** The one-way order of the rooms: each with those that stand directly before it. */
const order: Order = {
  'src/core': [],
  'src/formats': ['src/core'],
  'src/data': ['src/formats'],
  'src/nn': ['src/core'],
  'src/pretrained': ['src/formats'],
  'src/conditions': ['src/pretrained'],
  'src/flow': ['src/nn', 'src/data', 'src/conditions'],
  'src/sampling/guidance': ['src/flow'],
  'src/sampling/solvers': ['src/sampling/guidance'],
  'src/sampling': ['src/sampling/solvers'],
  'src/sampling/study': ['src/sampling'],
  'src/sampling/planner': ['src/sampling/study'],
  'src/training': ['src/flow'],
  'src/models': ['src/sampling/planner', 'src/training'],
  'src/evaluation': ['src/models'],
  'src/show': ['src/core'],
  'src/compression': ['src/evaluation'],
  'src/cli': ['src/compression', 'src/show'],
  'workbook/papers': ['src/core'],
  'workbook/data': ['src/data'],
  'workbook/peers': ['src/models'],
  'workbook/experiments': ['workbook/peers', 'workbook/data', 'workbook/papers'],
  'workbook/measures': ['src/evaluation'],
  'workbook/records': ['src/evaluation', 'workbook/papers', 'workbook/measures'],
  'workbook/claims': ['workbook/records'],
  'workbook/charts': ['src/show', 'workbook/records'],
  'workbook/notebook': ['workbook/charts'],
  'workbook/course': ['workbook/charts'],
  'workbook/acceleration': ['workbook/notebook'],
  'workbook/reproduction': ['workbook/acceleration', 'workbook/experiments'],
  'workbook/report': ['workbook/notebook', 'workbook/experiments', 'workbook/claims'],
  workbook: ['src/cli', 'workbook/reproduction', 'workbook/report', 'workbook/course'],
  'packages/graph/src': [],
  'packages/graph/src/processes': ['packages/graph/src/trace'],
  'packages/graph/src/trace': ['packages/graph/src'],
  'packages/graph/src/passes': ['packages/graph/src/trace'],
  'packages/graph/src/lowering': ['packages/graph/src/passes'],
  'packages/graph/src/run': ['packages/graph/src/lowering'],
  'packages/kernel/src': [],
  'packages/kernel/src/front': ['packages/kernel/src'],
  'packages/kernel/src/cells': ['packages/kernel/src'],
  'packages/web/src': ['src/models', 'packages/graph/src/run'],
};

const packages = fs
  .readdirSync(path.join(root, 'packages'))
  .map((name) => path.posix.join('packages', name));
const sources = readSources('src', 'workbook', ...packages.map((folder) => `${folder}/src`));
const imports = importsBetween(sources);

describe('the rooms', () => {
  test('no files import each other in a circle', () => {
    expect(imports.length).toBeGreaterThan(300);
    expect(circles(imports)).toEqual([]);
  });

  test('imports follow the one-way order', () => {
    expect(wrongImports(imports, order)).toEqual([]);
  });

  test.each(['src', 'workbook', ...packages])('a base name stands for one thing in %s', (top) => {
    const files = [...sources.keys()].filter(
      (file) =>
        file.startsWith(`${top}/`) &&
        !/^(src\/models\/[^/]+|workbook\/papers\/measurements)\//.test(file),
    );
    expect(sharedNames(files)).toEqual([]);
  });
});

test.each(packages)('%s imports only packages that it declares', (folder) => {
  const manifest = JSON.parse(fs.readFileSync(path.join(root, folder, 'package.json'), 'utf8'));
  const { dependencies, optionalDependencies, peerDependencies } = manifest;
  const declared = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
  const undeclared = [...packagesImported(readSources(`${folder}/src`))].filter(
    (name) => !declared.includes(name),
  );
  expect(undeclared).toEqual([]);
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

  test('packages by their names', () => {
    const text =
      "import 'zod/v4'; import * as tf from '@a/b/c.js'; import './x.js'; import 'node:fs';";
    expect([...packagesImported(new Map([['a.ts', text]]))]).toEqual(['zod', '@a/b']);
  });

  test('a name that stands twice, and a missing file', () => {
    const names = ['flow/a.ts', 'flow/index.ts', 'nn/deep/a.ts', 'nn/index.ts', 'nn/b.ts'];
    expect(sharedNames(names)).toEqual(['a.ts: flow, nn/deep']);
    expect(() => made({ 'flow/a.ts': "import './b.js';" })).toThrow('flow/a.ts imports ./b.js');
  });
});
