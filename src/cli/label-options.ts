import { UserError } from '../core/errors.js';
import type { LoadedModel } from '../models/load-checkpoint.js';

/**
 * A label for each image: those of the text, class numbers or names with commas between them, in
 * turn.
 *
 * @throws UserError for a model without classes, and for a class that it does not have
 */
export function labelsInTurn(
  { config, details }: LoadedModel,
  checkpoint: string,
  text: string | undefined,
  count: number,
): number[] | undefined {
  if (text === undefined) return undefined;
  if (config.classes === 0) {
    throw new UserError(`${checkpoint} is a model without classes`, 'Leave --label out');
  }
  const names = details.classNames ?? [];
  const chosen = text.split(',').map((part) => {
    const wanted = part.trim();
    const named = names.findIndex((name) => name.toLowerCase() === wanted.toLowerCase());
    const index = named >= 0 ? named : /^\d+$/.test(wanted) ? Number(wanted) : -1;
    if (index >= 0 && index < config.classes) return index;
    const known = names.length > 0 ? ` (${names.join(', ')})` : '';
    throw new UserError(
      `${checkpoint} has no label '${wanted}'`,
      `Expected 0 to ${config.classes - 1}${known}`,
    );
  });
  return Array.from({ length: count }, (_, i) => chosen[i % chosen.length] as number);
}
