// What is there before a conversation: joining a group by its id; and what neither protocol has a request for, which the operator does.

import { Refused } from 'mushan-client';
import { useState } from 'preact/hooks';
import { Command, Told, quoted, useAct, whyOf } from './act';
import { BackIcon } from './icons';
import type { Person } from './person';

const namesOf = (text: string): string[] => text.split(/[\s,]+/).filter((name) => name !== '');

export function Groups({ person, open, back }: { person: Person; open: (key: string) => void; back: () => void }) {
  return (
    <div class="thread">
      <header class="thread-head">
        <button type="button" class="tool icon-only back" onClick={back} aria-label="All conversations"><BackIcon /></button>
        <div class="thread-name"><h2>Groups</h2><p>Join one, or have one made</p></div>
      </header>
      <div class="groups">
        <Join person={person} open={open} />
        <Make person={person} />
      </div>
    </div>
  );
}

function Join({ person, open }: { person: Person; open: (key: string) => void }) {
  const [id, setId] = useState('');
  const act = useAct();
  const group = id.trim();
  const join = async (event: Event) => {
    event.preventDefault();
    let isIn = false;
    const asked = await act.run(async () => {
      await person.ask({ kind: 'joinGroup', group });
      isIn = await isMember(person, group);
    }, `${group} lets in on request. You have asked, and the answer comes into your inbox.`);
    if (asked && isIn) open(`group:${group}`);
  };
  return (
    <form class="groups-part" onSubmit={(event) => void join(event)}>
      <h3>Join a group</h3>
      <p class="hint">An open group lets you in at once. One that is joined on request tells its owner and admins.</p>
      <div class="group-row">
        <input aria-label="Id of the group" placeholder="Id of the group" value={id} onInput={(event) => setId(event.currentTarget.value)} autocomplete="off" spellcheck={false} />
        <button type="submit" class="small" disabled={act.isBusy || group === ''}>Join</button>
      </div>
      <Told outcome={act.outcome} />
    </form>
  );
}

/** Only members are shown a group. */
async function isMember(person: Person, group: string): Promise<boolean> {
  try {
    await person.members(group);
    return true;
  } catch (error) {
    if (error instanceof Refused && error.kind === 'denied') return false;
    throw error;
  }
}

function Make({ person }: { person: Person }) {
  const [id, setId] = useState('');
  const [members, setMembers] = useState('');
  const group = id.trim() || 'GROUP';
  const others = namesOf(members).map(quoted).join(' ');
  const command = `mushan group create ${quoted(group)} --owner ${quoted(person.user)}${others === '' ? '' : ` --members ${others}`}`;
  return (
    <section class="groups-part" aria-label="Make a group">
      <h3>Make a group</h3>
      <p class="hint">Neither protocol has a request that makes a group: the operator does it, by this command or in the console. The group appears here by itself.</p>
      <div class="group-row">
        <input aria-label="Id of the new group" placeholder="Id" value={id} onInput={(event) => setId(event.currentTarget.value)} autocomplete="off" spellcheck={false} />
        <input aria-label="Members beside you" placeholder="Members" value={members} onInput={(event) => setMembers(event.currentTarget.value)} autocomplete="off" spellcheck={false} />
      </div>
      <Command text={command} />
    </section>
  );
}

/** Blocks are the operator's as well; whether the other side has blocked this one shows when its profile is asked for. */
export function Blocking({ person, other }: { person: Person; other: string }) {
  const [state, setState] = useState('');
  const look = async () => {
    try {
      await person.ask({ kind: 'profile', user: other });
      setState(`${other} has not blocked ${person.user}.`);
    } catch (error) {
      const isBlocked = error instanceof Refused && error.kind === 'denied';
      setState(`${whyOf(error)}${isBlocked ? `. ${other} has blocked ${person.user}.` : ''}`);
    }
  };
  return (
    <section class="group" aria-label={`Blocking ${other}`}>
      <p class="hint">Neither protocol has a request that blocks somebody: the operator does it. Then what {other} sends is refused (permission denied), and {other} does not see whether {person.user} is online.</p>
      <Command text={`mushan user block ${quoted(person.user)} ${quoted(other)}`} />
      <Command text={`mushan user unblock ${quoted(person.user)} ${quoted(other)}`} />
      <div class="group-row">
        <button type="button" class="small" onClick={() => void look()}>Has {other} blocked {person.user}?</button>
        {state !== '' && <span class="told" role="status">{state}</span>}
      </div>
    </section>
  );
}
