import type ts from 'typescript';
import { type Cell, currentCell, Interrupted } from './cell.js';

/** The name under which compiled code finds {@link awaiting}. */
export const helperName = '__tarflow__';

/** What compiled code calls. */
export const awaiting = {
  /** What is awaited in the place of a value: the same, until an interrupt. */
  wait,
  /** What `for await` goes through in the place of an iterable. */
  each,
};

/**
 * Puts `wait` and `each` around everything that code awaits: `await x` becomes
 * `await __tarflow__.wait(x)`. The order in which promises settle stays.
 */
export function guardAwaits(typescript: typeof ts): ts.TransformerFactory<ts.SourceFile> {
  const { factory } = typescript;
  return (context) => {
    const call = (name: keyof typeof awaiting, value: ts.Expression) =>
      factory.createCallExpression(
        factory.createPropertyAccessExpression(factory.createIdentifier(helperName), name),
        undefined,
        [value],
      );
    const visit = (node: ts.Node): ts.Node => {
      const inner = typescript.visitEachChild(node, visit, context);
      if (typescript.isAwaitExpression(inner)) {
        return factory.updateAwaitExpression(inner, call('wait', inner.expression));
      }
      if (typescript.isForOfStatement(inner) && inner.awaitModifier) {
        const { awaitModifier, initializer, expression, statement } = inner;
        const each = call('each', expression);
        return factory.updateForOfStatement(inner, awaitModifier, initializer, each, statement);
      }
      return inner;
    };
    return (file) => typescript.visitNode(file, visit) as ts.SourceFile;
  };
}

/** In an interrupted cell the first await throws, and later ones never go on. */
function wait(value: unknown): unknown {
  const cell = currentCell();
  if (!cell) return value;
  if (cell.interrupted) return afterInterrupt(cell);
  return isThenable(value) ? untilStopped(cell, value) : value;
}

/**
 * A promise of the value that an interrupt can reject. It is made of what stacks of asynchronous errors
 * see through: awaits, and `Promise.all`, with one reader of each promise.
 */
async function untilStopped(cell: Cell, value: PromiseLike<unknown>): Promise<unknown> {
  let end: () => void = () => {};
  const stopped = new Promise<void>((resolve, reject) => {
    const stop = () => {
      cell.thrown = true;
      reject(new Interrupted());
    };
    cell.waits.add(stop);
    end = () => {
      cell.waits.delete(stop);
      resolve();
    };
  });
  const [result] = await Promise.all([settled(cell, value, end), stopped]);
  return result;
}

async function settled(cell: Cell, value: PromiseLike<unknown>, end: () => void): Promise<unknown> {
  try {
    return await value;
  } finally {
    if (cell.interrupted) await new Promise(() => {});
    end();
  }
}

function afterInterrupt(cell: Cell): Promise<never> {
  if (cell.thrown) return new Promise(() => {});
  cell.thrown = true;
  return Promise.reject(new Interrupted());
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value !== null &&
    (typeof value === 'object' || typeof value === 'function') &&
    typeof (value as PromiseLike<unknown>).then === 'function'
  );
}

type AnyIterable = Partial<AsyncIterable<unknown> & Iterable<unknown>>;

function each(iterable: AnyIterable): unknown {
  if (typeof iterable?.[Symbol.asyncIterator] === 'function') {
    const iterator = (iterable as AsyncIterable<unknown>)[Symbol.asyncIterator]();
    return guardedIterator(iterator, (result) => wait(result) as Promise<IteratorResult<unknown>>);
  }
  // Node.js says what is wrong with anything else.
  if (typeof iterable?.[Symbol.iterator] !== 'function') return iterable;
  const iterator = (iterable as Iterable<unknown>)[Symbol.iterator]();
  return guardedIterator(iterator, async (result) => {
    const { value, done } = result as IteratorResult<unknown>;
    return { value: await wait(value), done: done === true };
  });
}

function guardedIterator(
  iterator: AsyncIterator<unknown> | Iterator<unknown>,
  guard: (result: unknown) => Promise<IteratorResult<unknown>>,
): AsyncIterable<unknown> {
  const guarded: AsyncIterator<unknown> = { next: async () => guard(iterator.next()) };
  if (iterator.return) guarded.return = async (value) => guard(iterator.return?.(value));
  return { [Symbol.asyncIterator]: () => guarded };
}
