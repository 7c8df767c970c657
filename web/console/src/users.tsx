// Users: the list, one of them by name, and a new one.

import { useState } from 'preact/hooks';
import { ask, path, query, show } from './api';
import { usePages } from './ask';
import { useAct } from './act';
import { useMayWrite } from './context';
import * as format from './format';
import { Badge, ListFoot, Panel, Table } from './ui';
import { UserPage } from './user';

interface Row {
  readonly id: string;
  readonly known: boolean;
  readonly online: boolean;
  readonly newest_seq: number;
  readonly last_seen: number;
}

export const linkTo = (kind: 'users' | 'groups', id: string) => `#/${kind}/${encodeURIComponent(id)}`;

export function Users({ rest }: { rest: readonly string[] }) {
  return rest[0] === undefined ? <UserList /> : <UserPage key={rest[0]} id={rest[0]} tab={rest[1] ?? 'profile'} />;
}

function UserList() {
  const [wanted, setWanted] = useState('');
  const act = useAct();
  const mayWrite = useMayWrite();
  const pages = usePages<Row>('users', async (after) => {
    const page = await show<{ users: Row[]; next: string | null }>(`/v1/users${query({ limit: 100, after })}`);
    return { rows: page.users, next: page.next ?? undefined };
  });
  const id = wanted.trim();
  const rows = pages.rows.filter((row) => row.id.includes(id));
  const open = (event: Event) => {
    event.preventDefault();
    if (id !== '') location.hash = linkTo('users', id).slice(1);
  };
  const add = async () => {
    if (await act(() => ask('PUT', path`/v1/users/${id}`), `${id} is known now.`)) location.hash = linkTo('users', id).slice(1);
  };
  return (
    <>
      <form class="bar" onSubmit={open} role="search">
        <input class="search" type="search" placeholder="Id of a user" aria-label="Id of a user" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
        <button type="submit" class="button" disabled={id === ''}>Open</button>
        {mayWrite && <button type="button" class="button" disabled={id === ''} onClick={add}>Add as known user</button>}
      </form>
      <Panel title="All users" tools={<span class="quiet">{rows.length} shown{pages.hasMore ? ', more follow' : ''}</span>}>
        {rows.length > 0 && (
          <Table label="Users" head={['User', 'State', ['Newest entry', 'number'], 'Last seen']}>
            {rows.map((row) => (
              <tr key={row.id}>
                <th scope="row"><a href={linkTo('users', row.id)}>{row.id}</a></th>
                <td>{row.online ? <Badge tone="good">online</Badge> : <Badge tone="quiet">{row.known ? 'offline' : 'never here'}</Badge>}</td>
                <td class="number">{format.whole(row.newest_seq)}</td>
                <td class="mono">{row.online ? 'now' : format.moment(row.last_seen)}</td>
              </tr>
            ))}
          </Table>
        )}
        <ListFoot pages={pages} none="There are no users yet." hint="A user is listed once it has logged in, has a message, or is added." />
        {rows.length === 0 && pages.rows.length > 0 && !pages.isLoading && <p class="empty">No loaded user has “{id}” in its id. Open it by its whole id.</p>}
      </Panel>
    </>
  );
}
