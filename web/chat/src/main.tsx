// The entry of the chat page: fetches who may be spoken for, and shows them.

import { render } from 'preact';
import { App } from './app';
import type { Account } from './person';
import './style.css';

export interface Demo {
  readonly people: readonly Account[];
  readonly group: string;
}

const root = document.getElementById('app')!;

async function start(): Promise<void> {
  const response = await fetch('/chat/people.json');
  if (!response.ok) throw new Error(`people.json: ${response.status}`);
  render(<App demo={(await response.json()) as Demo} />, root);
}

start().catch((error: unknown) => {
  const why = error instanceof Error ? error.message : String(error);
  render(<p class="fatal" role="alert">The server does not answer: {why}. Start it with <code>mushan serve --demo</code>, and reload.</p>, root);
});
