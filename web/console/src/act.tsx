// Actions: a button that does something at once, and one that asks first. Who reads only is shown neither.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { type ApiFailure } from './api';
import { useConsole, useMayWrite } from './context';
import { Confirm } from './ui';

/** Runs an action, says what came of it, and answers whether it succeeded. */
export function useAct(): (act: () => Promise<unknown>, done: string) => Promise<boolean> {
  const { notify } = useConsole();
  return async (act, done) => {
    try {
      await act();
      notify(done);
      return true;
    } catch (why) {
      notify((why as ApiFailure).message, 'bad');
      return false;
    }
  };
}

interface ActionProps {
  readonly label: string;
  /** What a screen reader says, where the label alone does not tell one from another. */
  readonly says?: string;
  readonly act: () => Promise<unknown>;
  readonly done: string;
  readonly then?: () => void;
  readonly small?: true;
}

export function ActionButton({ label, says, act, done, then, small }: ActionProps) {
  const run = useAct();
  const mayWrite = useMayWrite();
  const [isBusy, setBusy] = useState(false);
  const click = async () => {
    setBusy(true);
    if (await run(act, done)) then?.();
    setBusy(false);
  };
  if (!mayWrite) return null;
  return <button type="button" class={`button ${small ? 'small' : ''}`} aria-label={says} disabled={isBusy} onClick={click}>{label}</button>;
}

interface DangerProps extends ActionProps {
  /** What has to be typed. */
  readonly name: string;
  readonly title: string;
  readonly children: ComponentChildren;
}

export function DangerButton({ label, says, act, done, then, small, name, title, children }: DangerProps) {
  const run = useAct();
  const mayWrite = useMayWrite();
  const [isAsking, setAsking] = useState(false);
  const confirm = async () => {
    if (await run(act, done)) then?.();
  };
  if (!mayWrite) return null;
  return (
    <>
      <button type="button" class={`button danger ${small ? 'small' : ''}`} aria-label={says} onClick={() => setAsking(true)}>{label}</button>
      {isAsking && <Confirm title={title} name={name} action={label} onClose={() => setAsking(false)} onConfirm={confirm}>{children}</Confirm>}
    </>
  );
}
