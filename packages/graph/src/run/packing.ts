import { UserError } from '../errors.js';
import { entryOf } from '../records.js';
import { tf, tidy } from '../tf.js';
import type { Leaves, Mode } from '../trace/body.js';

/** Shapes of tensors by name, in their order. */
type Shapes = Readonly<Record<string, readonly number[]>>;

/**
 * How a program holds groups of many tensors, such as the parameters that an optimiser updates alike.
 * Under XLA it holds a group as one vector: half of the time of a small model's step goes into the
 * number of its tensors there. In other modes each tensor is a variable by itself, and packing changes
 * nothing. All functions take a group's tensors whole or not at all, and leave others as they are.
 */
export class Packing {
  private readonly together: boolean;

  /** @param groups the shapes of each group's tensors, by the group's name */
  constructor(
    private readonly groups: Readonly<Record<string, Shapes>>,
    mode: Mode | undefined,
  ) {
    this.together = mode === 'xla';
  }

  /** Named tensors in the form in which a program holds them. */
  pack(tensors: Leaves): Leaves {
    if (!this.together) return tensors;
    const rest = { ...tensors };
    const vectors: Leaves = {};
    for (const [group, shapes] of Object.entries(this.groups)) {
      const own = Object.keys(shapes).flatMap((name) => tensors[name] ?? []);
      if (own.length === 0) continue;
      vectors[vectorName(group)] = tidy(() =>
        tf.concat1d(own.map((tensor) => tf.reshape(tensor, [-1]))),
      );
      for (const name of Object.keys(shapes)) delete rest[name];
    }
    return { ...rest, ...vectors };
  }

  /**
   * The tensors that {@link pack} joined, by their own names.
   * @throws UserError for a vector of another length than the group's
   */
  unpack(held: Leaves): Leaves {
    if (!this.together) return held;
    const all = { ...held };
    for (const [group, shapes] of Object.entries(this.groups)) {
      const vector = all[vectorName(group)];
      if (!vector) continue;
      delete all[vectorName(group)];
      Object.assign(all, divided(group, vector, shapes));
    }
    return all;
  }

  /** A group's tensors among those that a program holds: its vector, or each by its name. */
  held(group: string, held: Leaves): Leaves {
    const names = this.together ? [vectorName(group)] : Object.keys(this.groups[group] ?? {});
    return Object.fromEntries(names.map((name) => [name, entryOf(held, name)]));
  }
}

/** No tensor has a space in its name. */
function vectorName(group: string): string {
  return `packed ${group}`;
}

function divided(group: string, vector: tf.Tensor, shapes: Shapes): Leaves {
  const entries = Object.entries(shapes);
  const sizes = entries.map(([, shape]) => tf.util.sizeFromShape([...shape]));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (vector.size !== total) {
    throw new UserError(
      `${vector.size} numbers came for the ${entries.length} tensors of ${group}`,
      `Expected ${total}, as \`pack\` joins them`,
    );
  }
  return tidy(() => {
    const pieces = tf.split(vector, sizes);
    return Object.fromEntries(
      entries.map(([name, shape], i) => [name, tf.reshape(entryOf(pieces, i), [...shape])]),
    );
  });
}
