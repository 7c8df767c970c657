// Sessions of everybody: found by the user's id, the slow ones by what waits for them.

import { useState } from 'preact/hooks';
import { ask, path, query, show } from './api';
import { DangerButton } from './act';
import { usePages } from './ask';
import * as format from './format';
import { Badge, ListFoot, Panel, Table } from './ui';
import { linkTo } from './users';

interface Row {
  readonly user: string;
  readonly id: string;
  readonly device: string;
  readonly protocol: string;
  readonly address: string;
  readonly since: number;
  readonly queued_bytes: number;
}

/** A session for which so much waits takes less than it is sent. */
const SLOW_BYTES = 16_384;

export function Sessions() {
  const [typed, setTyped] = useState('');
  const [wanted, setWanted] = useState('');
  const [isSlow, setSlow] = useState(false);
  const filter = { user: wanted, queued_bytes_min: isSlow ? SLOW_BYTES : undefined };
  const pages = usePages<Row>(query(filter), async (after) => {
    const page = await show<{ sessions: Row[]; next: string | null }>(`/v1/sessions${query({ ...filter, limit: 100, after })}`);
    return { rows: page.sessions, next: page.next ?? undefined };
  });
  const search = (event: Event) => {
    event.preventDefault();
    setWanted(typed.trim());
  };
  return (
    <>
      <form class="bar" onSubmit={search} role="search">
        <input class="search" type="search" placeholder="Part of a user's id" aria-label="Part of a user's id" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        <button type="submit" class="button">Search</button>
        <label class="check"><input type="checkbox" checked={isSlow} onChange={(event) => setSlow(event.currentTarget.checked)} />Slow only, {format.bytes(SLOW_BYTES)} or more queued</label>
      </form>
      <Panel title="Open sessions" tools={<><span class="quiet">{pages.rows.length} shown{pages.hasMore ? ', more may follow' : ''}</span><button type="button" class="button small" onClick={pages.reload}>Refresh</button></>}>
        {pages.rows.length > 0 && (
          <Table label="Sessions" head={['User', 'Device', 'Protocol', 'Address', 'Since', ['Queued', 'number'], '']}>
            {pages.rows.map((row) => (
              <tr key={row.id}>
                <th scope="row"><a href={linkTo('users', row.user)}>{row.user}</a></th>
                <td>{row.device || '–'}</td>
                <td>{row.protocol}</td>
                <td class="mono">{row.address}</td>
                <td class="mono">{format.moment(row.since)}</td>
                <td class="number">{row.queued_bytes >= SLOW_BYTES ? <Badge tone="warn">{format.bytes(row.queued_bytes)}</Badge> : format.bytes(row.queued_bytes)}</td>
                <td class="actions">
                  <DangerButton small label="Kick" says={`Kick ${row.user}`} name={row.user} title={`End a session of ${row.user}?`} act={() => ask('DELETE', path`/v1/users/${row.user}/sessions/${row.id}`)} done={`The session of ${row.user} has ended.`} then={pages.reload}>
                    <p>The connection {row.address} is closed with code 4009. The device may log in again.</p>
                  </DangerButton>
                </td>
              </tr>
            ))}
          </Table>
        )}
        <ListFoot pages={pages} none={isSlow ? 'No session is slow.' : wanted === '' ? 'Nobody is here.' : `No session of a user with “${wanted}” in its id.`} />
      </Panel>
    </>
  );
}
