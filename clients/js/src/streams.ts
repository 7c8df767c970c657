// Streams: a text that its author writes bit by bit, such as an answer of a language model. Every chunk is a message.

import type { Message, Target } from './model.js';
import { keyOf } from './model.js';
import { textOf } from './wire/text.js';

/** A stream as its readers have it so far. */
export interface StreamText {
  readonly no: string;
  readonly from: string;
  readonly conversation: Target;
  readonly text: string;
  readonly isDone: boolean;
}

interface Collected {
  readonly chunks: Map<number, string>;
  last: number;
}

/** Puts chunks together, in the order of their numbers. */
export class StreamReader {
  private readonly streams = new Map<string, Collected>();

  /** The text so far, if the message is a chunk. */
  take(message: Message): StreamText | undefined {
    const { stream, from, conversation } = message;
    if (stream === undefined) return undefined;
    const key = `${keyOf(conversation)} ${from} ${stream.no}`;
    const collected = this.streams.get(key) ?? { chunks: new Map<number, string>(), last: 0 };
    this.streams.set(key, collected);
    collected.chunks.set(stream.chunk, textOf(message));
    if (stream.isLast) collected.last = stream.chunk;
    const ordered = [...collected.chunks].sort(([one], [other]) => one - other);
    const text = ordered.map(([, part]) => part).join('');
    const isDone = collected.last > 0 && collected.chunks.size >= collected.last;
    if (isDone) this.streams.delete(key);
    return { no: stream.no, from, conversation, text, isDone };
  }
}
