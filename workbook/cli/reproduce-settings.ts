import * as path from 'node:path';
import { usualLedger } from '../../src/cli/data-options.js';
import { UserError } from '../../src/core/errors.js';
import { latentScale } from '../../src/data/index.js';
import { openFeatureNetwork } from '../../src/evaluation/named-network.js';
import { weightsDigest } from '../../src/evaluation/test-readings.js';
import { ability } from '../../src/flow/model.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import type { Part } from '../../src/sampling/parts.js';
import { titleOfCheckpoint } from '../../src/training/checkpoint.js';
import { resultsFolder } from '../records/results-folder.js';
import type { LatentDecoder, ReproduceOptions } from '../reproduction/options.js';
import { type Recipe, recipesOf, type Scale } from '../reproduction/recipe.js';

/** What the user says of a table that is reproduced. */
export interface TableRequest {
  table: string;
  scale: Scale;
  row?: string;
  data?: string;
  weights?: string;
  autoencoder?: string;
  network?: string;
  statistics?: string;
  out: string;
  ledger?: string;
  samples?: number;
  images?: number;
  batch?: number;
  repeats: number;
  seed: number;
  seeds?: number[];
  part?: Part;
}

/** How rows are reproduced, from what the user said. */
export function settingsOf(request: TableRequest): ReproduceOptions {
  const { scale, autoencoder, data, samples = scale === 'paper' ? 50_000 : 10_000 } = request;
  return {
    ...request,
    checkpoints: path.join(resultsFolder(), 'checkpoints'),
    ledger: request.ledger ?? usualLedger(),
    samples,
    batch: request.batch ?? 64,
    openDecoder:
      autoencoder === undefined ? undefined : (recipe) => decoderOf(autoencoder, recipe, data),
    shared: new Map(),
    openNetwork: async () => openFeatureNetwork(networkName(request)),
  };
}

/** How a row is reproduced, which may be measured by another number of samples than others. */
export function settingsOfRow(
  settings: ReproduceOptions,
  { sampling }: Recipe,
  { samples }: TableRequest,
): ReproduceOptions {
  const own = samples === undefined ? sampling.samples : undefined;
  return { ...settings, samples: own ?? settings.samples };
}

/** The autoencoder of a file, whose latents were scaled as those of the training images say. */
async function decoderOf(
  file: string,
  { dataset, needsFolder }: Recipe,
  data: string | undefined,
): Promise<LatentDecoder> {
  const autoencoder = await loadCheckpoint(file);
  try {
    const known = ability(autoencoder.family, 'autoencoder').scale(autoencoder.config);
    const folder = (needsFolder ? data : dataset.slice(dataset.indexOf(':') + 1)) ?? '.';
    const scale = await latentScale(path.join(folder, 'train.safetensors')).catch((error) => {
      if (known === undefined) throw error;
      return known;
    });
    return { autoencoder, scale, digest: weightsDigest(autoencoder) };
  } catch (error) {
    disposeModel(autoencoder);
    throw error;
  }
}

/** What samples are compared by, as `openFeatureNetwork` takes it. */
export function networkName({ network, scale, table }: TableRequest): string {
  if (network !== undefined) return network;
  if (scale === 'paper') {
    throw new UserError(
      `The figures of ${table} are FIDs, which the Inception network makes`,
      'Give its weights by --network inception-v3:FILE',
    );
  }
  const grey = recipesOf(table, { scale }).some(
    (each) => each.kind === 'recipe' && each.dataset === 'fashion-mnist',
  );
  const judge = path.join(resultsFolder(), 'checkpoints', 'fashion-mnist-classifier.safetensors');
  return grey ? `classifier:${judge}` : 'efficientnet-lite0';
}

/** What a table's file is called: a network that was asked for makes another table. */
export function tableFile({ table, scale, network }: TableRequest): string {
  const [kind = '', weights] = network?.split(':') ?? [];
  const by = kind === 'classifier' && weights !== undefined ? titleOfCheckpoint(weights) : kind;
  return `${[table, scale, ...(network === undefined ? [] : [by])].join('-')}.json`;
}
