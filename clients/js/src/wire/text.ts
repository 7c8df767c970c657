// Bytes and text: UTF-8, base64, JSON, and the content of text messages.

import type { Cleared, Message, StreamChunk, Target } from '../model.js';

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();
const STRICT = new TextDecoder('utf-8', { fatal: true });

export const utf8 = (text: string): Uint8Array => ENCODER.encode(text);
export const fromUtf8 = (bytes: Uint8Array): string => DECODER.decode(bytes);

const CHUNK_BYTES = 8192;

export function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK_BYTES));
  }
  return btoa(binary);
}

export function fromBase64(text: string): Uint8Array {
  const binary = atob(text);
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}

/** The JSON object that the bytes are, if they are one. */
export function objectOf(bytes: Uint8Array): Record<string, unknown> | undefined {
  // 0x7b opens an object; white space may stand before it.
  if (!bytes.some((byte) => byte === 0x7b)) return undefined;
  try {
    const value: unknown = JSON.parse(STRICT.decode(bytes));
    return value !== null && typeof value === 'object' && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** What both protocols say of a clearing. */
export function clearedOf(said: Record<string, unknown>, conversation: Target): Cleared {
  const isDeleted = said.change === 'conversationDeleted';
  return { conversation, isDeleted, through: Number(said.through ?? 0), time: Number(said.time ?? 0) };
}

/**
 * The content of a text message. The object is what clients of JSON-RPC expect as `payload`, and clients of the binary
 * protocol get the same bytes.
 */
export function textContent(text: string): Uint8Array {
  return utf8(JSON.stringify({ type: 1, content: text }));
}

/** The text of a message: the member `content` of an object, otherwise the content itself. */
export function textOf(message: Pick<Message, 'content'>): string {
  const object = objectOf(message.content);
  return typeof object?.content === 'string' ? object.content : fromUtf8(message.content);
}

/** How a chunk travels in `extra`, which both protocols carry: `no`, `chunk` and whether it is the last. */
const STREAM = 'stream';
const STREAM_CHUNK = 'stream-chunk';
const STREAM_END = 'stream-end';

export function extraOf(
  extra: Readonly<Record<string, string>> | undefined,
  stream: StreamChunk | undefined,
): Record<string, string> {
  if (stream === undefined) return { ...extra };
  const chunk = { [STREAM]: stream.no, [STREAM_CHUNK]: String(stream.chunk) };
  return { ...extra, ...chunk, ...(stream.isLast ? { [STREAM_END]: '1' } : {}) };
}

export function streamOf(extra: Readonly<Record<string, string>>): StreamChunk | undefined {
  const no = extra[STREAM];
  const chunk = Number(extra[STREAM_CHUNK]);
  if (no === undefined || !Number.isSafeInteger(chunk) || chunk < 1) return undefined;
  return { no, chunk, isLast: extra[STREAM_END] === '1' };
}
