// The audit trail: who changed what, and who read what users wrote.

import { useState } from 'preact/hooks';
import { query, show } from './api';
import { usePages } from './ask';
import * as format from './format';
import { Badge, ListFoot, Panel, Table, type Tone } from './ui';

interface Entry {
  readonly number: number;
  readonly at: number;
  readonly who: 'token' | 'console' | 'nobody';
  readonly role: string;
  readonly login: string;
  readonly address: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

const toneOf = (status: number): Tone => (status < 300 ? 'good' : status === 401 || status === 403 ? 'warn' : 'bad');

export function Audit() {
  const [lost, setLost] = useState(0);
  const pages = usePages<Entry>('audit', async (before) => {
    const page = await show<{ entries: Entry[]; next?: string | null; lost: number }>(`/v1/audit${query({ limit: 100, before })}`);
    setLost(page.lost);
    return { rows: page.entries, next: page.next ?? undefined };
  });
  const who = (entry: Entry) => {
    const role = entry.role === 'read_only' ? ', read only' : '';
    return entry.who === 'console' ? `login ${entry.login}${role}` : entry.who === 'token' ? `token${role}` : 'nobody';
  };
  return (
    <Panel title="Newest first" tools={
      <>
        {lost > 0 && <Badge tone="bad">{format.whole(lost)} entries could not be written</Badge>}
        <button type="button" class="button small" onClick={pages.reload}>Refresh</button>
      </>
    }>
      {pages.rows.length > 0 && (
        <Table label="Audit trail" head={['Time', 'What', ['Status', 'number'], 'Who', 'Address']}>
          {pages.rows.map((entry) => (
            <tr key={entry.number}>
              <td class="mono">{format.moment(entry.at)}</td>
              <td class="mono wrap">{entry.method} {readable(entry.path)}</td>
              <td class="number"><Badge tone={toneOf(entry.status)}>{entry.status}</Badge></td>
              <td>{who(entry)}</td>
              <td class="mono">{entry.address}</td>
            </tr>
          ))}
        </Table>
      )}
      <ListFoot pages={pages} none="Nobody has changed anything yet." />
    </Panel>
  );
}

function readable(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
