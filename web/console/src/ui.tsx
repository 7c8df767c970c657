// The small parts that all pages are made of.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ApiFailure } from './api';
import type { Pages } from './ask';

export function Panel({ title, tools, children, wide }: { title: string; tools?: ComponentChildren; children: ComponentChildren; wide?: true }) {
  return (
    <section class={`panel ${wide ? 'wide' : ''}`} aria-label={title}>
      <header class="panel-head"><h2>{title}</h2>{tools !== undefined && <div class="panel-tools">{tools}</div>}</header>
      {children}
    </section>
  );
}

export type Tone = 'good' | 'warn' | 'bad' | 'quiet' | 'note';

export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return <div class="empty"><p class="empty-title">{title}</p>{children !== undefined && <p>{children}</p>}</div>;
}

export function Failed({ failure, retry }: { failure: ApiFailure; retry?: () => void }) {
  return (
    <div class="failed" role="alert">
      <p>{failure.message}</p>
      {failure.status > 0 && <p class="code">{failure.status} {failure.code}</p>}
      {retry !== undefined && <button type="button" class="button" onClick={retry}>Try again</button>}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return <div class="loading" role="status"><span class="spinner" aria-hidden="true" />{what}…</div>;
}

/** What stands under a list in pages: its end, the next page, or why there is none. */
export function ListFoot<Row>({ pages, none, hint }: { pages: Pages<Row>; none: string; hint?: ComponentChildren }) {
  if (pages.failure !== undefined) return <Failed failure={pages.failure} retry={pages.rows.length > 0 ? pages.more : pages.reload} />;
  if (pages.isLoading) return <Loading what="Loading" />;
  if (pages.hasMore) return <div class="list-foot"><button type="button" class="button" onClick={pages.more}>Show more</button></div>;
  if (pages.rows.length === 0) return <Empty title={none}>{hint}</Empty>;
  return null;
}

/** A table that scrolls by itself where its page is narrow. */
export function Table({ label, head, children }: { label: string; head: readonly (string | [string, 'number'])[]; children: ComponentChildren }) {
  return (
    <div class="table" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>{head.map((cell) => (typeof cell === 'string' ? <th scope="col" key={cell}>{cell}</th> : <th scope="col" class="number" key={cell[0]}>{cell[0]}</th>))}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

interface ConfirmProps {
  readonly title: string;
  /** What is typed to confirm. */
  readonly name: string;
  readonly action: string;
  readonly children: ComponentChildren;
  readonly onClose: () => void;
  readonly onConfirm: () => Promise<void>;
}

/** Asks before something that cannot be undone at once: whoever goes on types the name of what it is about. */
export function Confirm({ title, name, action, children, onClose, onConfirm }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [typed, setTyped] = useState('');
  const [isBusy, setBusy] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const confirm = async (event: Event) => {
    event.preventDefault();
    if (typed !== name || isBusy) return;
    setBusy(true);
    await onConfirm();
    onClose();
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="confirm-title" onClose={onClose}>
      <form onSubmit={confirm}>
        <h2 id="confirm-title">{title}</h2>
        <div class="dialog-text">{children}</div>
        <label class="field"><span>Type <code>{name}</code> to confirm</span>
          <input value={typed} onInput={(event) => setTyped(event.currentTarget.value)} autocomplete="off" spellcheck={false} autofocus />
        </label>
        <div class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>Cancel</button>
          <button type="submit" class="button danger" disabled={typed !== name || isBusy}>{action}</button>
        </div>
      </form>
    </dialog>
  );
}

/** Names and values in pairs. */
export function Facts({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return <dl class="facts">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}
