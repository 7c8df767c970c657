// Groups: the list, a new one, and one of them with its members and its history.

import { useState } from 'preact/hooks';
import { ask, path, query, show } from './api';
import { ActionButton, DangerButton, useAct } from './act';
import { type Asked, useAsked, usePages } from './ask';
import { useMayWrite } from './context';
import * as format from './format';
import { Messages } from './messages';
import { Badge, Failed, Facts, ListFoot, Loading, Panel, Table } from './ui';

interface Row {
  readonly id: string;
  readonly owner: string;
  readonly created: number;
  readonly member_count: number;
}

export function Groups({ rest }: { rest: readonly string[] }) {
  return rest[0] === undefined ? <GroupList /> : <GroupPage key={rest[0]} id={rest[0]} />;
}

const names = (text: string) => text.split(/[\s,]+/).filter((name) => name !== '');

function GroupList() {
  const mayWrite = useMayWrite();
  const [wanted, setWanted] = useState('');
  const pages = usePages<Row>('groups', async (after) => {
    const page = await show<{ groups: Row[]; next: string | null }>(`/v1/groups${query({ limit: 100, after })}`);
    return { rows: page.groups, next: page.next ?? undefined };
  });
  const id = wanted.trim();
  const rows = pages.rows.filter((row) => row.id.includes(id) || row.owner.includes(id));
  const open = (event: Event) => {
    event.preventDefault();
    if (id !== '') location.hash = `/groups/${encodeURIComponent(id)}`;
  };
  return (
    <>
      <form class="bar" onSubmit={open} role="search">
        <input class="search" type="search" placeholder="Id of a group" aria-label="Id of a group" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
        <button type="submit" class="button" disabled={id === ''}>Open</button>
      </form>
      {mayWrite && <NewGroup />}
      <Panel title="All groups" tools={<span class="quiet">{rows.length} shown{pages.hasMore ? ', more follow' : ''}</span>}>
        {rows.length > 0 && (
          <Table label="Groups" head={['Group', 'Owner', ['Members', 'number'], 'Created']}>
            {rows.map((row) => (
              <tr key={row.id}>
                <th scope="row"><a href={`#/groups/${encodeURIComponent(row.id)}`}>{row.id}</a></th>
                <td><a href={`#/users/${encodeURIComponent(row.owner)}`}>{row.owner}</a></td>
                <td class="number">{format.whole(row.member_count)}</td>
                <td class="mono">{format.moment(row.created)}</td>
              </tr>
            ))}
          </Table>
        )}
        <ListFoot pages={pages} none="There are no groups yet." />
        {rows.length === 0 && pages.rows.length > 0 && !pages.isLoading && <p class="empty">No loaded group matches “{id}”. Open it by its whole id.</p>}
      </Panel>
    </>
  );
}

function NewGroup() {
  const [id, setId] = useState('');
  const [owner, setOwner] = useState('');
  const [members, setMembers] = useState('');
  const act = useAct();
  const isWhole = id.trim() !== '' && owner.trim() !== '';
  const create = async (event: Event) => {
    event.preventDefault();
    const body = { id: id.trim(), owner: owner.trim(), members: names(members) };
    if (await act(() => ask('POST', '/v1/groups', body), `The group ${body.id} is made.`)) location.hash = `/groups/${encodeURIComponent(body.id)}`;
  };
  return (
    <Panel title="New group">
      <form class="form" onSubmit={create}>
        <label class="field"><span>Id</span><input value={id} onInput={(event) => setId(event.currentTarget.value)} autocomplete="off" /></label>
        <label class="field"><span>Owner</span><input value={owner} onInput={(event) => setOwner(event.currentTarget.value)} autocomplete="off" /></label>
        <label class="field"><span>Members, separated by spaces</span><input value={members} onInput={(event) => setMembers(event.currentTarget.value)} autocomplete="off" /></label>
        <button type="submit" class="button primary" disabled={!isWhole}>Create</button>
      </form>
    </Panel>
  );
}

interface Member {
  readonly user: string;
  readonly role: 'member' | 'admin' | 'owner';
  readonly muted_until: number;
}

interface Group {
  readonly id: string;
  readonly owner: string;
  readonly created: number;
  readonly name: string;
  readonly join: string;
  readonly member_count: number;
  readonly newest_seq: number;
  readonly members: readonly Member[];
  readonly next: string | null;
}

function GroupPage({ id }: { id: string }) {
  const [round, setRound] = useState(0);
  const group = useAsked<Group>(path`/v1/groups/${id}` + '?limit=1');
  const after = () => {
    group.reload();
    setRound(round + 1);
  };
  return (
    <>
      <p><a href="#/groups">All groups</a></p>
      <GroupFacts id={id} group={group} after={after} />
      {group.data !== undefined && <Members key={round} id={id} after={after} />}
      {(group.data !== undefined || group.failure?.status === 404) && (
        <Panel title="History" tools={<span class="quiet">All of it. This look stands in the audit trail.</span>}>
          <Messages label={`History of ${id}`} address={path`/v1/groups/${id}/history`} none="Nobody has written yet." />
        </Panel>
      )}
    </>
  );
}

function GroupFacts({ id, group, after }: { id: string; group: Asked<Group>; after: () => void }) {
  const { data, failure, reload } = group;
  const tools = data !== undefined && (
    <DangerButton label="Dissolve" name={id} title={`Dissolve the group ${id}?`} act={() => ask('DELETE', path`/v1/groups/${id}`)} done={`The group ${id} is dissolved.`} then={after}>
      <p>Its members are told, and nobody can write to it any more. Its history stays.</p>
    </DangerButton>
  );
  return (
    <Panel title={id} tools={tools}>
      {failure !== undefined ? <Failed failure={failure} retry={reload} /> : data === undefined ? <Loading what="Loading" /> : (
        <Facts facts={[
          ['Name', data.name || '–'],
          ['Owner', <a href={`#/users/${encodeURIComponent(data.owner)}`}>{data.owner}</a>],
          ['Members', format.whole(data.member_count)],
          ['Joining', data.join],
          ['Newest message', format.whole(data.newest_seq)],
          ['Created', format.moment(data.created)],
        ]} />
      )}
    </Panel>
  );
}

function Members({ id, after }: { id: string; after: () => void }) {
  const [added, setAdded] = useState('');
  const act = useAct();
  const mayWrite = useMayWrite();
  const pages = usePages<Member>(id, async (from) => {
    const page = await show<Group>(path`/v1/groups/${id}` + query({ limit: 100, after: from }));
    return { rows: page.members, next: page.next ?? undefined };
  });
  const change = (body: object) => ask('POST', path`/v1/groups/${id}/members`, body);
  const add = async (event: Event) => {
    event.preventDefault();
    if (await act(() => change({ add: names(added) }), 'The members are added.')) after();
  };
  const setRole = async (member: Member, role: string) => {
    if (await act(() => ask('PUT', path`/v1/groups/${id}/members/${member.user}`, { role }), `${member.user} is ${role} now.`)) after();
  };
  return (
    <Panel title="Members" tools={mayWrite && (
      <form class="bar" onSubmit={add}>
        <input class="search" aria-label="Users to add, separated by spaces" placeholder="Users to add" value={added} onInput={(event) => setAdded(event.currentTarget.value)} />
        <button type="submit" class="button" disabled={names(added).length === 0}>Add</button>
      </form>
    )}>
      {pages.rows.length > 0 && (
        <Table label={`Members of ${id}`} head={['User', 'Role', 'Writing', '']}>
          {pages.rows.map((member) => (
            <tr key={member.user}>
              <th scope="row"><a href={`#/users/${encodeURIComponent(member.user)}`}>{member.user}</a></th>
              <td>
                {!mayWrite ? member.role : <select aria-label={`Role of ${member.user}`} value={member.role} disabled={member.role === 'owner'} onChange={(event) => setRole(member, event.currentTarget.value)}>
                  {['member', 'admin', 'owner'].map((role) => <option key={role} value={role}>{role}</option>)}
                </select>}
              </td>
              <td>{member.muted_until > Date.now() ? <Badge tone="warn">muted until {format.moment(member.muted_until)}</Badge> : 'allowed'}</td>
              <td class="actions">
                {member.role !== 'owner' && <ActionButton small label="Remove" says={`Remove ${member.user}`} act={() => change({ remove: [member.user] })} done={`${member.user} is no member any more.`} then={after} />}
              </td>
            </tr>
          ))}
        </Table>
      )}
      <ListFoot pages={pages} none="Nobody." />
    </Panel>
  );
}
