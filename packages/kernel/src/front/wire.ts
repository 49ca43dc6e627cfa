import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { userInfo } from 'node:os';

/** The version of Jupyter's protocol that the kernel speaks. */
export const protocolVersion = '5.4';

/** The header of one of Jupyter's messages. */
export interface Header {
  msg_id: string;
  session: string;
  username: string;
  date: string;
  msg_type: string;
  version: string;
}

/**
 * One of Jupyter's messages.
 * Source: https://jupyter-client.readthedocs.io/en/stable/messaging.html
 */
export interface Message {
  /** Where it came from, or the topic under which it is published. */
  identities: Buffer[];
  header: Header;
  /** The header of the message that this one answers. */
  parent: Header | Record<string, never>;
  metadata: Record<string, unknown>;
  content: Record<string, unknown>;
}

/** How messages are signed: the key of the connection file and its scheme, such as 'hmac-sha256'. */
export interface Signature {
  key: string;
  scheme: string;
}

/** So many of the last messages are known again. */
const remembered = 65_536;

const delimiter = Buffer.from('<IDS|MSG>');

/**
 * Reads a message from the frames of a socket.
 *
 * @throws Error when it is no message, or its signature is wrong
 */
export function parseMessage(frames: readonly Buffer[], signature: Signature): Message {
  const at = frames.findIndex((frame) => frame.equals(delimiter));
  const [given, ...parts] = frames.slice(at + 1);
  if (at === -1 || given === undefined || parts.length < 4) {
    throw new Error(`A message of ${frames.length} frames came, without the parts of one.`);
  }
  const four = parts.slice(0, 4);
  // Buffers behind the four parts are signed with them.
  const expected = Buffer.from(signatureOf(parts, signature));
  if (expected.length !== given.length || !timingSafeEqual(expected, given)) {
    throw new Error('A message came with a wrong signature.');
  }
  const [header, parent, metadata, content] = four.map(parsed);
  const objects: unknown[] = [header, parent, metadata, content];
  if (!objects.every((part) => typeof part === 'object' && part !== null && !Array.isArray(part))) {
    throw new Error('A message came with a part that is no object.');
  }
  for (const name of ['msg_id', 'msg_type'] as const) {
    if (typeof header[name] !== 'string') {
      throw new Error(`A message came without the text ${name} in its header.`);
    }
  }
  return { identities: frames.slice(0, at), header, parent, metadata, content };
}

function parsed(part: Buffer) {
  try {
    return JSON.parse(part.toString());
  } catch (error) {
    throw new Error(`A message came with a part that is no JSON (${(error as Error).message}).`);
  }
}

/** Reads the messages of a kernel. One that was recorded and is sent again is refused, as ipykernel does. */
export class Reader {
  private readonly seen = new Set<string>();

  constructor(private readonly signature: Signature) {}

  /** @throws Error as {@link parseMessage} does, and for a message that came before */
  read(frames: readonly Buffer[]): Message {
    const message = parseMessage(frames, this.signature);
    if (this.signature.key === '') return message;
    const [given = ''] = frames.slice(message.identities.length + 1).map(String);
    if (this.seen.has(given)) throw new Error('A message came that had come before.');
    this.seen.add(given);
    const [oldest = ''] = this.seen;
    if (this.seen.size > remembered) this.seen.delete(oldest);
    return message;
  }
}

/** A message as the frames of a socket. */
export function framesOf(message: Message, signature: Signature): Buffer[] {
  const parts = [message.header, message.parent, message.metadata, message.content].map((part) =>
    Buffer.from(JSON.stringify(part)),
  );
  const signed = Buffer.from(signatureOf(parts, signature));
  return [...message.identities, delimiter, signed, ...parts];
}

/** This kernel's part of a conversation: makes the messages that it sends. */
export class Writer {
  private readonly session = randomUUID();
  private readonly username = nameOfUser();

  message(
    type: string,
    content: Record<string, unknown>,
    { parent, identities }: { parent?: Header | undefined; identities: Buffer[] },
  ): Message {
    const header: Header = {
      msg_id: randomUUID(),
      session: this.session,
      username: this.username,
      date: new Date().toISOString(),
      msg_type: type,
      version: protocolVersion,
    };
    return { identities, header, parent: parent ?? {}, metadata: {}, content };
  }
}

function signatureOf(parts: readonly Buffer[], { key, scheme }: Signature): string {
  if (key === '') return '';
  const hash = createHmac(scheme.replace(/^hmac-/, ''), key);
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

function nameOfUser(): string {
  try {
    return userInfo().username;
  } catch {
    // A user without a name, as in some containers.
    return 'kernel';
  }
}

/** A position counted in code points, as Jupyter does, in UTF-16 units. */
export function toUnits(code: string, position: number): number {
  let units = 0;
  let points = 0;
  for (const sign of code) {
    if (points >= position) break;
    units += sign.length;
    points += 1;
  }
  return units;
}

/** A position counted in UTF-16 units, as JavaScript does, in code points. */
export function toCodePoints(code: string, position: number): number {
  return [...code.slice(0, position)].length;
}
