// Requests as state: what is on its way, what came, what failed; and lists that come in pages.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { type ApiFailure, show } from './api';

export interface Asked<T> {
  readonly data: T | undefined;
  readonly failure: ApiFailure | undefined;
  readonly isLoading: boolean;
  readonly reload: () => void;
}

/** Asks when the address changes, and when `reload` is called; `undefined` asks nothing. */
export function useAsked<T>(address: string | undefined): Asked<T> {
  const [state, setState] = useState<{ of?: string; data?: T; failure?: ApiFailure; isLoading: boolean }>({ isLoading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (address === undefined) return setState({ isLoading: false });
    let isWanted = true;
    setState((before) => ({ of: address, data: before.of === address ? before.data : undefined, isLoading: true }));
    show<T>(address).then(
      (data) => isWanted && setState({ of: address, data, isLoading: false }),
      (failure: ApiFailure) => isWanted && setState({ of: address, failure, isLoading: false }),
    );
    return () => {
      isWanted = false;
    };
  }, [address, round]);
  const reload = useCallback(() => setRound((at) => at + 1), []);
  const isOld = state.of !== address;
  return { data: isOld ? undefined : state.data, failure: isOld ? undefined : state.failure, isLoading: isOld || state.isLoading, reload };
}

export interface Pages<Row> {
  readonly rows: readonly Row[];
  readonly hasMore: boolean;
  readonly isLoading: boolean;
  readonly failure: ApiFailure | undefined;
  readonly more: () => void;
  readonly reload: () => void;
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly next: string | number | undefined;
}

/** A list that comes in pages; `key` names the list, and another key begins another one. */
export function usePages<Row>(key: string, fetch: (after: string | number | undefined) => Promise<Page<Row>>): Pages<Row> {
  const [rows, setRows] = useState<readonly Row[]>([]);
  const [next, setNext] = useState<string | number | undefined>();
  const [isLoading, setLoading] = useState(true);
  const [failure, setFailure] = useState<ApiFailure>();
  const current = useRef(0);
  const load = (after: string | number | undefined, before: readonly Row[]) => {
    current.current += 1;
    const round = current.current;
    setLoading(true);
    setFailure(undefined);
    fetch(after).then(
      (page) => {
        if (current.current !== round) return;
        setRows([...before, ...page.rows]);
        setNext(page.next ?? undefined);
        setLoading(false);
      },
      (why: ApiFailure) => {
        if (current.current !== round) return;
        setFailure(why);
        setLoading(false);
      },
    );
  };
  useEffect(() => {
    setRows([]);
    setNext(undefined);
    load(undefined, []);
    return () => {
      current.current += 1;
    };
  }, [key]);
  return { rows, hasMore: next !== undefined, isLoading, failure, more: () => load(next, rows), reload: () => load(undefined, []) };
}
