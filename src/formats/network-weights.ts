import { existsSync } from 'node:fs';
import { UserError } from '../core/errors.js';
import { openTensorFile, type TensorFile } from './tensor-file.js';

/** The weights that a network reads from a file, by their published names. */
export interface NetworkWeights {
  /** The network, for errors. */
  network: string;
  /** Where its authors publish the file. */
  address: string;
}

/**
 * Opens a file of weights that the user has.
 *
 * @returns the open file, which the caller closes
 * @throws UserError that names the official address where the file is not there; as `openTensorFile`
 */
export async function openWeights(
  path: string,
  { network, address }: NetworkWeights,
): Promise<TensorFile> {
  if (existsSync(path)) return openTensorFile(path);
  throw new UserError(
    `There is no file ${path} with the weights of ${network}`,
    `Download it from ${address} and give its path`,
  );
}

/** At most so many names of one kind stand in an error. */
const mostNames = 20;

/**
 * Checks that a file has the tensors of a network, in their shapes, and no others.
 *
 * @param weights what they are, with their address or with what else to do where they do not fit
 * @param expected shapes by name
 * @param more true for the name of a tensor that may be there as well
 * @throws UserError with the names of tensors that are missing, unexpected or of another shape
 */
export function checkWeights(
  {
    path,
    tensors,
  }: { path: string; tensors: Readonly<Record<string, { shape: readonly number[] }>> },
  weights: NetworkWeights | { network: string; remedy: string },
  expected: Readonly<Record<string, readonly number[]>>,
  more: (name: string) => boolean = () => false,
): void {
  const shapes = Object.entries(expected);
  const missing = Object.keys(expected).filter((name) => !Object.hasOwn(tensors, name));
  const unexpected = Object.keys(tensors).filter(
    (name) => !Object.hasOwn(expected, name) && !more(name),
  );
  const misshapen = shapes.flatMap(([name, wanted]) => {
    const found = Object.hasOwn(tensors, name) ? tensors[name]?.shape : undefined;
    return found && found.join() !== wanted.join()
      ? [`${name} (${found.join(', ')}) for (${wanted.join(', ')})`]
      : [];
  });
  const problems = [
    ...listed('lacks', missing),
    ...listed('has', misshapen),
    ...listed('has besides', unexpected),
  ];
  if (problems.length === 0) return;
  throw new UserError(
    `${path} does not hold the weights of ${weights.network}: it ${problems.join('; it ')}`,
    'remedy' in weights ? weights.remedy : `The published file is at ${weights.address}`,
  );
}

function listed(verb: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const rest = names.length - mostNames;
  const shown = names.slice(0, mostNames).join(', ');
  return [`${verb} ${shown}${rest > 0 ? ` and ${rest} more` : ''}`];
}

/** What may stand in any state dict of PyTorch's and is no weight: counters of batch norms. */
export function isBatchCounter(name: string): boolean {
  return name.endsWith('.num_batches_tracked');
}
