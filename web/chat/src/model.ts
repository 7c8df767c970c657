// What a person sees: conversations, their messages and notes, from the entries of the inbox.

import type { Entry, GroupChange, Message, Target } from 'mushan-client';
import { keyOf, textOf } from 'mushan-client';

export type Delivery = 'queued' | 'stored' | 'read' | 'refused';

export interface Picture {
  readonly url: string;
  readonly width: number;
  readonly height: number;
}

export interface Said {
  readonly kind: 'said';
  readonly clientId: string;
  /** Empty until the server has stored the message. */
  id: string;
  readonly from: string;
  text: string;
  readonly picture?: Picture;
  time: number;
  delivery: Delivery;
  why?: string;
  isRevoked: boolean;
  readonly streamNo?: string;
  isGrowing?: boolean;
  conversationSeq?: number;
}

/** A line between messages: a change of the group, a gap in what is known. */
export interface Note {
  readonly kind: 'note';
  readonly id: string;
  readonly text: string;
  readonly time: number;
}

export type Item = Said | Note;

export interface Conversation {
  readonly key: string;
  readonly target: Target;
  items: Item[];
  unread: number;
  isLoaded: boolean;
  isLoading: boolean;
  hasEarlier: boolean;
  /** Why the messages cannot be read; empty: they can. */
  fault: string;
  /** The conversation's seq of the oldest loaded message; 0: none. */
  oldest: number;
  last: { text: string; time: number; from: string } | undefined;
  readonly typing: Map<string, number>;
}

export function emptyConversation(target: Target): Conversation {
  return {
    key: keyOf(target),
    target,
    items: [],
    unread: 0,
    isLoaded: false,
    isLoading: false,
    hasEarlier: false,
    fault: '',
    oldest: 0,
    last: undefined,
    typing: new Map(),
  };
}

export const nameOf = (target: Target): string => ('user' in target ? target.user : target.group);

/** A picture in a message of type 2: a data URL, so that nothing is loaded from elsewhere. */
export function pictureOf(message: Pick<Message, 'content' | 'type'>): Picture | undefined {
  if (message.type !== 2) return undefined;
  try {
    const { url, width, height } = JSON.parse(new TextDecoder().decode(message.content));
    const isSafe = typeof url === 'string' && /^data:image\/(png|jpeg|webp|gif);base64,/.test(url);
    return isSafe ? { url, width: Number(width) || 240, height: Number(height) || 180 } : undefined;
  } catch {
    return undefined;
  }
}

export function saidOf(message: Message): Said {
  const picture = message.isRevoked ? undefined : pictureOf(message);
  return {
    kind: 'said',
    clientId: message.clientId,
    id: message.id,
    from: message.from,
    text: picture ? 'Picture' : textOf(message),
    ...(picture ? { picture } : {}),
    time: message.time,
    delivery: 'stored',
    isRevoked: message.isRevoked,
    ...(message.stream ? { streamNo: message.stream.no, isGrowing: !message.stream.isLast } : {}),
    ...(message.conversationSeq ? { conversationSeq: message.conversationSeq } : {}),
  };
}

/** Puts chunks of a stream that were read from history into one message. */
export function gathered(messages: readonly Message[]): Said[] {
  const said: Said[] = [];
  const streams = new Map<string, Said>();
  for (const message of messages) {
    const next = saidOf(message);
    const known = message.stream && !message.isRevoked ? streams.get(`${message.from} ${message.stream.no}`) : undefined;
    if (known === undefined) {
      said.push(next);
      if (message.stream) streams.set(`${message.from} ${message.stream.no}`, next);
    } else {
      known.text += next.text;
      known.isGrowing = next.isGrowing;
    }
  }
  return said;
}

export function noteOf(change: GroupChange, id: string): Note {
  const { by, members, count } = change;
  const some = members.slice(0, 4).join(', ') + (count > 4 ? ` and ${count - 4} more` : '');
  const texts: Record<string, string> = {
    created: `${by} created the group`,
    added: members.includes(by) ? `${by} joined` : `${by} added ${some}`,
    removed: members.includes(by) ? `${by} left` : `${by} removed ${some}`,
    changed: `${by} changed ${some}: ${String(change.role ?? '')}`,
    profile: change.name ? `${by} changed the group's profile: ${String(change.name)}` : `${by} changed the group's profile`,
    dissolved: `${by} dissolved the group`,
    joinRequested: `You have asked to join`,
    joinDeclined: `Your request to join was declined`,
  };
  return { kind: 'note', id, text: texts[change.change] ?? `${by}: ${change.change}`, time: change.time };
}

export function conversationOf(entry: Entry): Target {
  switch (entry.kind) {
    case 'message':
      return entry.message.conversation;
    case 'revoked':
      return entry.revoked.conversation;
    case 'receipt':
      return entry.receipt.conversation;
    case 'group':
      return { group: entry.change.group };
    case 'cleared':
      return entry.cleared.conversation;
  }
}
