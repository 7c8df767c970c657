// Hooks for React: a client that lives as long as its component, its status, and a conversation as it grows.
//
// Invariant: what a hook returns changes only when it is another value, so React renders no more often than something
// happens.

import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { Client, type ClientOptions } from './client.js';
import type { Status } from './machine/effects.js';
import { type Message, type Target, keyOf, targetOf } from './model.js';
import { StreamReader } from './streams.js';
import { textOf } from './wire/text.js';

/** A message as a list shows it. A stream is one, which grows. */
export interface Line {
  readonly key: string;
  readonly from: string;
  readonly text: string;
  readonly time: number;
  readonly isRevoked: boolean;
  readonly isGrowing: boolean;
}

/** Times of JSON-RPC are whole seconds: within one, the seq in the conversation decides where it is known. */
interface PlacedLine extends Line {
  readonly seq: number;
}

const isNotAfter = (one: PlacedLine, other: PlacedLine): boolean =>
  one.time === other.time ? one.seq <= other.seq : one.time < other.time;

/** Connects while the component is mounted. The options of the first rendering count. */
export function useClient(options: ClientOptions): Client {
  const [client] = useState(() => new Client(options));
  useEffect(() => {
    void client.connect();
    return () => client.close();
  }, [client]);
  return client;
}

export function useStatus(client: Client): Status {
  const subscribe = useCallback((changed: () => void) => client.on('status', changed), [client]);
  const current = () => client.status;
  return useSyncExternalStore(subscribe, current, current);
}

/** The newest page of a conversation, and what comes. */
export function useConversation(client: Client, target: Target): readonly Line[] {
  const key = keyOf(target);
  const lines = useMemo(() => new Lines(client, key), [client, key]);
  return useSyncExternalStore(lines.subscribe, lines.current, lines.current);
}

class Lines {
  private lines: readonly PlacedLine[] = [];
  private readonly known = new Set<string>();
  private readonly revokedIds = new Set<string>();
  private readonly streams = new StreamReader();

  constructor(
    private readonly client: Client,
    private readonly key: string,
  ) {}

  readonly current = (): readonly Line[] => this.lines;

  readonly subscribe = (changed: () => void): (() => void) => {
    const { client, key } = this;
    const isHere = (conversation: Target) => keyOf(conversation) === key;
    const set = (lines: readonly PlacedLine[]) => {
      this.lines = lines;
      changed();
    };
    const offs = [
      client.on('message', (message) => isHere(message.conversation) && set(this.with(message))),
      client.on('revoked', ({ conversation, messageId }) => isHere(conversation) && set(this.without(messageId))),
      client.on('cleared', ({ conversation, time }) => isHere(conversation) && set(this.lines.filter((it) => it.time > time))),
    ];
    let isOver = false;
    const load = async () => {
      await client.until('ready');
      const { messages } = await client.history(targetOf(key));
      if (!isOver) set(messages.reduce((_, message) => this.with(message), this.lines));
    };
    // Without its history the conversation still shows what comes.
    load().catch(() => {});
    return () => {
      isOver = true;
      offs.forEach((off) => off());
    };
  };

  /** With one message more, in the order of time; one that is known already changes nothing. */
  private with(message: Message): readonly PlacedLine[] {
    if (this.known.has(message.id)) return this.lines;
    this.known.add(message.id);
    const stream = this.streams.take(message);
    const line: PlacedLine = {
      key: stream === undefined ? message.id : `${message.from} ${stream.no}`,
      from: message.from,
      text: stream?.text ?? textOf(message),
      time: message.time,
      seq: message.conversationSeq || Number.MAX_SAFE_INTEGER,
      isRevoked: message.isRevoked || this.revokedIds.has(message.id),
      isGrowing: stream !== undefined && !stream.isDone,
    };
    const others = this.lines.filter((it) => it.key !== line.key);
    const begun = this.lines.find((it) => it.key === line.key) ?? line;
    const placed = { ...line, time: begun.time, seq: begun.seq };
    const at = others.filter((it) => isNotAfter(it, placed)).length;
    return (this.lines = [...others.slice(0, at), placed, ...others.slice(at)]);
  }

  private without(messageId: string): readonly PlacedLine[] {
    this.revokedIds.add(messageId);
    return this.lines.map((it) => (it.key === messageId ? { ...it, text: '', isRevoked: true } : it));
  }
}
