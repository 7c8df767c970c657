// Small parts with which a person acts: a request with its outcome, a button that asks twice, a command for the operator.

import { Refused } from 'mushan-client';
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** The server's code and its sentence; what the kit says by itself has no code. */
export function whyOf(error: unknown): string {
  if (error instanceof Refused && error.code !== 0) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

export interface Outcome {
  readonly text: string;
  readonly isBad: boolean;
}

export interface Act {
  readonly outcome: Outcome | undefined;
  /** Whether an answer is awaited. */
  readonly isBusy: boolean;
  /** Runs a request, keeps what came of it to be shown, and answers whether it succeeded. */
  readonly run: (request: () => Promise<unknown>, done: string) => Promise<boolean>;
}

export function useAct(): Act {
  const [outcome, setOutcome] = useState<Outcome>();
  const [isBusy, setBusy] = useState(false);
  const run = async (request: () => Promise<unknown>, done: string) => {
    setBusy(true);
    try {
      await request();
      setOutcome({ text: done, isBad: false });
      return true;
    } catch (error) {
      setOutcome({ text: whyOf(error), isBad: true });
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { outcome, isBusy, run };
}

export function Told({ outcome }: { outcome: Outcome | undefined }) {
  if (outcome === undefined) return null;
  return <p class={outcome.isBad ? 'told why' : 'told'} role={outcome.isBad ? 'alert' : 'status'}>{outcome.text}</p>;
}

const ASKED_MS = 4_000;

/** What cannot be undone is asked for twice. */
export function TwiceButton({ label, sure, act }: { label: string; sure: string; act: () => void }) {
  const [isAsked, setAsked] = useState(false);
  useEffect(() => {
    if (!isAsked) return undefined;
    const timer = setTimeout(() => setAsked(false), ASKED_MS);
    return () => clearTimeout(timer);
  }, [isAsked]);
  const click = () => {
    setAsked(!isAsked);
    if (isAsked) act();
  };
  return <button type="button" class="small danger" onClick={click}>{isAsked ? sure : label}</button>;
}

/** A word as the shell reads it. */
export const quoted = (word: string): string => (/^[\w.@:-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** A command of the operator, to be copied. */
export function Command({ children, text }: { children?: ComponentChildren; text: string }) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => setCopied(false), [text]);
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true), () => {});
  return (
    <div class="command">
      {children}
      <code>{text}</code>
      <button type="button" class="small" aria-label={`Copy: ${text}`} onClick={() => void copy()}>{isCopied ? 'Copied' : 'Copy'}</button>
    </div>
  );
}
