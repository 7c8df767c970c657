// The wire: every frame of both people, decoded.

import { useEffect, useReducer, useRef, useState } from 'preact/hooks';
import type { Person, ShownFrame } from './person';
import { useStick } from './stick';

const SHOWN_MAX = 200;
/** Names of frames that keep a connection alive. */
const HEARTBEATS = /HEARTBEAT|^ping|^pong/;

export function Wire({ people }: { people: readonly Person[] }) {
  const [, again] = useReducer((count: number) => count + 1, 0);
  const [user, setUser] = useState('');
  const [isPaused, setPaused] = useState(false);
  const [since, setSince] = useState(0);
  const kept = useRef<ShownFrame[]>([]);
  useEffect(() => {
    const ends = people.map((person) => person.subscribe(() => again(undefined as never)));
    return () => ends.forEach((end) => end());
  }, people);
  const all = people.flatMap((person) => person.frames);
  const wanted = all.filter((frame) => frame.id > since && !HEARTBEATS.test(frame.described.name));
  if (!isPaused) kept.current = wanted.sort((one, other) => one.id - other.id).slice(-SHOWN_MAX);
  const shown = kept.current.filter((frame) => frame.id > since && (user === '' || frame.user === user));
  return (
    <section class="wire" aria-label="The wire">
      <header class="wire-head">
        <h2>The wire</h2>
        <label>
          <span class="unseen">Whose frames</span>
          <select value={user} onChange={(event) => setUser(event.currentTarget.value)}>
            <option value="">everybody</option>
            {people.map((person) => <option key={person.user} value={person.user}>{person.user}</option>)}
          </select>
        </label>
        <button type="button" class="small" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>{isPaused ? 'Go on' : 'Pause'}</button>
        <button type="button" class="small" onClick={() => setSince(all.reduce((most, frame) => Math.max(most, frame.id), 0))}>Clear</button>
      </header>
      <Frames frames={shown} />
    </section>
  );
}

function Frames({ frames }: { frames: readonly ShownFrame[] }) {
  const box = useRef<HTMLDivElement>(null);
  const stick = useStick(box);
  useEffect(() => stick.grown(), [frames.at(-1)?.id]);
  return (
    <div class="frames" ref={box} onScroll={() => stick.scrolled()} tabIndex={0} role="region" aria-label="Frames">
      {frames.length === 0 && <p class="empty">Frames appear here as they pass.</p>}
      <ol>{frames.map((frame) => <FrameRow key={frame.id} frame={frame} />)}</ol>
    </div>
  );
}

function FrameRow({ frame }: { frame: ShownFrame }) {
  const [isOpen, setOpen] = useState(false);
  const { direction, described, bytes, user, protocol, at } = frame;
  const arrow = direction === 'out' ? '→' : '←';
  const brief = JSON.stringify(hidden(described.fields));
  return (
    <li class={`frame ${direction}`}>
      <button type="button" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <time>{clock(at)}</time>
        <span class="frame-who">{user}</span>
        <span class="arrow" aria-hidden="true">{arrow}</span>
        <span class="unseen">{direction === 'out' ? 'sends' : 'receives'}</span>
        <span class="frame-name">{described.name.replace(/^CMD_/, '')}</span>
        <span class="frame-brief">{brief === '{}' ? '' : brief}</span>
        <span class="frame-bytes">{bytes} B</span>
      </button>
      {isOpen && (
        <div class="frame-open">
          <pre tabIndex={0} aria-label="Decoded">{JSON.stringify(hidden(described.fields), null, 2)}</pre>
          <pre tabIndex={0} aria-label={protocol === 'binary' ? 'Bytes' : 'Text'} class="raw">{rawOf(frame)}</pre>
        </div>
      )}
    </li>
  );
}

function clock(at: number): string {
  const date = new Date(at);
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** Tokens are no sight for a screen that others see. */
function hidden(fields: unknown): unknown {
  if (fields === null || typeof fields !== 'object' || !('token' in fields)) return fields;
  return { ...fields, token: '…' };
}

const RAW_MAX = 1_024;

function rawOf({ raw, described }: ShownFrame): string {
  if (typeof raw === 'string') {
    const text = raw.length > RAW_MAX ? `${raw.slice(0, RAW_MAX)}…` : raw;
    return text.replace(/("token":")[^"]*/, '$1…');
  }
  if (/AUTH_REQ/.test(described.name)) return '(the bytes hold the token)';
  const hex = [...raw.subarray(0, RAW_MAX / 2)].map((byte) => byte.toString(16).padStart(2, '0'));
  return hex.join(' ') + (raw.length > RAW_MAX / 2 ? ' …' : '');
}
