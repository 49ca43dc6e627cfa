import { Session } from 'node:inspector';
import { tf } from '../core/tf.js';
import { leaves, type Tree } from '../core/tree.js';

/** What the notebook kernel asks about; packages/kernel/README.md describes it. */
type Moment =
  | { when: 'found'; code: number; message: string; line: string; column: number }
  | { when: 'replaced'; name: string; old: unknown }
  | { when: 'ended' };

/** TypeScript's errors for a property, and for an index, that a type has not. */
const [noProperty, noIndex] = [2339, 7053];

/**
 * What a notebook says to beginners about tensors and models, in one line of Markdown. This project's
 * kernel asks for it, as package.json says.
 *
 * @returns undefined where there is nothing to say
 */
export function hint(moment: Moment): string | undefined {
  if (moment.when === 'ended') return lossHint();
  if (moment.when === 'replaced') return modelHint(moment.name, moment.old);
  const { code, message, line, column } = moment;
  if (code === noProperty) {
    const [, property = ''] =
      /^Property '(\w+)' .* on type '(?:Tensor(?:\dD)?|Variable)['<]/.exec(message) ?? [];
    const [tensor = 'x'] = /[\w.]+(?=\.$)/.exec(line.slice(0, column)) ?? [];
    if (typeof Reflect.get(tf, property) !== 'function') return undefined;
    return `\`${property}\` is a function of TensorFlow.js: \`tf.${property}(${tensor})\`.`;
  }
  if (code === noIndex && /index type '(?:Tensor(?:\dD)?|Variable)['<]/.test(message)) {
    const [, tensor = 'x', index = 'i'] = /^([\w.]+)\[(.*?)\]/.exec(line.slice(column)) ?? [];
    return `A tensor has no index: \`tf.slice(${tensor}, [${index}], [1])\` is this part of it, and \`tf.gather(${tensor}, [0, 2])\` several.`;
  }
  return undefined;
}

/** Names that were told of. */
const told = new Set<string>();

function modelHint(name: string, old: unknown): string | undefined {
  if (told.has(name) || !isModel(old)) return undefined;
  if (Object.values(leaves(old.parameters)).every(({ isDisposed }) => isDisposed)) return undefined;
  told.add(name);
  return `\`${name}\` was a model, which no variable holds any more. \`disposeModel(${name})\` before it frees its memory; another name keeps both.`;
}

/** True for a model that is not freed: of a freed one `parameters` cannot be read. */
function isModel(value: unknown): value is { parameters: Tree } {
  try {
    const { family, parameters } = Object(value);
    return typeof family?.title === 'function' && parameters !== undefined;
  } catch {
    return false;
  }
}

/** What an engine counts. */
interface Amount {
  tensors: number;
  bytes: number;
}

/** Less than one of these is not spoken of, and not looked for. */
const least: Amount = { tensors: 2000, bytes: 50e6 };
/** What there was when lost tensors were last looked for, and how many were lost then. */
let [counted, lost]: Amount[] = [];

/** Tensors that stay though no object stands for them any more, where cells have made many of them. */
function lossHint(): string | undefined {
  const { numTensors, numBytes } = tf.engine().state;
  const now = { tensors: numTensors, bytes: numBytes };
  const grown = minus(now, counted ?? { tensors: 0, bytes: 0 });
  if (!counted || grown.tensors < 0) counted = now;
  if (grown.tensors < least.tensors && grown.bytes < least.bytes) return undefined;
  counted = now;
  const held = reachable();
  if (!held) return undefined;
  const all = minus(now, held);
  const more = minus(all, lost ?? { tensors: 0, bytes: 0 });
  if (more.tensors < least.tensors && more.bytes < least.bytes) return undefined;
  lost = all;
  const [tensors, megabytes] = [more.tensors, more.bytes / 1e6].map((number) =>
    Math.round(number).toLocaleString('en-US'),
  );
  return `${tensors} tensors that nothing refers to stay in memory (${megabytes} MB), since JavaScript does not free them. \`tf.tidy(() => …)\` frees what it does not return, \`x.dispose()\` one tensor.`;
}

function minus(a: Amount, b: Amount): Amount {
  return { tensors: a.tensors - b.tensors, bytes: a.bytes - b.bytes };
}

/** The tensors that JavaScript has not lost: those that are left when it has collected its garbage. */
function reachable(): Amount | undefined {
  const place = '__tarflow_tensors__';
  let sum: Amount | undefined;
  const prototype = tf.Tensor.prototype;
  const take = (objects: tf.Tensor[]) => {
    sum = amountOf(objects);
  };
  Reflect.set(globalThis, place, { prototype, take });
  const session = new Session();
  session.connect();
  // Within one thread each answer is there at once.
  session.post('Runtime.evaluate', { expression: `${place}.prototype` }, (_, { result }) => {
    const prototypeObjectId = result.objectId ?? '';
    session.post('Runtime.queryObjects', { prototypeObjectId }, (_, { objects }) => {
      const functionDeclaration = `function () { ${place}.take(this); }`;
      session.post('Runtime.callFunctionOn', { objectId: objects.objectId, functionDeclaration });
    });
  });
  session.disconnect();
  Reflect.deleteProperty(globalThis, place);
  return sum;
}

function amountOf(objects: readonly tf.Tensor[]): Amount {
  const data = new Map<object, number>();
  let tensors = 0;
  for (const tensor of objects) {
    // A class derived from it is found as well.
    if (!Object.hasOwn(tensor, 'dataId') || tensor.isDisposed) continue;
    tensors += 1;
    data.set(tensor.dataId, tensor.size * tf.util.bytesPerElement(tensor.dtype));
  }
  return { tensors, bytes: [...data.values()].reduce((sum, bytes) => sum + bytes, 0) };
}
