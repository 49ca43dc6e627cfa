import type { ExpressionAnswer, Failure, Question, Report } from '../pipes.js';
import { CellsProcess, type End } from './cells-process.js';
import { History, type HistoryRequest } from './history.js';
import { kernelInfo } from './info.js';
import { type Limits, type Output, Outputs } from './outputs.js';
import type { Channel, Sockets } from './sockets.js';
import { type Header, type Message, toCodePoints, toUnits, Writer } from './wire.js';

/** A cell that waits or runs. */
interface Execution {
  cell: number;
  channel: Channel;
  message: Message;
  count: number;
  silent: boolean;
  stored: boolean;
  /** The text of its result, for the history. */
  output?: string;
}

/** Questions that the process of the cells answers. */
const questions: Record<string, { type: Question['type']; reply: string }> = {
  complete_request: { type: 'complete', reply: 'complete_reply' },
  inspect_request: { type: 'inspect', reply: 'inspect_reply' },
  is_complete_request: { type: 'isComplete', reply: 'is_complete_reply' },
};

/** Bytes of output above which the process of the cells waits, and below which it goes on. */
const [highWater, lowWater] = [4_000_000, 1_000_000];

/** Milliseconds in which a cell arrives that was sent at the same time as others. */
const arrival = 200;

/** Cells whose late outputs still find their place. */
const rememberedCells = 20_000;

/**
 * Answers Jupyter's messages. Cells run one after the other; everything else is answered at once,
 * whether a cell runs or not.
 */
export class Desk {
  private readonly writer = new Writer();
  private readonly history = new History();
  private readonly cells: CellsProcess;
  private readonly outputs: Outputs;
  private readonly queue: Execution[] = [];
  private running: Execution | undefined;
  private interrupted = false;
  /** When a cell failed and those behind it were not run, in milliseconds since 1970. */
  private stoppedAt = 0;
  private count = 0;
  private lastCell = 0;
  private readonly origins = new Map<number, { header: Header; silent: boolean }>();
  private lastQuestion = 0;
  private readonly questions = new Map<number, (content: Record<string, unknown>) => void>();
  private sockets: Sockets | undefined;
  private over = false;

  /** @param leave is called when the kernel is to end, with its exit status */
  constructor(
    limits: Limits,
    private readonly leave: (status: number) => void,
  ) {
    this.cells = new CellsProcess(
      (report) => this.onReport(report),
      (end) => this.onEnd(end),
    );
    this.outputs = new Outputs(
      limits,
      (output) => this.publishOutput(output),
      () => this.balance(),
    );
  }

  /** The sockets are open. */
  begin(sockets: Sockets): void {
    this.sockets = sockets;
    this.publish('status', { execution_state: 'starting' });
    this.publish('status', { execution_state: 'idle' });
  }

  onSubscription(topic: string): void {
    const identities = [Buffer.from(topic)];
    this.sockets?.publish(
      this.writer.message('iopub_welcome', { subscription: topic }, { identities }),
    );
  }

  onRequest(channel: Channel, message: Message): void {
    const { header, content } = message;
    if (header.msg_type === 'execute_request') {
      this.take(channel, message);
      return;
    }
    this.publish('status', { execution_state: 'busy' }, header);
    const question = questions[header.msg_type];
    if (question) {
      this.ask(question.type, content, (answer) => {
        this.reply(channel, message, question.reply, answer);
        this.idle(header);
      });
      return;
    }
    const answer = this.answer(header, content);
    if (answer) this.reply(channel, message, answer.type, answer.content);
    this.idle(header);
    if (header.msg_type === 'shutdown_request') this.close();
  }

  /** What is known here at once; nothing for messages that want no answer, and for those of later versions. */
  private answer(
    { msg_type, ...header }: Header,
    content: Record<string, unknown>,
  ): { type: string; content: Record<string, unknown> } | undefined {
    switch (msg_type) {
      case 'kernel_info_request':
        return { type: 'kernel_info_reply', content: kernelInfo() };
      case 'history_request': {
        const history = this.history.answer(content as HistoryRequest);
        return { type: 'history_reply', content: { status: 'ok', history } };
      }
      case 'comm_info_request':
        return { type: 'comm_info_reply', content: { status: 'ok', comms: {} } };
      case 'comm_open': {
        // Nobody here has the other end.
        const closed = { comm_id: content.comm_id, data: {} };
        this.publish('comm_close', closed, { msg_type, ...header });
        return undefined;
      }
      case 'interrupt_request':
        this.interrupt();
        return { type: 'interrupt_reply', content: { status: 'ok' } };
      case 'shutdown_request': {
        const restart = content.restart === true;
        return { type: 'shutdown_reply', content: { status: 'ok', restart } };
      }
      default:
        return undefined;
    }
  }

  /** Interrupts the running cell; those that wait are not run. */
  interrupt(): void {
    if (!this.running) return;
    this.interrupted = true;
    this.abortQueue();
    this.cells.interrupt(this.running.cell);
    this.balance();
  }

  /** Ends the process of the cells, then the kernel. */
  close(status = 0): void {
    if (this.over) return;
    this.over = true;
    this.cells
      .end()
      .then(() => this.sockets?.close())
      .finally(() => this.leave(status));
  }

  private take(channel: Channel, message: Message): void {
    const { content } = message;
    const silent = content.silent === true;
    const stored = !silent && content.store_history !== false;
    const execution = { cell: 0, channel, message, count: 0, silent, stored };
    this.queue.push(execution);
    if (this.wasSentBeforeError(message)) this.abortQueue();
    else this.next();
  }

  private next(): void {
    if (this.running) return;
    const execution = this.queue.shift();
    if (!execution) return;
    const { message, silent, stored } = execution;
    if (stored) this.count += 1;
    this.running = execution;
    this.interrupted = false;
    this.lastCell += 1;
    execution.cell = this.lastCell;
    execution.count = this.count;
    this.remember(execution);
    const code = String(message.content.code ?? '');
    this.publish('status', { execution_state: 'busy' }, message.header);
    if (!silent) {
      const content = { code, execution_count: execution.count };
      this.publish('execute_input', content, message.header);
    }
    this.cells.send({
      type: 'run',
      cell: execution.cell,
      name: stored ? `cell ${execution.count}` : `uncounted cell ${execution.cell}`,
      code,
      wantsResult: !silent,
      expressions: (message.content.user_expressions ?? {}) as Record<string, string>,
    });
  }

  private remember({ cell, message, silent }: Execution): void {
    this.origins.set(cell, { header: message.header, silent });
    this.origins.delete(cell - rememberedCells);
  }

  private onReport(report: Report): void {
    if (report.type === 'answer') {
      this.questions.get(report.question)?.(report.content);
      this.questions.delete(report.question);
    } else if (report.type === 'done') {
      this.outputs.after(() => this.finish(report.cell, report.failure, report.expressions));
    } else if (report.type !== 'ready') {
      this.outputs.add(report);
      this.balance();
    }
  }

  private finish(
    cell: number,
    failure: Failure | undefined,
    expressions: Record<string, ExpressionAnswer>,
  ): void {
    const execution = this.running;
    if (!execution || execution.cell !== cell) return;
    const { channel, message, count, silent, stored } = execution;
    if (stored) this.history.add(count, String(message.content.code ?? ''), execution.output);
    if (failure && !silent) this.publish('error', { ...failure }, message.header);
    this.reply(
      channel,
      message,
      'execute_reply',
      failure
        ? { status: 'error', execution_count: count, ...failure, payload: [], user_expressions: {} }
        : { status: 'ok', execution_count: count, payload: [], user_expressions: expressions },
    );
    this.running = undefined;
    this.publish('status', { execution_state: 'idle' }, message.header);
    if (failure && message.content.stop_on_error !== false) {
      this.stoppedAt = Date.now();
      this.abortQueue();
    }
    this.balance();
    this.next();
  }

  /** Whether a cell was sent with those that an error has stopped, and has only just arrived. */
  private wasSentBeforeError({ header }: Message): boolean {
    const recent = !this.running && Date.now() - this.stoppedAt < arrival;
    return recent && Date.parse(header.date) < this.stoppedAt;
  }

  /** Answers the cells that have come so far, without running them. */
  private abortQueue(): void {
    for (const { channel, message } of this.queue.splice(0)) {
      this.publish('status', { execution_state: 'busy' }, message.header);
      // Without a count, which JupyterLab would show beside a cell that has not run.
      this.reply(channel, message, 'execute_reply', { status: 'aborted' });
      this.idle(message.header);
    }
  }

  private ask(
    type: Question['type'],
    content: Record<string, unknown>,
    answer: (content: Record<string, unknown>) => void,
  ): void {
    const code = String(content.code ?? '');
    const given = typeof content.cursor_pos === 'number' ? content.cursor_pos : [...code].length;
    this.lastQuestion += 1;
    this.questions.set(this.lastQuestion, (found) => {
      const { cursor_start: start, cursor_end: end } = found;
      if (typeof start !== 'number' || typeof end !== 'number') return answer(found);
      const positions = {
        cursor_start: toCodePoints(code, start),
        cursor_end: toCodePoints(code, end),
      };
      answer({ ...found, ...positions });
    });
    this.cells.send({ type, question: this.lastQuestion, code, cursor: toUnits(code, given) });
  }

  private publishOutput(output: Output): void {
    const origin = this.origins.get(output.cell);
    if (origin?.silent) return;
    const [type, content] = this.messageOf(output);
    this.publish(type, content, origin?.header);
  }

  private messageOf(output: Output): [type: string, content: Record<string, unknown>] {
    switch (output.type) {
      case 'stream':
        return ['stream', { name: output.name, text: output.text }];
      case 'clear':
        return ['clear_output', { wait: output.wait }];
      case 'display':
        return [
          output.update ? 'update_display_data' : 'display_data',
          { transient: {}, ...output.shown },
        ];
      case 'result': {
        const execution = this.running?.cell === output.cell ? this.running : undefined;
        const text = output.shown.data['text/plain'];
        if (execution && typeof text === 'string') execution.output = text;
        const count = execution?.count ?? this.count;
        return ['execute_result', { transient: {}, ...output.shown, execution_count: count }];
      }
    }
  }

  /** The process of the cells waits while too much output does, except for the end of an interrupt. */
  private balance(): void {
    const { waiting } = this.outputs;
    if (waiting > highWater && !this.interrupted) this.cells.hold(true);
    else if (waiting < lowWater || this.interrupted) this.cells.hold(false);
  }

  /** The process of the cells is gone: what ran has failed, and the kernel ends with it. */
  private onEnd({ reason }: End): void {
    if (this.over) return;
    const failure: Failure = {
      ename: 'KernelEnded',
      evalue: `The process that runs the cells ended (${reason})`,
      traceback: [
        `The process that runs the cells ended (${reason}), and what it held is lost.`,
        'SIGKILL often means that the memory was not enough; an exit status, that a cell called process.exit.',
      ],
    };
    this.outputs.after(() => {
      if (this.running) this.finish(this.running.cell, failure, {});
      this.close(1);
    });
  }

  private reply(
    channel: Channel,
    { identities, header: parent }: Message,
    type: string,
    content: Record<string, unknown>,
  ): void {
    this.sockets?.reply(channel, this.writer.message(type, content, { parent, identities }));
  }

  private publish(type: string, content: Record<string, unknown>, parent?: Header): void {
    const identities = [Buffer.from(type)];
    this.sockets?.publish(this.writer.message(type, content, { parent, identities }));
  }

  /** A request is done; the state that front ends show is still that of the running cell. */
  private idle(parent: Header): void {
    this.publish('status', { execution_state: 'idle' }, parent);
    const running = this.running?.message.header;
    if (running) this.publish('status', { execution_state: 'busy' }, running);
  }
}
