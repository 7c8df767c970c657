// One person at the page: a client of the kit, and what it has told so far.
//
// Owned by the page; views subscribe, and are told once a frame.

import type { AnswerOf, Entry, Frame, GroupChange, Message, PresenceState, Request, Status, Target } from 'mushan-client';
import { Client, keyOf, newId, targetOf, textContent } from 'mushan-client';
import { whyOf } from './act';
import {
  type Conversation,
  type Item,
  type Said,
  conversationOf,
  emptyConversation,
  gathered,
  noteOf,
  saidOf,
} from './model';

export interface Account {
  readonly user: string;
  readonly token: string;
}

const PAGE = 40;
const TYPING_MS = 3_000;
const FRAMES_MAX = 400;
/** Entries of the inbox in which receipts are looked for. */
const LOOKED_BACK = 300;

export interface ShownFrame extends Frame {
  readonly id: number;
  readonly user: string;
  readonly protocol: 'binary' | 'jsonrpc';
}

let frameIds = 0;

export class Person {
  readonly conversations = new Map<string, Conversation>();
  readonly presence = new Map<string, PresenceState>();
  status: Status = { phase: 'idle', at: 0, attempt: 0 };
  frames: ShownFrame[] = [];
  selected: string;
  progress: { through: number; newest: number } | undefined;
  /** Whether the person has cut the connection on purpose. */
  isCut = false;
  private client: Client;
  private readonly listeners = new Set<() => void>();
  private isTelling = false;
  private readonly typedAt = new Map<string, number>();
  private readonly readTimers = new Map<string, ReturnType<typeof setTimeout>>();
  /** Client ids of this session's own messages. */
  private readonly ownChunks = new Set<string>();
  /** Who has read which message, as far back as this page has looked. */
  private readonly readers = new Map<string, Set<string>>();
  private hasLookedBack = false;
  private readonly toRead = new Map<string, Set<string>>();

  constructor(
    readonly account: Account,
    readonly protocol: 'binary' | 'jsonrpc',
    readonly people: readonly string[],
    group: string,
    device: string,
  ) {
    const others = people.filter((user) => user !== account.user);
    for (const target of [...others.map((user) => ({ user })), { group }]) this.conversation(target);
    this.selected = keyOf({ user: others[0] ?? account.user });
    const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`;
    const { user, token } = account;
    this.client = new Client({ url, user, token, protocol, device, begin: 'newest', tuning: { retryMaxMs: 8_000 } });
    this.listen();
    void this.client.connect().then(() => this.client.watch(others));
  }

  get user(): string {
    return this.account.user;
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    this.readTimers.forEach((timer) => clearTimeout(timer));
    this.listeners.clear();
    this.client.close();
  }

  cut(): void {
    this.isCut = true;
    this.client.close();
    this.changed();
  }

  comeBack(): void {
    this.isCut = false;
    void this.client.connect();
    this.changed();
  }

  retryNow(): void {
    this.client.retryNow();
  }

  conversation(target: Target): Conversation {
    const key = keyOf(target);
    const known = this.conversations.get(key) ?? emptyConversation(target);
    this.conversations.set(key, known);
    return known;
  }

  /** Those with the newest messages first, then people, then groups without any. */
  sorted(): Conversation[] {
    return [...this.conversations.values()].sort((one, other) => (other.last?.time ?? 0) - (one.last?.time ?? 0));
  }

  select(key: string): void {
    this.selected = key;
    const conversation = this.conversation(targetOf(key));
    if (!conversation.isLoaded) void this.loadEarlier(conversation);
    this.read(conversation);
    this.changed();
  }

  say(target: Target, text: string): void {
    this.put(target, 1, textContent(text));
  }

  show(target: Target, picture: { url: string; width: number; height: number }): void {
    const content = new TextEncoder().encode(JSON.stringify({ type: 2, ...picture }));
    this.put(target, 2, content);
  }

  /** Writes the text word by word, as a language model would. */
  async stream(target: Target, text: string): Promise<void> {
    const words = text.match(/\S+\s*/g) ?? [text];
    const stream = this.client.stream(target);
    try {
      for (const [at, word] of words.entries()) {
        await (at === words.length - 1 ? stream.end(word) : stream.write(word));
        await new Promise((resolve) => setTimeout(resolve, 90));
      }
    } catch {
      // The message itself shows that it was refused.
    }
  }

  typing(target: Target): void {
    const now = Date.now();
    if (now - (this.typedAt.get(keyOf(target)) ?? 0) < 1_500) return;
    this.typedAt.set(keyOf(target), now);
    this.client.typing(target, true);
  }

  async revoke(target: Target, said: Said): Promise<void> {
    try {
      await this.client.revoke(target, said.id);
    } catch (error) {
      said.why = `not revoked: ${whyOf(error)}`;
    }
    this.changed();
  }

  members(group: string) {
    return this.client.group(group);
  }

  /** Any request of the protocol: what was refused rejects with the server's code and sentence. */
  ask<R extends Request>(request: R): Promise<AnswerOf<R['kind']>> {
    return this.client.request(request);
  }

  async loadEarlier(conversation: Conversation): Promise<void> {
    if (conversation.isLoading) return;
    conversation.isLoading = true;
    conversation.fault = '';
    this.changed();
    const before = conversation.oldest > 0 ? { before: conversation.oldest } : {};
    try {
      const page = await this.client.history(conversation.target, { ...before, limit: PAGE });
      this.prepend(conversation, page.messages, page.facts);
      conversation.hasEarlier = page.hasMore;
      conversation.oldest = page.reachedSeq;
      conversation.isLoaded = true;
    } catch (error) {
      // A conversation without a message is not known to the server yet.
      const kind = (error as { kind?: string }).kind;
      if (kind === 'noSuchConversation' || kind === 'denied') conversation.isLoaded = true;
      if (kind !== 'noSuchConversation') conversation.fault = whyOf(error);
    }
    conversation.isLoading = false;
    if (this.selected === conversation.key) this.read(conversation);
    this.changed();
  }

  private prepend(conversation: Conversation, messages: readonly Message[], facts: readonly Entry[]): void {
    const known = new Set(conversation.items.map((item) => item.id));
    const earlier = gathered(messages).filter((said) => !known.has(said.id));
    this.mark(earlier);
    const notes = facts.flatMap((fact) => (fact.kind === 'group' && !known.has(fact.id) ? [noteOf(fact.change, fact.id)] : []));
    const page: Item[] = [...earlier, ...notes].sort((one, other) => one.time - other.time);
    conversation.items = [...page, ...conversation.items];
    const newest = conversation.items.findLast((item) => item.kind === 'said');
    if (newest?.kind === 'said') this.setLast(conversation, newest);
  }

  private setLast(conversation: Conversation, said: Said): void {
    const text = said.isRevoked ? 'Message revoked' : said.text;
    if ((conversation.last?.time ?? 0) <= said.time) conversation.last = { text, time: said.time, from: said.from };
  }

  private put(target: Target, type: number, content: Uint8Array): void {
    const clientId = newId();
    // A refusal is shown with the message.
    this.client.send(target, content, { clientId, type }).catch(() => {});
  }

  private listen(): void {
    const { client } = this;
    client.on('status', (status) => {
      this.status = status;
      if (status.phase === 'ready') void this.caughtUp();
      this.changed();
    });
    client.on('resync', (progress) => {
      this.progress = progress;
      this.changed();
    });
    client.on('epoch', () => this.forget());
    client.on('queued', (message) => {
      const said = saidOf({
        ...message,
        id: '',
        conversation: message.to,
        from: this.user,
        time: message.sendTime,
        seq: 0,
        extra: {},
        isRevoked: false,
      });
      said.delivery = 'queued';
      this.append(message.to, said, message.stream !== undefined);
    });
    client.on('sent', ({ clientId, id, time }) => this.settle(clientId, (said) => {
      if (said.id === '') said.id = id;
      if (said.delivery === 'queued') said.delivery = 'stored';
      if (time > 0) said.time = time;
    }));
    client.on('refused', ({ clientId, refused }) => this.settle(clientId, (said) => {
      said.delivery = 'refused';
      said.why = whyOf(refused);
    }));
    client.on('entry', (entry) => {
      const conversation = this.conversation(conversationOf(entry));
      if (entry.kind === 'message') this.heard(conversation, entry.message);
      if (entry.kind === 'revoked') this.revoked(conversation, entry.revoked.messageId);
      if (entry.kind === 'receipt') this.wasRead(conversation, entry.receipt.messageIds, entry.receipt.by);
      if (entry.kind === 'group') this.groupChanged(conversation, entry.change, entry.id);
      if (entry.kind === 'cleared') conversation.items = conversation.items.filter((item) => item.time > entry.cleared.time);
      this.changed();
    });
    client.on('typing', ({ conversation: target, user, isTyping }) => {
      const { typing } = this.conversation(target);
      if (isTyping) typing.set(user, Date.now() + TYPING_MS);
      else typing.delete(user);
      setTimeout(() => this.changed(), TYPING_MS + 50);
      this.changed();
    });
    client.on('presence', (state) => {
      this.presence.set(state.user, state);
      this.changed();
    });
    client.on('frame', (frame) => {
      frameIds += 1;
      this.frames.push({ ...frame, id: frameIds, user: this.user, protocol: this.protocol });
      if (this.frames.length > FRAMES_MAX) this.frames.splice(0, this.frames.length - FRAMES_MAX);
      this.changed();
    });
  }

  private async caughtUp(): Promise<void> {
    this.progress = undefined;
    try {
      const { rows } = await this.client.conversations({ limit: 100 });
      for (const row of rows) {
        const conversation = this.conversation(row.conversation);
        if (conversation.key !== this.selected) conversation.unread = row.unread;
        if (row.last?.kind === 'message') this.setLast(conversation, saidOf(row.last.message));
      }
    } catch {
      // Cut again: the next time will tell.
    }
    if (!this.hasLookedBack) await this.lookBack();
    const selected = this.conversation(targetOf(this.selected));
    if (!selected.isLoaded) void this.loadEarlier(selected);
    this.changed();
  }

  /** History has no receipts: the newest entries of the inbox have. */
  private async lookBack(): Promise<void> {
    try {
      const { entries } = await this.client.request({ kind: 'syncBefore', before: 0, limit: LOOKED_BACK });
      this.hasLookedBack = true;
      for (const entry of entries) {
        if (entry.kind !== 'receipt') continue;
        const { conversation, messageIds, by } = entry.receipt;
        this.wasRead(this.conversation(conversation), messageIds, by);
      }
    } catch {
      // Cut again: the next time will tell.
    }
  }

  /** The seqs are void: everything is read again. */
  private forget(): void {
    for (const conversation of this.conversations.values()) {
      Object.assign(conversation, { items: [], isLoaded: false, oldest: 0, hasEarlier: false, last: undefined });
    }
  }

  private append(target: Target, said: Said, isChunk: boolean): void {
    const conversation = this.conversation(target);
    const grown = isChunk ? this.growing(conversation, said) : undefined;
    if (grown !== undefined) {
      grown.text += said.text;
      grown.isGrowing = said.isGrowing;
    } else {
      conversation.items.push(said);
    }
    this.setLast(conversation, grown ?? said);
    this.changed();
  }

  private groupChanged(conversation: Conversation, change: GroupChange, id: string): void {
    conversation.items.push(noteOf(change, id));
    const isIn = change.change === 'added' && change.members.includes(this.user);
    // Whoever could not read the group before can now.
    if (isIn && conversation.fault !== '') Object.assign(conversation, { fault: '', isLoaded: false, items: [] });
    if (isIn && this.selected === conversation.key && !conversation.isLoaded) void this.loadEarlier(conversation);
  }

  private growing(conversation: Conversation, chunk: Said): Said | undefined {
    const isIt = (item: Item) =>
      item.kind === 'said' && item.streamNo === chunk.streamNo && item.from === chunk.from;
    return conversation.items.findLast(isIt) as Said | undefined;
  }

  private heard(conversation: Conversation, message: Message): void {
    if (message.from === this.user && this.own(conversation, message)) return;
    conversation.typing.delete(message.from);
    this.append(message.conversation, saidOf(message), message.stream !== undefined);
    if (message.from === this.user) return;
    if (conversation.key === this.selected && document.visibilityState === 'visible') this.read(conversation);
    else if (!message.stream || message.stream.chunk === 1) conversation.unread += 1;
    const unanswered = this.toRead.get(conversation.key) ?? new Set();
    this.toRead.set(conversation.key, unanswered.add(message.id));
  }

  /** This session's own message, which is shown already. */
  private own(conversation: Conversation, message: Message): boolean {
    const isIt = (item: Item) => item.kind === 'said' && item.clientId === message.clientId;
    const isShown = conversation.items.some(isIt);
    // Later chunks of a stream of this session are part of its first.
    const isPart = message.stream !== undefined && this.ownChunks.has(message.clientId);
    return isShown || isPart;
  }

  private settle(clientId: string, change: (said: Said) => void): void {
    this.ownChunks.add(clientId);
    for (const conversation of this.conversations.values()) {
      const found = conversation.items.findLast((item) => item.kind === 'said' && item.clientId === clientId);
      if (found?.kind === 'said') change(found);
    }
    this.changed();
  }

  private revoked(conversation: Conversation, messageId: string): void {
    const found = conversation.items.find((item) => item.id === messageId);
    if (found?.kind !== 'said') return;
    found.isRevoked = true;
    this.setLast(conversation, found);
  }

  private wasRead(conversation: Conversation, messageIds: readonly string[], by: string): void {
    for (const id of messageIds) this.readers.set(id, (this.readers.get(id) ?? new Set()).add(by));
    this.mark(conversation.items);
  }

  private mark(items: readonly Item[]): void {
    for (const item of items) if (item.kind === 'said' && this.readers.has(item.id)) item.delivery = 'read';
  }

  /** Soon: tells the authors, and the server up to where this person has read. */
  private read(conversation: Conversation): void {
    conversation.unread = 0;
    clearTimeout(this.readTimers.get(conversation.key));
    this.readTimers.set(conversation.key, setTimeout(() => void this.readNow(conversation), 400));
  }

  private async readNow(conversation: Conversation): Promise<void> {
    if (conversation.items.length === 0) return;
    const ids = [...(this.toRead.get(conversation.key) ?? [])].slice(-100);
    this.toRead.delete(conversation.key);
    try {
      if (ids.length > 0) await this.client.receipt(conversation.target, ids);
      const { newestSeq } = await this.client.history(conversation.target, { limit: 1 });
      if (newestSeq > 0) await this.client.markRead(conversation.target, newestSeq);
    } catch {
      // A conversation without a message, or a cut: nothing is lost.
    }
  }

  private changed(): void {
    if (this.isTelling) return;
    this.isTelling = true;
    requestAnimationFrame(() => {
      this.isTelling = false;
      this.listeners.forEach((listener) => listener());
    });
  }
}

