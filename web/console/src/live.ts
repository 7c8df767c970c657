// The numbers of the overview: one stream of events for the whole page, and the history that they continue.

import { LOGIN, type Login, loggedOut, show } from './api';

export interface LiveShard {
  readonly ready: boolean;
  readonly age_ms: number;
  readonly connections: number;
  readonly connections_max: number;
  readonly sessions: number;
  readonly users: number;
  readonly groups: number;
  readonly messages_per_second: number;
  readonly turn_p50_us: number | null;
  readonly turn_p99_us: number | null;
  readonly slow_turns_per_second: number;
  readonly lane_waiting: number;
  readonly outbox_bytes: number;
  readonly log_bytes: number;
  readonly log_full: boolean;
  readonly durable_lag_bytes: number;
}

export interface Live {
  readonly at: number;
  readonly version: string;
  readonly started: number;
  readonly phase: 'starting' | 'ready' | 'stopping';
  readonly draining: boolean;
  readonly storage_full: boolean;
  readonly disk_bytes: number | null;
  readonly reserve_bytes: number;
  readonly durability: string;
  readonly event_streams: number;
  readonly event_streams_max: number;
  readonly values: Readonly<Record<string, number | null>>;
  readonly shards: readonly LiveShard[];
  readonly webhooks: readonly { name: string; phase: string; lag_ms: number; dead_letters: number }[];
}

export interface History {
  step_ms: number;
  at: number[];
  values: Record<string, (number | null)[]>;
  turns_us: (number | null)[][];
}

export type Span = '10m' | '6h';

const POINTS = { '10m': 600, '6h': 1_440 } as const;

type Link = 'connecting' | 'live' | 'lost';
type Listener = () => void;

const RETRY_MS = 1_000;
/** Without an event for so long the numbers are old. */
const SILENT_MS = 6_000;

/** The stream, from a login to its end. */
export class LiveFeed {
  link: Link = 'connecting';
  now: Live | undefined;
  readonly histories = new Map<Span, History>();
  private source: EventSource | undefined;
  private retry: number | undefined;
  private silence: number | undefined;
  private readonly listeners = new Set<Listener>();

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  start(): void {
    if (this.source === undefined) this.open();
  }

  stop(): void {
    this.source?.close();
    window.clearTimeout(this.retry);
    window.clearTimeout(this.silence);
    this.source = undefined;
    this.link = 'connecting';
  }

  /** Fetches a history unless it is there. */
  async want(span: Span): Promise<void> {
    if (this.histories.has(span)) return;
    const history = await show<History>(`/v1/overview/history?span=${span}`);
    this.histories.set(span, history);
    this.tell();
  }

  private open(): void {
    const source = new EventSource('/v1/overview/stream');
    this.source = source;
    source.addEventListener('overview', (event) => this.heard(JSON.parse((event as MessageEvent<string>).data) as Live));
    source.onerror = () => this.failed();
    this.listen();
  }

  private listen(): void {
    window.clearTimeout(this.silence);
    this.silence = window.setTimeout(() => this.failed(), SILENT_MS);
  }

  private heard(live: Live): void {
    this.listen();
    // A gap in the numbers, or another run of the server: the history is fetched again.
    const isContinued = this.link === 'live' && this.now?.started === live.started;
    if (!isContinued) this.refetch();
    this.link = 'live';
    this.now = live;
    for (const [span, history] of this.histories) extend(history, live, span);
    this.tell();
  }

  private refetch(): void {
    const spans = [...this.histories.keys()];
    this.histories.clear();
    for (const span of spans) this.want(span).catch(() => {});
  }

  private failed(): void {
    this.source?.close();
    window.clearTimeout(this.silence);
    this.link = 'lost';
    this.tell();
    window.clearTimeout(this.retry);
    this.retry = window.setTimeout(() => {
      // Whether the login is still good; if not, the page asks for another one.
      const whileStarted = (act: () => void) => this.source !== undefined && act();
      show<Login>(LOGIN).then(
        (login) => whileStarted(() => (login.role === 'none' ? loggedOut() : this.open())),
        () => whileStarted(() => this.failed()),
      );
    }, RETRY_MS);
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** Adds what was heard to a history, when its step is over. */
function extend(history: History, live: Live, span: Span): void {
  const last = history.at[history.at.length - 1] ?? 0;
  if (live.at < last + history.step_ms * 0.8) return;
  history.at.push(live.at);
  for (const [name, column] of Object.entries(history.values)) column.push(live.values[name] ?? null);
  if (span === '10m') live.shards.forEach((shard, at) => (history.turns_us[at] ??= []).push(shard.turn_p99_us));
  const excess = history.at.length - POINTS[span];
  if (excess <= 0) return;
  history.at.splice(0, excess);
  for (const column of Object.values(history.values)) column.splice(0, excess);
  for (const column of history.turns_us) column.splice(0, excess);
}
