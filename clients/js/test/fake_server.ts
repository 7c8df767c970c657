// A server in memory, with one user's inbox, and a network that a test cuts where it likes. Frames are handles of objects.

import type { Dialect, Entry, Heard, Outgoing, Request } from '../src/index.js';
import { Refused } from '../src/index.js';

export const ME = 'me';
const PEER = { user: 'peer' };

const objects = new Map<string, unknown>();
const handle = (object: unknown): string => {
  const name = `frame-${objects.size}`;
  objects.set(name, object);
  return name;
};

interface Asked {
  request: Request;
  tag: number;
}

export const directDialect: Dialect = {
  name: 'jsonrpc',
  path: '/',
  heartbeatMs: 30_000,
  encode: (request, tag) => handle({ request, tag }),
  decode: (frame) => [objects.get(String(frame)) as Heard],
  describe: () => ({ name: '', fields: {} }),
};

export interface Habits {
  /** Facts are pushed without their seqs, as in the binary protocol. */
  factsHaveNoSeq: boolean;
  /** A login pushes what is not acknowledged, as in JSON-RPC. */
  pushesBacklog: boolean;
}

export class FakeServer {
  epoch = 1;
  inbox: (Entry | null)[] = [];
  acknowledged = 0;
  private answers = new Map<string, { id: string; seq: number; time: number }>();
  private ids = 100;
  /** Frames on their way, of the connection that is open. */
  toServer: string[] = [];
  toClient: string[] = [];
  attempt = 0;
  isLoggedIn = false;
  /** Sends that are refused for now. */
  refusals = 0;
  writtenSends: string[] = [];

  constructor(private readonly habits: Habits) {}

  accept(attempt: number): void {
    this.attempt = attempt;
    this.toServer = [];
    this.toClient = [];
    this.isLoggedIn = false;
  }

  cut(): void {
    this.accept(0);
  }

  get newest(): number {
    return this.inbox.length;
  }

  /** Something happens that concerns the user. */
  post(kind: 'message' | 'revoked' | 'receipt'): Entry {
    const seq = this.newest + 1;
    const id = String(this.ids++);
    const entry = entryOf(kind, seq, id);
    this.store(entry);
    return entry;
  }

  /** The entry of somebody else has expired: its seq stays. */
  hide(seq: number): void {
    const entry = this.inbox[seq - 1];
    if (entry && !(entry.kind === 'message' && entry.message.from === ME)) this.inbox[seq - 1] = null;
  }

  /** The time has passed within which repetitions are recognised by their ids. */
  forgetIds(): void {
    this.answers.clear();
  }

  /** A restored backup: the newest entries are gone, and their seqs will stand for others. */
  restore(lost: number): void {
    this.inbox.length = Math.max(0, this.inbox.length - lost);
    const kept = new Set(this.inbox.map((entry) => entry?.id));
    this.answers = new Map([...this.answers].filter(([, answer]) => kept.has(answer.id)));
    this.acknowledged = Math.min(this.acknowledged, this.newest);
    this.epoch += 1;
    this.cut();
  }

  /** Says something once more that was said before. */
  repeat(seq: number): void {
    const entry = this.inbox[seq - 1];
    if (entry && this.isLoggedIn && this.attempt > 0) this.push(entry);
  }

  serveOne(): void {
    const frame = this.toServer.shift();
    if (frame === undefined) return;
    const { request, tag } = objects.get(frame) as Asked;
    this.serve(request, tag);
  }

  private serve(request: Request, tag: number): void {
    switch (request.kind) {
      case 'login':
        this.isLoggedIn = true;
        this.say({ kind: 'answer', tag, answer: { epoch: this.epoch } });
        if (this.habits.pushesBacklog) this.inbox.slice(this.acknowledged).forEach((entry) => entry && this.push(entry));
        return;
      case 'ack':
        this.acknowledged = Math.max(this.acknowledged, request.seq);
        return;
      case 'send':
        return this.take(request.message, tag);
      case 'sync': {
        const found = this.inbox.slice(request.after).filter((entry) => entry !== null);
        const entries = found.slice(0, request.limit);
        const hasMore = entries.length < found.length;
        return this.say({ kind: 'answer', tag, answer: { entries, serverMaxSeq: this.newest, hasMore } });
      }
      case 'syncBefore':
        return this.say({ kind: 'answer', tag, answer: { entries: [], serverMaxSeq: this.newest, hasMore: true } });
      case 'typing':
        return;
      case 'presence':
        return this.say({ kind: 'answer', tag, answer: { states: [] } });
      default:
        return this.say({ kind: 'answer', tag, answer: {} });
    }
  }

  private take(message: Outgoing, tag: number): void {
    this.writtenSends.push(message.clientId);
    if (this.refusals > 0) {
      this.refusals -= 1;
      return this.say({ kind: 'refused', tag, refused: new Refused('tooFast', 1104, 'too fast') });
    }
    const known = this.answers.get(message.clientId);
    if (known !== undefined) return this.say({ kind: 'answer', tag, answer: known });
    const { clientId, to, type, content } = message;
    const seq = this.newest + 1;
    const id = String(this.ids++);
    const own = { id, clientId, conversation: to, from: ME, type, content, time: 0, seq, extra: {}, isRevoked: false };
    const answer = { id, seq, time: 0 };
    this.inbox.push({ kind: 'message', seq, id, message: own });
    this.answers.set(clientId, answer);
    this.say({ kind: 'answer', tag, answer });
  }

  private store(entry: Entry): void {
    this.inbox.push(entry);
    if (this.isLoggedIn && this.attempt > 0) this.push(entry);
  }

  private push(entry: Entry): void {
    const isFact = entry.kind === 'revoked' || entry.kind === 'receipt';
    const shown = isFact && this.habits.factsHaveNoSeq ? { ...entry, seq: 0, id: '' } : entry;
    this.say({ kind: 'entry', entry: shown });
  }

  say(heard: Heard): void {
    if (this.attempt > 0) this.toClient.push(handle(heard));
  }
}

function entryOf(kind: 'message' | 'revoked' | 'receipt', seq: number, id: string): Entry {
  switch (kind) {
    case 'message': {
      const content = new Uint8Array();
      const from = 'peer';
      const more = { type: 1, content, time: 0, extra: {}, isRevoked: false };
      return { kind, seq, id, message: { id, clientId: `p-${id}`, conversation: PEER, from, seq, ...more } };
    }
    case 'revoked':
      return { kind, seq, id, revoked: { conversation: PEER, messageId: `of-${id}`, by: 'peer', time: 0 } };
    case 'receipt':
      return { kind, seq, id, receipt: { conversation: PEER, messageIds: [`of-${id}`], by: 'peer', time: 0 } };
  }
}
