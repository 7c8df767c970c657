// The open conversation: its messages, as far back as one scrolls, and the field to write in.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { BackIcon, BlockIcon, PeopleIcon, RevokeIcon, Ticks } from './icons';
import { GroupPanel } from './group';
import { Blocking } from './groups';
import type { Conversation, Item, Said } from './model';
import { nameOf } from './model';
import { Composer } from './composer';
import { Avatar, hueOf } from './pane';
import type { Person } from './person';
import { useStick } from './stick';

interface ThreadProps {
  person: Person;
  users: readonly string[];
  conversation: Conversation;
  back: () => void;
}

export function Thread({ person, users, conversation, back }: ThreadProps) {
  const { target } = conversation;
  const name = nameOf(target);
  const [isAboutShown, showAbout] = useState(false);
  useEffect(() => showAbout(false), [conversation.key]);
  const isGroup = 'group' in target;
  const about = isGroup ? 'Members' : 'Block';
  return (
    <div class="thread">
      <header class="thread-head">
        <button type="button" class="tool icon-only back" onClick={back} aria-label="All conversations"><BackIcon /></button>
        <div class="thread-name">
          <h2>{name}</h2>
          <p>{stateOf(person, conversation)}</p>
        </div>
        <button type="button" class="tool icon-only" aria-label={about} title={about} aria-expanded={isAboutShown} onClick={() => showAbout(!isAboutShown)}>{isGroup ? <PeopleIcon /> : <BlockIcon />}</button>
      </header>
      {isAboutShown && (isGroup
        ? <GroupPanel key={conversation.key} person={person} conversation={conversation} group={target.group} />
        : <Blocking key={conversation.key} person={person} other={target.user} />)}
      <Messages person={person} users={users} conversation={conversation} />
      <Composer person={person} target={target} />
    </div>
  );
}

function stateOf(person: Person, conversation: Conversation): string {
  const now = Date.now();
  const typing = [...conversation.typing].filter(([, until]) => until > now).map(([user]) => user);
  if (typing.length > 0) return 'user' in conversation.target ? 'typing…' : `${typing.join(', ')} typing…`;
  if (!('user' in conversation.target)) return 'group';
  const state = person.presence.get(conversation.target.user);
  if (state?.isOnline) return 'online';
  if (!state || state.lastSeen === 0) return 'offline';
  return `last seen ${new Date(state.lastSeen).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}`;
}

/** Messages are kept at the bottom unless one has scrolled up; what is loaded above moves nothing. */
function Messages({ person, users, conversation }: Omit<ThreadProps, 'back'>) {
  const box = useRef<HTMLDivElement>(null);
  const stick = useStick(box);
  const place = useRef({ height: 0, key: '' });
  const { items, hasEarlier, isLoading, isLoaded, fault } = conversation;
  const newest = items.at(-1);
  useLayoutEffect(() => {
    const element = box.current!;
    const { height, key } = place.current;
    if (stick.isAtEnd() || key !== conversation.key) stick.toEnd();
    else if (element.scrollTop < 60 && element.scrollHeight > height) element.scrollTop += element.scrollHeight - height;
    place.current = { height: element.scrollHeight, key: conversation.key };
  }, [conversation.key, items.length, newest?.kind === 'said' ? newest.text.length : 0, items[0]?.id]);
  const scrolled = () => {
    const element = box.current!;
    stick.scrolled();
    if (element.scrollTop < 60 && hasEarlier && !isLoading) void person.loadEarlier(conversation);
  };
  return (
    <div class="messages" ref={box} onScroll={scrolled} role="log" aria-label={`Messages with ${nameOf(conversation.target)}`} tabIndex={0}>
      {hasEarlier && <button type="button" class="small earlier" disabled={isLoading} onClick={() => void person.loadEarlier(conversation)}>{isLoading ? 'Loading…' : 'Earlier messages'}</button>}
      {fault !== '' && <p class="empty why" role="alert">{fault}</p>}
      {isLoaded && items.length === 0 && fault === '' && <p class="empty">Nothing here yet. Say hello.</p>}
      {items.map((item, at) => <Line key={keyOfItem(item)} person={person} users={users} conversation={conversation} item={item} before={items[at - 1]} />)}
    </div>
  );
}

const keyOfItem = (item: Item): string => (item.kind === 'said' ? item.clientId || item.id : item.id);

interface LineProps {
  person: Person;
  users: readonly string[];
  conversation: Conversation;
  item: Item;
  before: Item | undefined;
}

const dayOf = (time: number): string => new Date(time).toLocaleDateString([], { weekday: 'long', month: 'long', day: 'numeric' });

function Line({ person, users, conversation, item, before }: LineProps) {
  const isNewDay = before !== undefined ? dayOf(before.time) !== dayOf(item.time) : true;
  const day = isNewDay && item.time > 0 && <p class="day"><span>{dayOf(item.time)}</span></p>;
  if (item.kind === 'note') return <>{day}<p class="note">{item.text}</p></>;
  const isOwn = item.from === person.user;
  const follows = !isNewDay && before?.kind === 'said' && before.from === item.from;
  const showsAuthor = !isOwn && 'group' in conversation.target && !follows;
  return (
    <>
      {day}
      <div class={`line ${isOwn ? 'own' : 'other'} ${follows ? 'follows' : ''} ${hueOf(item.from, users)}`}>
        {showsAuthor && <Avatar name={item.from} hue={hueOf(item.from, users)} />}
        <div class="bubble-box">
          {showsAuthor && <span class="author">{item.from}</span>}
          {!showsAuthor && <span class="unseen">{item.from}: </span>}
          <Bubble person={person} conversation={conversation} said={item} isOwn={isOwn} />
          {item.why && <p class="why" role="alert">{item.why}</p>}
        </div>
      </div>
    </>
  );
}

function Bubble({ person, conversation, said, isOwn }: { person: Person; conversation: Conversation; said: Said; isOwn: boolean }) {
  if (said.isRevoked) return <p class="bubble revoked">{isOwn ? 'You revoked this message' : 'This message was revoked'}</p>;
  const time = new Date(said.time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  const canRevoke = isOwn && said.id !== '' && !said.isGrowing;
  return (
    <div class="bubble-row">
      {canRevoke && <button type="button" class="tool icon-only revoke" aria-label={`Revoke: ${said.text.slice(0, 40)}`} title="Revoke" onClick={() => void person.revoke(conversation.target, said)}><RevokeIcon /></button>}
      <div class={`bubble ${said.picture ? 'with-picture' : ''}`}>
        {said.picture ? <img src={said.picture.url} width={said.picture.width} height={said.picture.height} alt={`Picture from ${said.from}`} /> : <span class="text">{said.text}{said.isGrowing && <i class="caret" />}</span>}
        <span class="meta"><time>{time}</time>{isOwn && <Ticks delivery={said.delivery} />}</span>
      </div>
    </div>
  );
}
