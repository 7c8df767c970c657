// A group, beside its messages: its members, and all that the person may do in it by the protocol's own requests.

import type { GroupInfo, Member } from 'mushan-client';
import { useCallback, useEffect, useState } from 'preact/hooks';
import { type Act, Told, TwiceButton, useAct, whyOf } from './act';
import type { Conversation } from './model';
import type { Person } from './person';

interface Asker {
  readonly user: string;
  readonly time: number;
}

/** Requests to join are entries of the asker's inbox alone, so whoever answers them asks for them. */
const ASKED_EVERY_MS = 5_000;

export function GroupPanel({ person, conversation, group }: { person: Person; conversation: Conversation; group: string }) {
  const [info, setInfo] = useState<GroupInfo>();
  const [fault, setFault] = useState('');
  const act = useAct();
  const reload = useCallback(async () => {
    try {
      setInfo(await person.members(group));
      setFault('');
    } catch (error) {
      setInfo(undefined);
      setFault(whyOf(error));
    }
  }, [person, group]);
  const changes = conversation.items.filter((item) => item.kind === 'note').length;
  useEffect(() => void reload(), [reload, changes]);
  const ask = (request: Parameters<Person['ask']>[0], done: string) =>
    act.run(async () => {
      await person.ask(request);
      await reload();
    }, done);
  if (info === undefined) {
    return (
      <section class="group" aria-label={`The group ${group}`}>
        {fault !== '' && <p class="why" role="alert">{fault}</p>}
        {fault !== '' && <button type="button" class="small" disabled={act.isBusy} onClick={() => void ask({ kind: 'joinGroup', group }, `${group} was asked.`)}>Join, or ask to join</button>}
        <Told outcome={act.outcome} />
      </section>
    );
  }
  const role = info.members.find((member) => member.user === person.user)?.role ?? 'member';
  const runs = role !== 'member';
  return (
    <section class="group" aria-label={`The group ${group}`}>
      {runs && <Profile key={`${info.name} ${info.join}`} info={info} isBusy={act.isBusy} ask={ask} />}
      <ul class="members" aria-label="Members">
        {info.members.map((member) => <OneMember key={member.user} member={member} me={person.user} role={role} group={group} ask={ask} />)}
      </ul>
      {runs && <Invite person={person} info={info} act={act} ask={ask} />}
      {runs && <Requests person={person} group={group} ask={ask} />}
      <div class="group-end">
        {role !== 'owner' && <TwiceButton label="Leave" sure={`Leave ${group} now`} act={() => void ask({ kind: 'leaveGroup', group }, `You have left ${group}.`)} />}
        {role === 'owner' && <TwiceButton label="Dissolve" sure={`Dissolve ${group} now`} act={() => void ask({ kind: 'dissolveGroup', group }, `${group} is dissolved.`)} />}
        {role === 'owner' && <span class="hint">An owner makes another member the owner before leaving.</span>}
      </div>
      <Told outcome={act.outcome} />
    </section>
  );
}

type Ask = (request: Parameters<Person['ask']>[0], done: string) => Promise<boolean>;

const JOINS = [['closed', 'by invitation'], ['request', 'on request'], ['open', 'by everybody']] as const;

function Profile({ info, isBusy, ask }: { info: GroupInfo; isBusy: boolean; ask: Ask }) {
  const [name, setName] = useState(info.name);
  const { group } = info;
  const rename = (event: Event) => {
    event.preventDefault();
    void ask({ kind: 'groupProfile', group, name: name.trim() }, `${group} is called ${name.trim() || group} now.`);
  };
  return (
    <form class="group-row" onSubmit={rename}>
      <input aria-label="Name of the group" placeholder="Name" value={name} onInput={(event) => setName(event.currentTarget.value)} autocomplete="off" />
      <button type="submit" class="small" disabled={isBusy || name.trim() === info.name}>Rename</button>
      <label class="joined">Joined <select aria-label="Who joins" value={info.join} onChange={(event) => void ask({ kind: 'groupProfile', group, join: event.currentTarget.value }, `${group} is joined ${JOINS.find(([join]) => join === event.currentTarget.value)?.[1]} now.`)}>
        {JOINS.map(([join, words]) => <option key={join} value={join}>{words}</option>)}
      </select></label>
    </form>
  );
}

function OneMember({ member, me, role, group, ask }: { member: Member; me: string; role: string; group: string; ask: Ask }) {
  const { user } = member;
  const mayRemove = user !== me && (role === 'owner' || (role === 'admin' && member.role === 'member'));
  const mayRaise = role === 'owner' && user !== me;
  return (
    <li>
      <span>{user}</span>
      {mayRaise
        ? (
          <select aria-label={`Role of ${user}`} value={member.role} onChange={(event) => void ask({ kind: 'groupMember', group, user, role: event.currentTarget.value }, `${user} is ${event.currentTarget.value} now.`)}>
            {['member', 'admin', 'owner'].map((it) => <option key={it} value={it}>{it}</option>)}
          </select>
        )
        : member.role !== 'member' && <small>{member.role}</small>}
      {mayRemove && <button type="button" class="small" aria-label={`Remove ${user}`} onClick={() => void ask({ kind: 'groupMembers', group, remove: [user] }, `${user} is no member any more.`)}>Remove</button>}
    </li>
  );
}

function Invite({ person, info, act, ask }: { person: Person; info: GroupInfo; act: Act; ask: Ask }) {
  const [user, setUser] = useState('');
  const { group } = info;
  const others = person.people.filter((it) => !info.members.some((member) => member.user === it));
  const list = `others-${person.user}-${group}`;
  const invite = async (event: Event) => {
    event.preventDefault();
    const name = user.trim();
    if (await ask({ kind: 'groupMembers', group, add: [name] }, `${name} is a member now.`)) setUser('');
  };
  return (
    <form class="group-row" onSubmit={(event) => void invite(event)}>
      <input aria-label="User to add" placeholder="User to add" list={list} value={user} onInput={(event) => setUser(event.currentTarget.value)} autocomplete="off" />
      <datalist id={list}>{others.map((it) => <option key={it} value={it} />)}</datalist>
      <button type="submit" class="small" disabled={act.isBusy || user.trim() === ''}>Add</button>
    </form>
  );
}

function Requests({ person, group, ask }: { person: Person; group: string; ask: Ask }) {
  const [askers, setAskers] = useState<readonly Asker[]>([]);
  const [fault, setFault] = useState('');
  const look = useCallback(async () => {
    try {
      const { requests } = await person.ask({ kind: 'groupRequests', group });
      setAskers(requests);
      setFault('');
    } catch (error) {
      setFault(whyOf(error));
    }
  }, [person, group]);
  useEffect(() => {
    void look();
    const timer = setInterval(() => void look(), ASKED_EVERY_MS);
    return () => clearInterval(timer);
  }, [look]);
  const answer = async (user: string, said: 'approve' | 'decline') => {
    await ask({ kind: 'groupAnswer', group, user, answer: said }, said === 'approve' ? `${user} is a member now.` : `${user} is declined.`);
    await look();
  };
  return (
    <>
      {fault !== '' && <p class="why" role="alert">{fault}</p>}
      {askers.length === 0 && fault === '' && <p class="hint">Nobody waits to be let in.</p>}
      {askers.length > 0 && (
        <ul class="askers" aria-label="Requests to join">
          {askers.map(({ user }) => (
            <li key={user}>
              <span><strong>{user}</strong> asks to join</span>
              <button type="button" class="small" aria-label={`Let ${user} in`} onClick={() => void answer(user, 'approve')}>Let in</button>
              <button type="button" class="small" aria-label={`Decline ${user}`} onClick={() => void answer(user, 'decline')}>Decline</button>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
