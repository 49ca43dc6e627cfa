import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import type { DataFrame } from 'nodejs-polars';
import { z } from 'zod';
import { UserError } from '../../src/core/errors.js';
import { median } from '../../src/sampling/planner/timing.js';
import type { MeasurementId } from '../papers/index.js';
import { readAccelerations } from './accelerations.js';
import { readClaim } from './claim.js';
import { type ComparedModel, type Kind, readRecord, readResult } from './record.js';
import { resultsFolder, resultToRead } from './results-folder.js';
import { readCommittedTable } from './table.js';
import { readCommittedRun } from './training-run.js';

/**
 * A table that `tarflow reproduce` filled, as a data frame with a line for each training: `row`, `seed`,
 * and a column for each measure. Figures that were not measured are null.
 *
 * @param name of the table's file in `results/tables`, for example 'sizes-workbook'
 * @throws UserError where there is no such table
 *
 * @example
 * ```ts
 * import { trainingsFrame } from 'tarflow/workbook';
 *
 * const frame = await trainingsFrame('deep-shallow-workbook');
 * console.log(frame.columns); // [ 'row', 'seed', 'held-out loss', 'FID' ]
 * ```
 */
export async function trainingsFrame(name: string): Promise<DataFrame> {
  const table = await readCommittedTable(name);
  const rows = table.rows.map((row) => table.row(row));
  const measures = [
    ...new Set(rows.flatMap(({ figures }) => figures.map(({ measure }) => measure))),
  ];
  return frameOf(
    rows.flatMap(({ row, settings, figures }) =>
      settings.seeds.map((seed, i) => ({
        row,
        seed,
        ...Object.fromEntries(
          measures.map((measure) => {
            const ours = figures.find((figure) => figure.measure === measure)?.ours;
            const values = typeof ours === 'object' ? (ours.values ?? [ours.value]) : [];
            return [measure, values[i] ?? null];
          }),
        ),
      })),
    ),
  );
}

/** The points of trainings that were followed: `row`, `seed`, `step`, `loss` and `distance`. */
export async function pointsFrame(name: string): Promise<DataFrame> {
  const table = await readCommittedTable(name);
  return frameOf(
    table.rows.flatMap((name) => {
      const { row, settings, figures } = table.row(name);
      const points = figures.flatMap(({ ours }) =>
        typeof ours === 'object' ? (ours.points ?? []) : [],
      );
      return points.flatMap((training, i) =>
        training.map((point) => ({ row, seed: settings.seeds[i] ?? i, ...point })),
      );
    }),
  );
}

/**
 * The validations of committed trainings: `run`, `step`, `share` of the training, `loss`, and `bits` per
 * dimension where they were measured.
 *
 * @param names of the runs in `results/training`
 * @throws UserError where one is not there
 */
export async function validationsFrame(names: readonly string[]): Promise<DataFrame> {
  const runs = await Promise.all(names.map((name) => readCommittedRun(name)));
  return frameOf(
    runs.flatMap(({ records, steps }, i) =>
      records.flatMap(({ step, validation }) =>
        validation
          ? [
              {
                run: names[i],
                step,
                share: step / steps,
                loss: validation.loss,
                bits: validation.bitsPerDimension ?? null,
              },
            ]
          : [],
      ),
    ),
  );
}

/**
 * The losses of some committed trainings: a line for each record of their logs, with `run`, `step` and `loss`.
 * @throws UserError where one is not there
 */
export async function stepsFrame(names: readonly string[]): Promise<DataFrame> {
  const runs = await Promise.all(names.map((name) => readCommittedRun(name)));
  return frameOf(
    runs.flatMap(({ records }, i) =>
      records.map(({ step, loss }) => ({ run: names[i], step, loss })),
    ),
  );
}

/** What `tarflow blocks` measured: a line for each block, from both starts, with CRM and IGM. */
export async function blocksFrame(): Promise<DataFrame> {
  const study = await measured('blocks', 'blocks.json', 'npx tarflow blocks');
  return frameOf(
    study.rows.map(({ latent, zeros, zerosLessLatent, igm, factors, ...row }) => ({
      ...row,
      iterations: latent.mean,
      'their error': latent.error,
      most: latent.most,
      'from zeros': zeros.mean,
      'from zeros less latent': zerosLessLatent.mean,
      'error of that': zerosLessLatent.error,
      'IGM says': igm.says,
      'early factor': factors.early,
      'late factor': factors.late,
    })),
  );
}

/**
 * Recorded figures, a line for each: `record`, `figure`, `value`, its standard `error` where one is
 * recorded, and `n`, of how many samples, images or trainings it is.
 *
 * @param ids of the records in `results/claims`
 * @throws UserError where one is not there
 */
export async function figuresFrame(ids: readonly MeasurementId[]): Promise<DataFrame> {
  const rows = ids.map(async (id) => {
    const claim = await readClaim(id);
    if (!claim) throw new UserError(`No claim '${id}' is recorded`, 'Run what records it');
    return Object.entries(claim.figures).map(([figure, value]) => {
      const [error, n] = [claim.errors[figure] ?? null, claim.n[figure] ?? null];
      return { record: id, figure, value, error, n };
    });
  });
  return frameOf((await Promise.all(rows)).flat());
}

const conformanceSchema = z.object({
  engine: z.object({ engine: z.string() }),
  files: z.array(
    z.object({
      file: z.string(),
      rows: z.array(
        z.object({
          tensor: z.string(),
          error: z.number().nullable(),
          bound: z.number().nullable(),
          pass: z.boolean(),
        }),
      ),
    }),
  ),
});

/**
 * The tensors that the authors' code computed, and how near the library comes to each on each engine:
 * `engine`, `file` of `test/golden`, `tensor`, `error`, `bound`, and whether they agree, `pass`.
 */
export async function conformanceFrame(): Promise<DataFrame> {
  const names = (await readdir(path.join(resultsFolder(), 'conformance'))).sort();
  const reports = await Promise.all(
    names.map((name) => readResult(conformanceSchema, path.join('conformance', name))),
  );
  return frameOf(
    reports.flatMap(({ engine: { engine }, files }) =>
      files.flatMap(({ file, rows }) =>
        rows.map((row) => ({ engine, file: path.basename(file, '.safetensors'), ...row })),
      ),
    ),
  );
}

/**
 * What `test/benchmarks/paper-size.ts` measured: a line for each block of a published size, precision and
 * batch, with median seconds of the loop and of an evaluation of all tokens, and `n*`, their ratio.
 */
export async function paperSizesFrame(): Promise<DataFrame> {
  const record = await measured(
    'paper size',
    'paper-size.json',
    'npx tsx test/benchmarks/paper-size.ts',
  );
  return frameOf(
    record.rows.map(({ model, tokens, precision, batch, loopSeconds, evaluationSeconds }) => {
      const [loop, evaluation] = [median(loopSeconds), median(evaluationSeconds)];
      const low = Math.min(...loopSeconds) / Math.max(...evaluationSeconds);
      const high = Math.max(...loopSeconds) / Math.min(...evaluationSeconds);
      return {
        model,
        tokens,
        precision,
        batch,
        loop,
        evaluation,
        'n*': loop / evaluation,
        low,
        high,
      };
    }),
  );
}

const kindsOfPeers: Readonly<Record<string, string>> = {
  ...{ tarflow: 'TarFlow, to draw', density: 'TarFlow, for likelihood' },
  ...{ epsilon: 'diffusion, ε', v: 'diffusion, v', 'rectified-flow': 'rectified flow' },
  ...{ pixelcnn: 'PixelCNN++', vae: 'VAE', gan: 'GAN' },
};

/**
 * What `test/benchmarks/peer-models.ts` measured on a data set: a line for each training, `kind` and `seed`
 * first, with null for what a kind does not have; and the `course` of those that were followed, a line for
 * each of ten steps.
 */
export async function peersFrames(
  dataset: string,
): Promise<Record<'models' | 'course', DataFrame>> {
  const record = await readRecord('peers', resultToRead(`peers/${dataset}.json`));
  if (!record) {
    const command = `npx tsx test/benchmarks/peer-models.ts --data ${dataset}`;
    throw new UserError(`No kinds of models are recorded on ${dataset}`, `Run ${command}`);
  }
  const kindOf = (model: string) => kindsOfPeers[model.replace(/^peers-(emoji-)?/, '')] ?? model;
  const secondsOf = (sampling: ComparedModel['sampling'], batch: number) => {
    const times = sampling?.[0]?.seconds.find((one) => one.batch === batch)?.values;
    return times ? median(times) / batch : null;
  };
  return {
    models: await frameOf(
      record.models.map(({ model, seed, bits, samples, sampling, roundTrip, ...own }) => ({
        ...{ kind: kindOf(model), model, seed, parameters: own.parameters },
        ...{ operations: own.training.operations, 'learning rate': own.training.learningRate },
        ...{
          bits: bits?.mean ?? null,
          'bits ±': bits?.error ?? null,
          'bits are': bits ? bitsAre[bits.of] : null,
        },
        ...{ FD: samples?.FD.mean ?? null, 'FD ±': samples?.FD.error ?? null },
        ...{ KD: samples?.KD.mean ?? null, precision: samples?.precision ?? null },
        ...{ recall: samples?.recall ?? null, density: samples?.density ?? null },
        coverage: samples?.coverage ?? null,
        sharpness: samples ? samples.laplacian / record.real.laplacian : null,
        ...{ guidance: samples?.guidance ?? null, evaluations: sampling?.[0]?.evaluations ?? null },
        ...{ 'seconds alone': secondsOf(sampling, 1), 'seconds of 250': secondsOf(sampling, 250) },
        'largest error of the inverse': roundTrip?.largest ?? null,
      })),
    ),
    course: await frameOf(
      record.models.flatMap(({ model, seed, course = [] }) =>
        course.map(({ step, FD }) => ({ kind: kindOf(model), seed, step, FD })),
      ),
    ),
  };
}

/** What the figures of an image are, in words. */
const bitsAre = { exact: 'exact', bound: 'a bound', ode: 'by an ODE' } as const;

/**
 * What `test/benchmarks/editing.ts` measured: of each image with a part drawn, or pasted; of middles of pairs
 * by noise and by pixels; and of images with another label.
 */
export async function editingFrames(): Promise<
  Record<'inpainting' | 'middles' | 'styles', DataFrame>
> {
  const record = await readRecord('editing', path.join(resultsFolder(), 'uses', 'editing.json'));
  if (!record) throw new UserError('No editing is recorded', 'Run test/benchmarks/editing.ts');
  const { inpainting, middles, styles } = record;
  return {
    inpainting: await frameOf(
      inpainting.map((row) => ({ ...row, acceptance: row.acceptance ?? null })),
    ),
    middles: await frameOf(middles.map(({ noise, pixels }) => ({ noise, pixels }))),
    styles: await frameOf(styles),
  };
}

/**
 * How fast the papers' strategies are: a line for each flow, batch and strategy over the authors' kind of
 * loop, with evaluations in turn, those of the loop, and `times as fast`; and over our compiled loop, as
 * `loop` says.
 */
export async function strategiesFrame(): Promise<DataFrame> {
  const authors = await authorsLoop();
  const over = (times: readonly number[], loop: readonly number[]) => median(loop) / median(times);
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
  return frameOf([
    ...authors.flows.flatMap(({ model, tokens, rows }) =>
      rows.map((row) => {
        const loop = rows.find(
          ({ batch, strategy }) => batch === row.batch && strategy === 'sequential',
        );
        if (!loop) throw new UserError(`${model} has no loop`, 'Measure it again');
        return {
          ...{ loop: 'the authors’ kind', flow: model, tokens, batch: row.batch },
          strategy: row.strategy.split(',')[0],
          evaluations: sum(row.evaluations),
          steps: sum(loop.evaluations),
          'times as fast': over(row.seconds, loop.seconds),
          rms: row.rms,
        };
      }),
    ),
    ...(await readAccelerations()).flatMap(({ model, table: { tokens, blocks, batch, rows } }) =>
      rows.map(({ strategy, iterations, speedup }) => ({
        ...{ loop: 'ours, compiled', flow: model, tokens, batch },
        strategy: strategy.split(',')[0],
        // A block that is solved token by token counts no iterations.
        evaluations: sum(iterations.map((count) => count || tokens - 1)),
        steps: blocks * (tokens - 1),
        'times as fast': speedup,
        rms: null,
      })),
    ),
  ]);
}

/**
 * Samples by each strategy of the authors' kind of loop, from the same noise: `flow`, `strategy`, `FD` with
 * its `error`, its `rise` over the loop's with an error of its own, `n`, and how many were `not finite`.
 */
export async function strategyQualityFrame(): Promise<DataFrame> {
  const { flows } = await authorsLoop();
  return frameOf(
    flows.flatMap(({ model, quality }) =>
      quality.map(({ strategy, FD, error, rise, riseError, n, notFinite }) => ({
        ...{ flow: model, strategy, FD, error, rise, 'error of the rise': riseError, n },
        'not finite': notFinite,
      })),
    ),
  );
}

const authorsLoop = () =>
  measured(
    'authors loop',
    'authors-loop.json',
    'TARFLOW_RESULTS=results npx tsx test/benchmarks/authors-loop.ts FOLDER',
  );

/** A record of `results/acceleration`. */
async function measured<K extends Kind>(kind: K, file: string, command: string) {
  const record = await readRecord(kind, resultToRead(path.join('acceleration', file)));
  if (!record) throw new UserError(`There is no ${file}`, `Run \`${command}\``);
  return record;
}

/** Rows as a data frame. Polars is loaded where it is used: the packed library does not bring it. */
async function frameOf(rows: Record<string, unknown>[]): Promise<DataFrame> {
  const { default: pl } = await import('nodejs-polars');
  return pl.readRecords(rows);
}
