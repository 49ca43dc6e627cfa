import { readFileSync } from 'node:fs';
import * as zmq from 'zeromq';
import { framesOf, type Message, Reader, type Signature } from './wire.js';

/** What Jupyter's connection file says. */
interface Connection {
  transport: string;
  ip: string;
  shell_port: number;
  control_port: number;
  iopub_port: number;
  stdin_port: number;
  hb_port: number;
  key: string;
  signature_scheme?: string;
}

/** Whoever sends a longer frame, in bytes, is cut off before it is read. */
const maxMessageSize = 2 ** 26;

/** The sockets that carry requests and their replies. */
export type Channel = 'shell' | 'control';

/** What the sockets' owner does with what comes in. */
export interface Listener {
  onRequest(channel: Channel, message: Message): void;
  /** Somebody subscribed to the outputs whose topic begins with this. */
  onSubscription(topic: string): void;
}

/** @throws Error when the file cannot be read */
export function readConnection(file: string): Connection {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/**
 * Sends one message after the other: a socket of zeromq refuses a second one while it takes the first,
 * which is seldom, and happens after some hundreds of messages.
 */
class Outbox {
  private readonly queue: Buffer[][] = [];
  private sending = false;
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly socket: zmq.Writable & zmq.Socket) {}

  send(frames: Buffer[]): void {
    this.queue.push(frames);
    if (!this.sending) this.last = this.sendAll();
  }

  /** Resolves when everything is sent. */
  async sent(): Promise<void> {
    await this.last;
  }

  private async sendAll(): Promise<void> {
    this.sending = true;
    for (let frames = this.queue.shift(); frames; frames = this.queue.shift()) {
      try {
        await this.socket.send(frames);
      } catch (error) {
        if (!this.socket.closed) console.error(error);
      }
    }
    this.sending = false;
  }
}

/**
 * A publisher that knows of each subscription before it takes effect: what it sends then is what the
 * subscriber gets first.
 */
class Publisher extends zmq.XPublisher {
  /** Lets the subscription that was received last take effect, or ends it. */
  settle(topic: Buffer, subscribes: boolean): void {
    // ZMQ_SUBSCRIBE and ZMQ_UNSUBSCRIBE.
    this.setStringOption(subscribes ? 6 : 7, topic);
  }
}

/** The kernel's five sockets. */
export class Sockets {
  private readonly outboxes: Record<Channel | 'iopub', Outbox>;

  private constructor(
    private readonly signature: Signature,
    private readonly sockets: {
      shell: zmq.Router;
      control: zmq.Router;
      stdin: zmq.Router;
      iopub: Publisher;
      heartbeat: zmq.Reply;
    },
  ) {
    this.outboxes = {
      shell: new Outbox(sockets.shell),
      control: new Outbox(sockets.control),
      iopub: new Outbox(sockets.iopub),
    };
  }

  /** Opens the sockets and listens. */
  static async open(connection: Connection, listener: Listener): Promise<Sockets> {
    const iopub = new Publisher({ linger: 1000, sendHighWaterMark: 20_000, manual: true });
    iopub.verbosity = 'allSubs';
    const sockets = {
      shell: new zmq.Router({ linger: 1000, maxMessageSize }),
      control: new zmq.Router({ linger: 1000, maxMessageSize }),
      stdin: new zmq.Router({ linger: 0, maxMessageSize }),
      iopub,
      heartbeat: new zmq.Reply({ linger: 0, maxMessageSize }),
    };
    const address = (port: number) =>
      connection.transport === 'ipc'
        ? `ipc://${connection.ip}-${port}`
        : `${connection.transport}://${connection.ip}:${port}`;
    await Promise.all([
      sockets.shell.bind(address(connection.shell_port)),
      sockets.control.bind(address(connection.control_port)),
      sockets.stdin.bind(address(connection.stdin_port)),
      sockets.iopub.bind(address(connection.iopub_port)),
      sockets.heartbeat.bind(address(connection.hb_port)),
    ]);
    const signature = {
      key: connection.key,
      scheme: connection.signature_scheme ?? 'hmac-sha256',
    };
    const opened = new Sockets(signature, sockets);
    opened.listen(listener);
    return opened;
  }

  reply(channel: Channel, message: Message): void {
    this.outboxes[channel].send(framesOf(message, this.signature));
  }

  publish(message: Message): void {
    this.outboxes.iopub.send(framesOf(message, this.signature));
  }

  /** Closes the sockets when everything is sent. */
  async close(): Promise<void> {
    await Promise.all(Object.values(this.outboxes).map((outbox) => outbox.sent()));
    for (const socket of Object.values(this.sockets)) socket.close();
  }

  private listen(listener: Listener): void {
    const reader = new Reader(this.signature);
    for (const channel of ['shell', 'control'] as const) {
      each(this.sockets[channel], (frames) => listener.onRequest(channel, reader.read(frames)));
    }
    each(this.sockets.iopub, ([frame]) => {
      // One byte says whether somebody comes or goes, then comes the topic.
      if (!frame) return;
      const subscribes = frame[0] === 1;
      this.sockets.iopub.settle(frame.subarray(1), subscribes);
      if (subscribes) listener.onSubscription(frame.toString('utf8', 1));
    });
    const heartbeat = new Outbox(this.sockets.heartbeat);
    each(this.sockets.heartbeat, (frames) => heartbeat.send(frames));
    // The kernel never asks for input, so that nothing comes here; what comes is read and dropped.
    each(this.sockets.stdin, () => {});
  }
}

/** Hands every message to a function; one that it refuses is named in the log of the server. */
function each(socket: zmq.Readable & zmq.Socket, take: (frames: Buffer[]) => void): void {
  const read = async () => {
    for await (const frames of socket) {
      try {
        take(frames);
      } catch (error) {
        console.error(error);
      }
    }
  };
  read().catch((error) => {
    if (!socket.closed) console.error(error);
  });
}
