// The hooks of `mushan-client/react` in the component of examples/react, in a document without a browser, against a real
// server. Needs KIT_SERVER.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Window } from 'happy-dom';
import { createElement } from 'react';
import { Client } from '../src/index.js';
import { BINARY, TestServer } from './server.js';

const PATIENCE = 20_000;

async function waitFor(what: string, isSo: () => boolean): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!isSo()) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('a component shows a conversation as it grows, and sends', { skip: BINARY === undefined ? 'KIT_SERVER is not set' : false }, async (t) => {
  const server = new TestServer();
  const window = new Window();
  t.after(async () => {
    await server.remove();
    await window.happyDOM.close();
  });
  await server.start();
  Object.assign(globalThis, { window, document: window.document });
  // Node has one from 21 on.
  if (!('navigator' in globalThis)) Object.assign(globalThis, { navigator: window.navigator });
  // After the document: React looks for it when it is loaded.
  const { createRoot } = await import('react-dom/client');
  const { Chat } = await import('../examples/react/chat.js');
  const bob = new Client({ url: server.url, user: 'bob', token: server.token('bob') });
  await bob.connect();
  await bob.until('ready');
  await bob.sendText({ user: 'alice' }, 'before');

  const place = window.document.createElement('div');
  const root = createRoot(place as unknown as Element);
  t.after(() => {
    root.unmount();
    bob.close();
  });
  const options = { url: server.url, user: 'alice', token: server.token('alice'), begin: 'newest' as const };
  root.render(createElement(Chat, { options, target: { user: 'bob' } }));
  const lines = () => [...place.querySelectorAll('li')].map((line) => line.textContent);
  await waitFor('the history', () => lines().join() === 'bob: before');

  const stream = bob.stream({ user: 'alice' });
  await stream.write('one');
  await waitFor('a stream that grows', () => lines().at(-1) === 'bob: one…');
  await stream.end(' two');
  await waitFor('its end', () => lines().at(-1) === 'bob: one two');
  const sent = await bob.sendText({ user: 'alice' }, 'oops');
  await waitFor('a message', () => lines().at(-1) === 'bob: oops');
  await bob.revoke({ user: 'alice' }, sent.id);
  await waitFor('that it was taken back', () => lines().at(-1) === 'bob: taken back');

  const input = place.querySelector('input')!;
  // As a browser does it: React has its own setter of the value.
  Object.getOwnPropertyDescriptor(window.HTMLInputElement.prototype, 'value')!.set!.call(input, 'hello bob');
  input.dispatchEvent(new window.Event('input', { bubbles: true }));
  await waitFor('the button', () => !place.querySelector('button')!.disabled);
  place.querySelector('form')!.dispatchEvent(new window.Event('submit', { bubbles: true, cancelable: true }));
  await waitFor('the own message', () => lines().at(-1) === 'alice: hello bob');
  assert.equal(lines().length, 4);
});
