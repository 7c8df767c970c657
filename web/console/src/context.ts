// What every part of the page can reach: who is logged in, the live numbers, and short notices.

import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { Login } from './api';
import type { LiveFeed } from './live';

export interface Console {
  readonly login: Login;
  readonly feed: LiveFeed;
  /** Says in a line what was done or why not. */
  readonly notify: (text: string, kind?: 'good' | 'bad') => void;
}

export const ConsoleContext = createContext<Console | undefined>(undefined);

export function useConsole(): Console {
  const console = useContext(ConsoleContext);
  if (console === undefined) throw new Error('outside of the console');
  return console;
}

/** The feed, whose changes draw the caller again. */
export function useFeed(): LiveFeed {
  const { feed } = useConsole();
  const [, draw] = useState(0);
  useEffect(() => feed.subscribe(() => draw((at) => at + 1)), [feed]);
  return feed;
}

export function useMayWrite(): boolean {
  return useConsole().login.role === 'full';
}
