// A session under test: a clock in the test's hand, the server in memory, and what the application was told.

import { Session, type Effect, type Entry, type Outgoing, type Refused, type Saved, type SessionEvent, type SessionOptions } from '../src/index.js';
import { FakeServer, ME, directDialect, type Habits } from './fake_server.js';

export class Rig {
  now = 1_000_000;
  session: Session;
  readonly server: FakeServer;
  readonly events: SessionEvent[] = [];
  readonly delivered: Entry[] = [];
  readonly sent: string[] = [];
  readonly settled = new Map<number, { answer?: unknown; refused?: Refused }>();
  /** An attempt that the server has yet to accept. */
  opening = 0;
  isUp = true;
  private texts = 0;

  constructor(
    habits: Partial<Habits> = {},
    private readonly options: Partial<SessionOptions> = {},
  ) {
    this.server = new FakeServer({ factsHaveNoSeq: false, pushesBacklog: false, ...habits });
    this.session = this.make(options.saved);
  }

  private make(saved: Saved | undefined): Session {
    const random = this.options.random ?? (() => 0.5);
    return new Session({ user: ME, device: 'd', dialect: directDialect, random, ...this.options, saved });
  }

  /** The application's process ends, and another one goes on with what was saved. */
  crash(): void {
    const saved = this.session.save();
    this.server.cut();
    this.opening = 0;
    this.session = this.make(saved);
    this.do((session) => session.start(this.now));
  }

  do(input: (session: Session) => void): void {
    input(this.session);
    for (const effect of this.session.drain()) this.perform(effect);
  }

  start(): void {
    this.do((session) => session.start(this.now));
  }

  say(): Outgoing {
    this.texts += 1;
    const message = { clientId: `c-${this.texts}`, to: { user: 'peer' }, type: 1, content: new Uint8Array(), sendTime: 0 };
    this.do((session) => session.send(message, this.now));
    return message;
  }

  connect(): void {
    const attempt = this.opening;
    this.opening = 0;
    if (attempt === 0) return;
    if (!this.isUp) return this.do((session) => session.lost(attempt, 1006, 'refused', this.now));
    this.server.accept(attempt);
    this.do((session) => session.opened(attempt, 'token', this.now));
  }

  cut(code = 1006): void {
    const { attempt } = this.server;
    this.server.cut();
    if (attempt > 0) this.do((session) => session.lost(attempt, code, '', this.now));
  }

  toClient(): void {
    const frame = this.server.toClient.shift();
    const { attempt } = this.server;
    if (frame !== undefined) this.do((session) => session.received(attempt, frame, this.now));
  }

  advance(ms: number): void {
    this.now += ms;
    this.do((session) => session.wake(this.now));
  }

  /** Until nothing is on its way, and nothing is due within `horizon`. */
  settle(horizon = 60_000): void {
    const end = this.now + horizon;
    for (let step = 0; step < 100_000; step += 1) {
      if (this.opening > 0) this.connect();
      else if (this.server.toServer.length > 0) this.server.serveOne();
      else if (this.server.toClient.length > 0) this.toClient();
      else if (this.session.deadline() <= end) this.advance(Math.max(0, this.session.deadline() - this.now));
      else return;
    }
    throw new Error('the session does not come to rest');
  }

  private perform(effect: Effect): void {
    switch (effect.kind) {
      case 'open':
        this.opening = effect.attempt;
        return;
      case 'write':
        if (effect.attempt === this.server.attempt) this.server.toServer.push(String(effect.frame));
        return;
      case 'close':
        if (effect.attempt === this.server.attempt) this.server.cut();
        if (effect.attempt === this.opening) this.opening = 0;
        return;
      case 'settled':
        this.settled.set(effect.id, effect);
        return;
      case 'event':
        this.events.push(effect.event);
        if (effect.event.kind === 'entry') this.delivered.push(effect.event.entry);
        if (effect.event.kind === 'sent') this.sent.push(effect.event.clientId);
        return;
      case 'changed':
        return;
    }
  }

  /** One text for each entry, the same for a fact with and without its seq. */
  told(): string[] {
    return this.delivered.map(nameOf);
  }
}

export function nameOf(entry: Entry): string {
  switch (entry.kind) {
    case 'message':
      return entry.message.clientId;
    case 'revoked':
      return `revoked ${entry.revoked.messageId}`;
    case 'receipt':
      return `receipt ${entry.receipt.messageIds.join()}`;
    case 'group':
    case 'cleared':
      return `${entry.kind} ${entry.id}`;
  }
}
