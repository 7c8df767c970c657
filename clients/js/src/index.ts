// The kit's public names.

export * from './model.js';
export * from './client.js';
export * from './streams.js';
export * from './store.js';
export { Session, type SessionOptions } from './machine/session.js';
export { TUNING, type Effect, type Phase, type Saved, type SessionEvent, type Status, type Tuning } from './machine/effects.js';
export { binary } from './wire/binary.js';
export { jsonRpc } from './wire/jsonrpc.js';
export { textContent, textOf } from './wire/text.js';
