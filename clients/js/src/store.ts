// What outlives a session: the place in the inbox, and the messages that are not sent yet.

import type { Saved } from './machine/effects.js';
import type { Outgoing } from './model.js';
import { fromBase64, toBase64 } from './wire/text.js';

export interface Store {
  load(): Saved | undefined | Promise<Saved | undefined>;
  save(saved: Saved): void;
}

interface StoredItem extends Omit<Outgoing, 'content'> {
  readonly content: string;
}

export function savedToText(saved: Saved): string {
  const outgoing = saved.outgoing.map((message) => ({ ...message, content: toBase64(message.content) }));
  return JSON.stringify({ ...saved, outgoing });
}

/** Undefined for a text that is not of `savedToText`. */
export function savedFromText(text: string): Saved | undefined {
  try {
    const parsed = JSON.parse(text) as Omit<Saved, 'outgoing'> & { outgoing: StoredItem[] };
    const outgoing = parsed.outgoing.map((message) => ({ ...message, content: fromBase64(message.content) }));
    return { epoch: Number(parsed.epoch), through: parsed.through, outgoing };
  } catch {
    return undefined;
  }
}

/** A store in the browser's `localStorage`, or in anything of its shape. */
export function webStore(key: string, storage: Pick<Storage, 'getItem' | 'setItem'> = localStorage): Store {
  return {
    load() {
      const text = storage.getItem(key);
      return text === null ? undefined : savedFromText(text);
    },
    save(saved) {
      storage.setItem(key, savedToText(saved));
    },
  };
}
