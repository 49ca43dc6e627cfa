import { UserError } from '../core/errors.js';
import type { TensorFile } from '../formats/tensor-file.js';
import { isForeign } from '../training/checkpoint.js';
import { familyOf, kinds } from './registry.js';

/** Files whose wrapper was told. */
const told = new Set<string>();

/**
 * A file of published weights without what wraps the names of its model: `module.` of PyTorch's parallel
 * training, `_orig_mod.` of its compiler, or the entry of a training's file that holds the model, as in
 * `{'model': …, 'optimizer': …}`. What was taken away is told once as a warning. Other files are as they came.
 *
 * @param chosen which entry of the file holds the model, where several do
 * @returns a view of the open file, whose tensors outside of the model are not seen
 * @throws UserError for a file that holds several models, none of which is chosen, and for the state of an
 *   optimiser
 */
export function unwrapped(file: TensorFile, chosen?: string): TensorFile {
  if (!isForeign(file)) {
    if (chosen === undefined) return file;
    throw new UserError(
      `${file.path} is a checkpoint of one model, which has no prefix`,
      'Leave --prefix out',
    );
  }
  const names = Object.keys(file.tensors);
  const prefixes = prefixesOf(names);
  const [first, ...more] = chosen === undefined ? prefixes : chosenOf(file.path, chosen, prefixes);
  if (first === undefined) {
    checkNoOptimiser(file.path, names);
    return file;
  }
  if (first === '' && more.length === 0) return file;
  if (more.length > 0) {
    throw new UserError(
      `${file.path} holds ${prefixes.length} models, under ${named(prefixes)}`,
      `Choose one: tarflow convert FILE OUT.safetensors --prefix ${first || more[0]}`,
    );
  }
  const inside = names.filter((name) => name.startsWith(first));
  tell(file.path, first, names.length - inside.length);
  return {
    ...file,
    tensors: Object.fromEntries(
      inside.map((name) => [name.slice(first.length), file.tensors[name]!]),
    ),
    read: (name, rows) => file.read(first + name, rows),
  };
}

/** What stands before the name that marks a model of a kind, for each model of a file. */
function prefixesOf(names: readonly string[]): string[] {
  const marks = kinds.flatMap((kind) => familyOf(kind).published?.mark ?? []);
  return names.flatMap((name) => {
    const mark = marks.find((one) => name === one || name.endsWith(`.${one}`));
    return mark === undefined ? [] : [name.slice(0, -mark.length)];
  });
}

/** The prefixes that begin as was chosen. */
function chosenOf(path: string, chosen: string, prefixes: readonly string[]): string[] {
  const begin = `${chosen.replace(/\.$/, '')}.`;
  const exact = prefixes.filter((prefix) => prefix === chosen || prefix === begin);
  const found = exact.length > 0 ? exact : prefixes.filter((prefix) => prefix.startsWith(begin));
  if (found.length > 0) return found;
  throw new UserError(
    `${path} holds no model under '${chosen}'`,
    prefixes.length > 0 ? `There is one under ${named(prefixes)}` : 'Leave --prefix out',
  );
}

function named(prefixes: readonly string[]): string {
  return prefixes.map((prefix) => (prefix ? `'${prefix}'` : 'no prefix')).join(' and ');
}

function checkNoOptimiser(path: string, names: readonly string[]): void {
  if (!names.some((name) => /(^|\.)state\.\d+\.\w+$/.test(name))) return;
  throw new UserError(
    `${path} holds the state of an optimiser (state, param_groups), and no model`,
    "Take the model's own file: torch.save(model.state_dict(), file)",
  );
}

function tell(path: string, prefix: string, others: number): void {
  if (told.has(path)) return;
  told.add(path);
  const rest = others > 0 ? `; ${others} other tensors of the file are left` : '';
  process.emitWarning(`${path}: names are read without the prefix '${prefix}'${rest}`, {
    type: 'TarflowWarning',
  });
}
