import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { z } from 'zod';
import type { EngineReport } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { readBytes, writeAtomically } from '../../src/core/files.js';
import { checkedJson } from '../../src/core/schema.js';
import type { Plan } from '../../src/sampling/planner/plan-file.js';
import type { Solver } from '../../src/sampling/solvers/solvers.js';
import type { LikelihoodRecord } from '../../src/training/record.js';
import type { RunDescription } from '../../src/training/run-description.js';
import type { MeasureName } from '../papers/index.js';
import { resultsFolder } from './results-folder.js';

const numbers = z.array(z.number());
const texts = z.record(z.string(), z.string());
/** What the library checks where it reads or makes it. */
const made = <T extends object>() => z.custom<T>((value) => typeof value === 'object');

/** Where a record comes from. */
const provenance = {
  /** What a reader types to measure it again. */
  command: z.string(),
  /** What it took, for example `{ seconds: 84, cores: 2 }`. */
  cost: z.record(z.string(), z.union([z.number(), z.string()])),
  /** ISO 8601, of the run that measured a figure last. */
  date: z.string(),
};

/** Figures by name: of a claim, or of another kind of processor. */
const values = z.record(z.string(), z.number());

const claim = z.strictObject({
  ...provenance,
  id: z.string(),
  title: z.string(),
  figures: values,
  /** Standard errors. */
  errors: values.default({}),
  /** How many images, samples or trainings a figure is of, for example '3 × 200 samples'. */
  n: texts.default({}),
  /** The figures that the last run did not compute. */
  read: z.array(z.string()),
  /** Everything that makes the run repeatable. */
  configuration: z.record(z.string(), z.unknown()),
  /** What the run measured or chose besides the figures, such as those of each seed. */
  found: z.record(z.string(), z.unknown()).default({}),
  seed: z.number(),
  /**
   * The trained models that the notebook had asked for, each with the first 16 hexadecimal digits of
   * its file's SHA-256, since a model may be trained on under its name; absent in old records.
   */
  weights: texts.optional(),
  versions: z.strictObject({
    tarflow: z.string(),
    engine: z.string(),
    node: z.string(),
    precision: z.enum(['float32', 'tf32', 'bfloat16']),
    /** The processor, or the graphics device; absent in old records. */
    processor: z.string().optional(),
  }),
  /** The same configuration, seed and weights on other kinds of processors. */
  elsewhere: z.array(z.strictObject({ processor: z.string(), figures: values })).default([]),
});

/** A number that `tarflow reproduce` measured, with what it depends on. */
export const measuredFigure = z.object({
  value: z.number(),
  /** Over the images, or where there are `values` over the trainings. */
  standardError: z.number().optional(),
  /** Images or samples behind it, of each training. */
  n: z.number(),
  /** The feature network, for a distance. */
  network: z.string().optional(),
  /** What a distance by this network is called. */
  called: z.string().optional(),
  /** The same distance of real images of the validation split, of so many. */
  floor: z.object({ value: z.number(), n: z.number() }).optional(),
  /** Of each training, where there are several; the value is their mean. */
  values: numbers.optional(),
  /** Of each training that was followed: its held-out loss and the distance of its samples at some steps. */
  points: z
    .array(z.array(z.object({ step: z.number(), loss: z.number(), distance: z.number() })))
    .optional(),
  /**
   * Of a held-out loss: how much it still changed over the last fifth of each training; null of one
   * whose log does not tell.
   */
  convergence: z
    .array(
      z
        .object({
          from: z.number(),
          to: z.number(),
          change: z.number(),
          share: z.number(),
          converged: z.boolean(),
        })
        .nullable(),
    )
    .optional(),
  /** What else has to be said. */
  note: z.string().optional(),
});
export type Figure = z.infer<typeof measuredFigure>;

const row = z.object({
  row: z.string(),
  /** What was trained or read for it. */
  model: z.string(),
  parameters: z.number(),
  /** One of its trainings; absent where weights were given. */
  training: z
    .object({ steps: z.number(), batchSize: z.number(), operations: z.number() })
    .optional(),
  settings: z.object({
    /** Of the trainings, in the order of a figure's values; none where weights were given. */
    seeds: numbers,
    /** Of samples and of dequantisation noise. */
    seed: z.number(),
    /** Images sampled and timed together. */
    batch: z.number(),
    /** The checkpoint that was given, in place of a training. */
    weights: z.string().optional(),
    /** The file with the statistics of real images that was given. */
    statistics: z.string().optional(),
    engine: made<EngineReport>(),
  }),
  figures: z.array(
    z.object({
      measure: z.custom<MeasureName>((value) => typeof value === 'string'),
      /** Which of several numbers of that measure: a method, a block. */
      of: z.string().optional(),
      /** What the paper reports; absent where only we measure it. */
      published: z.number().optional(),
      /** What was measured, or why nothing was. */
      ours: z.union([measuredFigure, z.string()]),
      /** True where it can never be had of this model here, which is no failure then. */
      never: z.literal(true).optional(),
    }),
  ),
  /** What its trainings and figures took, over all calls that worked on it. */
  seconds: z.number(),
});
export type RowResult = z.infer<typeof row>;
export type RowFigure = RowResult['figures'][number];

const table = z.object({
  table: z.string(),
  scale: z.enum(['paper', 'workbook']),
  /** Old tables say that they are not of tiny models on random images. */
  tiny: z.boolean().optional(),
  results: z.array(row),
  /** The rows that cannot be measured here, and why. */
  leftOut: z.array(
    z.object({
      kind: z.literal('left out'),
      table: z.string(),
      row: z.string(),
      reason: z.string(),
    }),
  ),
});

/** Of the mean of each pixel, and of its standard deviation, as shares of the data range. */
const distance = z.object({ mean: z.number(), deviation: z.number() });

const acceleration = z.object({
  /** See `modelFingerprint`. */
  model: z.string(),
  tokens: z.number(),
  blocks: z.number(),
  batch: z.number(),
  guidance: made<NonNullable<Plan['guidance']>>().nullable(),
  /** Of all samples, of those of a batch, or of those of all repeats, one after the other; null for none. */
  label: z.union([z.number(), numbers]).nullable(),
  tolerance: z.number(),
  /** How often each was timed, each time on other noise: the samples are batch · repeats. */
  repeats: z.number(),
  seed: z.number(),
  /** How all of them were executed. */
  execution: z.string(),
  /** What CRM and IGM were computed from: the real images given, or samples of the model. */
  crmFrom: z.enum(['images', 'samples']),
  /** The noise of the seed: sequential samples of another seed against those of this one. */
  seedNoise: distance,
  /** What the last row samples by. */
  plan: made<Plan>(),
  /** Sequential is the first, planned the last. */
  rows: z.array(
    z.object({
      strategy: z.string(),
      /** Per block, by index from the data. */
      solvers: z.array(made<Solver>()).readonly(),
      /** Of a batch, the median of `times`. */
      milliseconds: z.number(),
      times: numbers,
      /** Sequential sampling's time divided by this one. */
      speedup: z.number(),
      /** Jacobi iterations per block, by index from the data, mean over the repeats; 0 is sequential. */
      iterations: numbers,
      /** Segments of samples per block that were solved token by token. */
      fallbacks: numbers,
      /** Segments of samples per block that were left at the most iterations allowed. */
      unconverged: numbers,
      /**
       * The largest difference of an image from the one that sequential sampling makes of the same
       * noise, as a share of the data range; infinite, or null in a file, where it is not finite.
       */
      error: z
        .number()
        .nullable()
        .transform((error) => error ?? Number.POSITIVE_INFINITY),
      /** Against sequential sampling of the same noise. */
      statistics: distance,
    }),
  ),
});
export type Acceleration = z.infer<typeof acceleration>;
export type AccelerationRow = Acceleration['rows'][number];

const accelerationRun = z.object({
  ...provenance,
  checkpoint: z.string(),
  configuration: z.unknown(),
  /** The images for CRM and IGM; null for samples of the model. */
  data: z.string().nullable(),
  /** Those that were drawn, of a model that reads captions. */
  captions: z.array(z.string()).optional(),
  seed: z.number(),
  tables: z.array(acceleration),
  cost: z.object({ seconds: z.number(), cores: z.number() }),
  versions: z.object({ engine: z.string(), node: z.string() }),
});

const meanWithError = z.object({ mean: z.number(), error: z.number() });
export type MeanWithError = z.infer<typeof meanWithError>;

/** Jacobi iterations of a block from one start: their mean over samples, and the most. */
const startOutcome = meanWithError.extend({
  most: z.number(),
  /** Samples with an iterate that is not finite. */
  notFinite: z.number(),
});
export type StartOutcome = z.infer<typeof startOutcome>;

/** What `tarflow blocks` writes: how each block of some flows converges. */
const blockStudy = z.object({
  ...provenance,
  settings: z.object({
    samples: z.number(),
    batch: z.number(),
    images: z.number(),
    seed: z.number(),
    tolerance: z.number(),
  }),
  versions: z.object({ engine: z.string(), node: z.string() }),
  rows: z.array(
    z.object({
      model: z.string(),
      /** The kind of noise of its training. */
      noise: z.string(),
      tokens: z.number(),
      blocks: z.number(),
      /** By index from the data. */
      block: z.number(),
      /** Whether it is inverted first. */
      first: z.boolean(),
      latent: startOutcome,
      zeros: startOutcome,
      /** Samples without its iterations, since sequential sampling finds no finite numbers. */
      leftOut: z.number(),
      /** The difference of iterations, over pairs of one sample. */
      zerosLessLatent: meanWithError,
      /** Its share of CRM in per cent, as published, and with exp(a)·z in place of exp(−a)·x. */
      crm: z.number(),
      crmOfLatents: z.number(),
      /** The Initial Guessing Metric of both starts, and which of them it names. */
      igm: z.object({ latent: z.number(), zeros: z.number(), says: z.enum(['latent', 'zeros']) }),
      /** The mean factor of the error in the first and the last third of the iterations above rounding. */
      factors: z.object({
        early: z.number().nullable(),
        late: z.number().nullable(),
        iterations: z.number(),
      }),
    }),
  ),
});
export type BlockStudyRow = z.infer<typeof blockStudy>['rows'][number];

/** A strategy for a flow in eager PyTorch, timed beside the others in turns. */
export const authorsLoopRow = z.object({
  batch: z.number(),
  strategy: z.string(),
  /** In turn, by block in the order of sampling. */
  evaluations: numbers,
  /** Of a batch, by round. */
  seconds: numbers,
  /** What images on [−1, 1] differ from sequential ones by. */
  rms: z.number(),
  largest: z.number(),
  /** Samples that are not finite. */
  notFinite: z.number(),
});

/** Settings of GS-Jacobi: the tough block, by index from the data, its segments, and most iterations. */
export const gsJacobiSetting = z.object({
  clamp: z.number().nullable(),
  tough: z.number(),
  segments: z.number(),
  most: z.number(),
  else: z.number(),
});

/** What `test/benchmarks/authors-loop.ts` writes: the papers' strategies over the authors' kind of loop. */
const authorsLoop = z.object({
  ...provenance,
  processor: z.string(),
  versions: z.object({ torch: z.string(), engine: z.string(), node: z.string() }),
  flows: z.array(
    z.object({
      model: z.string(),
      tokens: z.number(),
      guidance: z.number(),
      annealed: z.boolean(),
      seed: z.number(),
      threads: z.number(),
      /** Of GS-Jacobi, on other noise; null where none gives the samples of the loop. */
      chosen: gsJacobiSetting.nullable(),
      rows: z.array(authorsLoopRow),
      /** Of many samples, denoised: FD, and how much higher it is than the loop's, with errors. */
      quality: z.array(
        z.object({
          strategy: z.string(),
          FD: z.number(),
          error: z.number(),
          rise: z.number(),
          riseError: z.number(),
          n: z.number(),
          notFinite: z.number(),
        }),
      ),
    }),
  ),
});
export type AuthorsLoopFlow = z.infer<typeof authorsLoop>['flows'][number];

/** What `test/benchmarks/paper-size.ts` writes: what a block of a published size costs. */
const paperSize = z.object({
  ...provenance,
  seed: z.number(),
  processor: z.string(),
  versions: z.object({ engine: z.string(), node: z.string() }),
  rows: z.array(
    z.object({
      /** Patch size, channels, blocks and layers of the published model. */
      model: z.string(),
      tokens: z.number(),
      precision: z.enum(['float32', 'bfloat16']),
      batch: z.number(),
      /** Of the loop over tokens, and of an evaluation of all of them, by round. */
      loopSeconds: numbers,
      evaluationSeconds: numbers,
      execution: z.string(),
    }),
  ),
});
export type PaperSizeRow = z.infer<typeof paperSize>['rows'][number];

/** What `test/benchmarks/paper-strategies.ts` writes: a model of a published size by the papers' strategies. */
const paperStrategies = z.object({
  ...provenance,
  /** Patch size, channels, blocks and layers. */
  model: z.string(),
  tokens: z.number(),
  blocks: z.number(),
  guidance: made<NonNullable<Plan['guidance']>>().nullable(),
  precision: z.enum(['float32', 'bfloat16']),
  /** As in the papers, and what was measured. */
  batches: z.object({ published: z.number(), measured: z.number() }),
  /** The whole flow was timed, or one of its blocks by each solver; blocks are then added up. */
  timed: z.enum(['flow', 'block']),
  /** What else has to be said, such as why the batch is smaller. */
  notes: z.array(z.string()),
  seed: z.number(),
  processor: z.string(),
  versions: z.object({ engine: z.string(), node: z.string() }),
  execution: z.string(),
  /** Sequential is the first. */
  rows: z.array(
    z.object({
      strategy: z.string(),
      /** Of each block, in the order of sampling. */
      evaluations: numbers,
      /** Of a batch, by round. */
      seconds: numbers,
      /** How many times as fast as the authors' own loop its paper reports it. */
      published: z.number().optional(),
    }),
  ),
});
export type PaperStrategies = z.infer<typeof paperStrategies>;

/** What `npm run gpu-report` writes: what a CUDA device made of the project, part by part. */
const gpuReport = z.object({
  ...provenance,
  device: z.string(),
  driver: z.string().optional(),
  memoryMiB: z.number().optional(),
  processor: z.string(),
  versions: texts,
  /** True of a report that only tries the path; its figures mean nothing. */
  tiny: z.boolean(),
  parts: z.array(
    z.object({
      name: z.string(),
      title: z.string(),
      command: z.string(),
      seconds: z.number(),
      outcome: z.enum(['done', 'failed', 'too long', 'left out']),
      note: z.string().optional(),
      /** The most memory of the device in use, less that before. */
      peakMiB: z.number().optional(),
      figures: z.array(z.object({ name: z.string(), value: z.number(), unit: z.string() })),
    }),
  ),
});
export type GpuReport = z.infer<typeof gpuReport>;

/** What `test/benchmarks/editing.ts` writes: images with a part drawn, middles of pairs, changed labels. */
const editing = z.object({
  ...provenance,
  settings: z.object({ sigma: z.number(), count: z.number() }),
  versions: z.object({ engine: z.string(), node: z.string() }),
  inpainting: z.array(
    z.object({
      where: z.string(),
      model: z.string(),
      image: z.number(),
      class: z.string(),
      how: z.enum(['drawn', 'pasted']),
      psnr: z.number(),
      distance: z.number(),
      diversity: z.number(),
      acceptance: z.number().optional(),
    }),
  ),
  /** The classifier's largest probability for the middle of two images, in noise and in pixels. */
  middles: z.array(z.object({ images: numbers, noise: z.number(), pixels: z.number() })),
  /** Classes of images that kept their noise: before, asked for, and by the classifier. */
  styles: z.array(
    z.object({ image: z.number(), from: z.number(), to: z.number(), guess: z.number() }),
  ),
});
export type EditingRecord = z.infer<typeof editing>;

/** Samples of a kind of model, or real images, beside real ones. */
const comparedImages = z.object({
  n: z.number(),
  notFinite: z.number(),
  /** From the training images, by the network of the data. */
  FD: meanWithError,
  KD: meanWithError,
  precision: z.number(),
  recall: z.number(),
  density: z.number(),
  coverage: z.number(),
  /** Mean square of the discrete Laplacian: how sharp images are. */
  laplacian: z.number(),
});
export type ComparedImages = z.infer<typeof comparedImages>;

/** A model of some kind, trained at the common cost, and what it gives. */
const comparedModel = z.object({
  /** The experiment. */
  model: z.string(),
  title: z.string(),
  seed: z.number(),
  parameters: z.number(),
  training: z.object({
    ...{ steps: z.number(), batchSize: z.number(), operations: z.number() },
    ...{ learningRate: z.number(), seconds: z.number() },
  }),
  /** What a tenth of the training gave by learning rate: held-out loss, or FD of a GAN. */
  sweep: z.array(z.object({ learningRate: z.number(), value: z.number() })),
  /** FD of samples at some steps. */
  course: z.array(z.object({ step: z.number(), FD: z.number() })).optional(),
  /** Bits per dimension of test images: exact, a bound on them, or by an ODE; with the error of the mean. */
  bits: z
    .object({
      ...meanWithError.shape,
      of: z.enum(['exact', 'bound', 'ode']),
      n: z.number(),
      /** Of an ODE: how far twice the steps move it, and the error of its trace. */
      moved: z.number().optional(),
      traceError: z.number().optional(),
      values: numbers,
    })
    .optional(),
  samples: comparedImages
    .extend({ guidance: z.number(), rule: z.string().optional(), chosenFrom: numbers })
    .optional(),
  /** Seconds of an image at two batches, and evaluations of the whole network for it. */
  sampling: z
    .object({
      evaluations: z.number(),
      how: z.string(),
      seconds: z.array(z.object({ batch: z.number(), values: numbers })),
    })
    .array()
    .optional(),
  /** What images differ by that went to noise and back, on [−1, 1]. */
  roundTrip: z.object({ n: z.number(), largest: z.number(), rms: z.number() }).optional(),
});
export type ComparedModel = z.infer<typeof comparedModel>;

/** What `test/benchmarks/peer-models.ts` writes: kinds of models on one set of data. */
const peers = z.object({
  ...provenance,
  processor: z.string(),
  versions: z.object({ engine: z.string(), node: z.string() }),
  dataset: z.string(),
  network: z.string(),
  /** Test images beside the training images, as samples are measured. */
  real: comparedImages,
  models: z.array(comparedModel),
});
export type PeersRecord = z.infer<typeof peers>;

/** A run of a training before another one went on from it, and the step at which it ended. */
const earlierRun = z.object({
  run: made<RunDescription>(),
  until: z.number(),
  seconds: z.number().optional(),
});

/** A training run as `results/` keeps it: short enough to commit, with enough to draw its curves. */
const trainingRun = z.object({
  /** The contents of the run's `run.json`. */
  run: made<RunDescription>(),
  /** The runs that it continued, in their order. */
  earlier: z.array(earlierRun).optional(),
  /** The number of steps done, including those of earlier runs. */
  steps: z.number(),
  /** The time that the steps took, without validations. */
  seconds: z.number(),
  /** The most steps for which a record stands; its numbers are their means. */
  stepsPerRecord: z.number(),
  records: z.array(made<LikelihoodRecord>()),
});

/** The kinds of records in `results/`, each with what to do where a file is damaged. */
const kinds = {
  claim: { schema: claim, remedy: 'Delete it and run the notebook that writes it' },
  table: {
    schema: table,
    remedy: 'Delete it, and its rows are filled in again, with what was kept of them',
  },
  acceleration: { schema: accelerationRun, remedy: 'Delete it, and measure it again' },
  blocks: { schema: blockStudy, remedy: 'Delete it, and measure it again' },
  'authors loop': { schema: authorsLoop, remedy: 'Delete it, and measure it again' },
  'paper size': { schema: paperSize, remedy: 'Delete it, and measure it again' },
  'paper strategies': { schema: paperStrategies, remedy: 'Delete it, and measure it again' },
  'gpu report': { schema: gpuReport, remedy: 'Delete it, and measure it again' },
  editing: { schema: editing, remedy: 'Delete it, and measure it again' },
  peers: { schema: peers, remedy: 'Delete it, and measure it again' },
  'training run': {
    schema: trainingRun,
    remedy:
      'Restore it from the repository, or commit a run with `node data-scripts/commit-run.mjs`',
  },
};
export type Kind = keyof typeof kinds;

/** What a record of a kind holds. */
export type RecordOf<K extends Kind> = z.infer<(typeof kinds)[K]['schema']>;

/**
 * Reads a record. A file of lines (`.jsonl`) holds its last field, `records`, in the lines below the
 * first.
 *
 * @returns undefined where there is no such file
 * @throws UserError where it cannot be read, or is no record of that kind
 */
export function readRecord<K extends Kind>(kind: K, file: string): Promise<RecordOf<K> | undefined>;
export async function readRecord(kind: Kind, file: string): Promise<unknown> {
  const { schema, remedy } = kinds[kind];
  return readChecked<unknown>(schema, file, remedy);
}

/**
 * Reads a file of JSON that a schema describes, as {@link readRecord} does.
 * @returns undefined where there is no such file
 */
export async function readChecked<T>(
  schema: z.ZodType<T>,
  file: string,
  remedy: string,
): Promise<T | undefined> {
  if (!existsSync(file)) return undefined;
  const text = new TextDecoder().decode(await readBytes(file));
  if (!file.endsWith('.jsonl')) return checkedJson(schema, text, file, remedy);
  const [head = '', ...lines] = text.trimEnd().split('\n');
  const whole = `${head.replace(/\}$/, '')},"records":[${lines.join(',')}]}`;
  return checkedJson(schema, whole, file, remedy);
}

/**
 * Reads another file of `results/`, as it was committed.
 * @throws UserError where it is not there, or damaged
 */
export async function readResult<T>(schema: z.ZodType<T>, name: string): Promise<T> {
  const file = path.join(resultsFolder(), name);
  const found = await readChecked(schema, file, 'Restore it from the repository');
  if (found !== undefined) return found;
  throw new UserError(`There is no ${file}`, 'Restore it from the repository');
}

/** Writes a record of a kind, whole or not at all, as {@link readRecord} reads it. */
export async function writeRecord<K extends Kind>(
  file: string,
  content: z.input<(typeof kinds)[K]['schema']>,
): Promise<void> {
  if (!('records' in content)) {
    await writeAtomically(file, `${JSON.stringify(content, null, 2)}\n`);
    return;
  }
  const { records, ...head } = content;
  await writeAtomically(file, [head, ...records].map((line) => `${rounded(line)}\n`).join(''));
}

/** JSON with six significant digits, which is more than a curve shows. */
export function rounded(line: unknown): string {
  return JSON.stringify(line, (_, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(6)) : value,
  );
}
