// One person: who it is, how its connection does, its conversations and the one that is open.

import type { Status } from 'mushan-client';
import { targetOf } from 'mushan-client';
import { useEffect, useState } from 'preact/hooks';
import type { Demo } from './main';
import type { Conversation } from './model';
import { nameOf } from './model';
import { Groups } from './groups';
import { PlugIcon } from './icons';
import type { Person } from './person';
import { Thread } from './thread';
import { usePerson } from './use_person';

interface PaneProps {
  person: Person;
  demo: Demo;
  /** People whom another pane shows. */
  taken: readonly string[];
  change: (seat: { user: string; protocol: 'binary' | 'jsonrpc' }) => void;
}

export const hueOf = (name: string, people: readonly string[]): string => `hue-${Math.max(0, people.indexOf(name)) % 4}`;

export function Pane({ person, demo, taken, change }: PaneProps) {
  usePerson(person);
  const [isListShown, showList] = useState(false);
  const [isGroupsShown, showGroups] = useState(false);
  const users = demo.people.map((it) => it.user);
  const { user, protocol } = person;
  const open = (key: string) => {
    person.select(key);
    showList(false);
    showGroups(false);
  };
  const openGroups = () => {
    showGroups(true);
    showList(false);
  };
  return (
    <section class={`pane ${hueOf(user, users)} ${isListShown ? 'list-shown' : ''}`} aria-label={`${user}'s messages`}>
      <header class="pane-head">
        <Avatar name={user} hue={hueOf(user, users)} />
        <label class="who">
          <span class="unseen">Person</span>
          <select value={user} onChange={(event) => change({ user: event.currentTarget.value, protocol })}>
            {users.map((it) => <option key={it} value={it} disabled={taken.includes(it)}>{it}</option>)}
          </select>
        </label>
        <label class="protocol">
          <span class="unseen">Protocol</span>
          <select value={protocol} onChange={(event) => change({ user, protocol: event.currentTarget.value as 'binary' | 'jsonrpc' })}>
            <option value="binary">Binary</option>
            <option value="jsonrpc">JSON-RPC</option>
          </select>
        </label>
        <Connection person={person} />
      </header>
      <div class="pane-body">
        <List person={person} users={users} selected={isGroupsShown ? '' : person.selected} open={open} openGroups={openGroups} />
        {isGroupsShown
          ? <Groups person={person} open={open} back={() => showList(true)} />
          : <Thread person={person} users={users} conversation={person.conversation(targetOf(person.selected))} back={() => showList(true)} />}
      </div>
    </section>
  );
}

export function Avatar({ name, hue, online }: { name: string; hue: string; online?: boolean | undefined }) {
  return (
    <span class={`avatar ${hue}`} aria-hidden="true">
      {name.slice(0, 1).toUpperCase()}
      {online !== undefined && <i class={online ? 'dot on' : 'dot'} />}
    </span>
  );
}

/** What the connection does, in words. */
function wordsOf(status: Status, person: Person, now: number): string {
  const { progress } = person;
  switch (status.phase) {
    case 'ready':
      return 'Connected';
    case 'resync':
      return progress && progress.newest > progress.through ? `Catching up ${progress.through} of ${progress.newest}` : 'Catching up';
    case 'connecting':
    case 'login':
      return status.attempt > 1 ? 'Reconnecting' : 'Connecting';
    case 'waiting':
      return `No connection. Again in ${Math.max(0, Math.ceil(((status.retryAt ?? now) - now) / 1000))} s`;
    case 'ended':
      return person.isCut ? 'Offline on purpose' : `Ended: ${status.reason ?? ''}`;
    case 'idle':
      return 'Starting';
  }
}

function Connection({ person }: { person: Person }) {
  const { status } = person;
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    if (status.phase !== 'waiting') return undefined;
    const timer = setInterval(() => tick(Date.now()), 250);
    return () => clearInterval(timer);
  }, [status.phase]);
  const isEnded = status.phase === 'ended';
  const unseen = person.status.phase === 'ready' ? '' : status.reason ?? '';
  return (
    <div class="connection">
      <span class={`pill ${status.phase}`} role="status" title={unseen}>{wordsOf(status, person, Math.max(now, status.at))}</span>
      {status.phase === 'waiting' && <button type="button" class="small" onClick={() => person.retryNow()}>Now</button>}
      <button type="button" class={`tool icon-only ${isEnded ? 'warn' : ''}`} aria-label={isEnded ? 'Connect again' : 'Go offline'} title={isEnded ? 'Connect again' : 'Go offline'} onClick={() => (isEnded ? person.comeBack() : person.cut())}>
        <PlugIcon />
      </button>
    </div>
  );
}

function timeOf(time: number): string {
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) : date.toLocaleDateString([], { month: 'short', day: 'numeric' });
}

interface ListProps extends Omit<RowProps, 'conversation'> {
  openGroups: () => void;
}

function List({ openGroups, ...shared }: ListProps) {
  const { person } = shared;
  return (
    <nav class="list" aria-label={`${person.user}'s conversations`}>
      <ul>
        {person.sorted().map((conversation) => (
          <li key={conversation.key}>
            <Row {...shared} conversation={conversation} />
          </li>
        ))}
      </ul>
      <button type="button" class="small list-more" onClick={openGroups}>Join or make a group</button>
    </nav>
  );
}

interface RowProps {
  person: Person;
  users: readonly string[];
  conversation: Conversation;
  /** The key of what is open; empty: no conversation. */
  selected: string;
  open: (key: string) => void;
}

function Row({ person, users, conversation, selected, open }: RowProps) {
  const { key, target, last, unread, typing } = conversation;
  const name = nameOf(target);
  const isGroup = 'group' in target;
  const online = isGroup ? undefined : (person.presence.get(name)?.isOnline ?? false);
  const isTyping = [...typing.values()].some((until) => until > Date.now());
  const who = last && (last.from === person.user ? 'You: ' : isGroup ? `${last.from}: ` : '');
  return (
    <button type="button" class="row" aria-current={selected === key ? 'true' : undefined} onClick={() => open(key)}>
      <Avatar name={isGroup ? '#' : name} hue={isGroup ? 'hue-group' : hueOf(name, users)} online={online} />
      <span class="row-text">
        <span class="row-line">
          <span class="row-name">{name}{online !== undefined && <span class="unseen">{online ? ', online' : ', offline'}</span>}</span>
          {last && <time>{timeOf(last.time)}</time>}
        </span>
        <span class="row-line">
          <span class="row-last">{isTyping ? <em>typing…</em> : last ? `${who}${last.text}` : isGroup ? 'A group' : 'No messages yet'}</span>
          {unread > 0 && <span class="badge">{unread > 99 ? '99+' : unread}<span class="unseen"> unread</span></span>}
        </span>
      </span>
    </button>
  );
}
