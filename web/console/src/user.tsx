// One user: account, profile, sessions, devices, conversations, and the inbox as support reads it.

import type { FunctionComponent } from 'preact';
import { ask, path, query, show } from './api';
import { ActionButton, DangerButton } from './act';
import { type Asked, useAsked, usePages } from './ask';
import * as format from './format';
import { type Entry, Messages, nameOf } from './messages';
import { Badge, Empty, Failed, Facts, ListFoot, Loading, Panel, Table } from './ui';

interface User {
  readonly id: string;
  readonly known: boolean;
  readonly sessions: number;
  readonly newest_seq: number;
  readonly conversations: number;
  readonly last_seen: number;
  readonly disabled: boolean;
  readonly tokens_from: number;
}

interface Profile {
  readonly name: string;
  readonly avatar: string;
  readonly attributes: Readonly<Record<string, string>>;
}

const TABS: readonly (readonly [string, string, FunctionComponent<{ id: string; reload: () => void }>])[] = [
  ['profile', 'Profile', ProfileTab],
  ['sessions', 'Sessions', SessionsTab],
  ['devices', 'Devices', DevicesTab],
  ['conversations', 'Conversations', ConversationsTab],
  ['inbox', 'Inbox', InboxTab],
];

export function UserPage({ id, tab }: { id: string; tab: string }) {
  const user = useAsked<User>(path`/v1/users/${id}`);
  const [name, , Tab] = TABS.find(([name]) => name === tab) ?? TABS[0]!;
  return (
    <>
      <p><a href="#/users">All users</a></p>
      <Account id={id} user={user} />
      {user.data !== undefined && (
        <>
          <div class="tabs" role="navigation" aria-label={`Parts of ${id}`}>
            {TABS.map(([at, title]) => <a key={at} href={`#/users/${encodeURIComponent(id)}/${at}`} aria-current={at === name ? 'page' : undefined}>{title}</a>)}
          </div>
          <Tab id={id} reload={user.reload} />
        </>
      )}
    </>
  );
}

function Account({ id, user }: { id: string; user: Asked<User> }) {
  const { data, failure, reload } = user;
  const missing = failure?.status === 404;
  return (
    <Panel title={id} tools={data !== undefined && <Actions id={id} user={data} reload={reload} />}>
      {data === undefined ? (
        missing ? <Empty title="The server knows nothing of this user."><ActionButton label="Add as known user" act={() => ask('PUT', path`/v1/users/${id}`)} done={`${id} is known now.`} then={reload} /></Empty>
          : failure !== undefined ? <Failed failure={failure} retry={reload} /> : <Loading what="Loading" />
      ) : (
        <Facts facts={[
          ['Account', data.disabled ? <Badge tone="bad">disabled</Badge> : <Badge tone="good">enabled</Badge>],
          ['Sessions', format.whole(data.sessions)],
          ['Last seen', data.sessions > 0 ? 'now' : format.moment(data.last_seen)],
          ['Conversations', format.whole(data.conversations)],
          ['Newest entry', format.whole(data.newest_seq)],
          ['Tokens valid from', data.tokens_from === 0 ? 'any time' : format.moment(data.tokens_from)],
        ]} />
      )}
    </Panel>
  );
}

function Actions({ id, user, reload }: { id: string; user: User; reload: () => void }) {
  const address = path`/v1/users/${id}`;
  // Keys: without them a question that is open could become another button's when the first button changes.
  return (
    <>
      {user.disabled
        ? <ActionButton key="enable" label="Enable" act={() => ask('DELETE', `${address}/disabled`)} done={`${id} is let in again.`} then={reload} />
        : (
          <DangerButton key="disable" label="Disable" name={id} title={`Disable ${id}?`} act={() => ask('PUT', `${address}/disabled`)} done={`${id} is disabled.`} then={reload}>
            <p>Its sessions end, and no token lets it in. Messages to it are stored for the day it is enabled again.</p>
          </DangerButton>
        )}
      <DangerButton key="revoke" label="Revoke tokens" name={id} title={`Revoke the tokens of ${id}?`} act={() => ask('POST', `${address}/tokens/revoke`)} done={`The tokens of ${id} are revoked.`} then={reload}>
        <p>Its sessions end, and every token issued until now is invalid for good.</p>
      </DangerButton>
      <DangerButton key="erase" label="Erase" name={id} title={`Erase ${id} for ever?`} act={() => ask('DELETE', address)} done={`${id} is erased.`} then={reload}>
        <p>This cannot be undone. What {id} wrote is a tombstone for everybody, the account is closed, and nobody of this id comes back.</p>
      </DangerButton>
    </>
  );
}

function ProfileTab({ id }: { id: string }) {
  const { data, failure, reload } = useAsked<Profile>(path`/v1/users/${id}/profile`);
  const attributes = Object.entries(data?.attributes ?? {});
  const isEmpty = data !== undefined && data.name === '' && data.avatar === '' && attributes.length === 0;
  return (
    <Panel title="Profile">
      {failure !== undefined ? <Failed failure={failure} retry={reload} /> : data === undefined ? <Loading what="Loading" />
        : isEmpty ? <Empty title="This user has no profile." />
          : <Facts facts={[['Name', data.name], ['Avatar', data.avatar], ...attributes]} />}
    </Panel>
  );
}

interface Session {
  readonly id: string;
  readonly device: string;
  readonly device_flag: number;
  readonly protocol: string;
  readonly address: string;
  readonly since: number;
  readonly queued_bytes: number;
}

function SessionsTab({ id, reload: reloadUser }: { id: string; reload: () => void }) {
  const address = path`/v1/users/${id}/sessions`;
  const { data, failure, reload } = useAsked<{ sessions: Session[] }>(address);
  const after = () => {
    reload();
    reloadUser();
  };
  const tools = data !== undefined && data.sessions.length > 1 && (
    <DangerButton label="Kick all" name={id} title={`End all sessions of ${id}?`} act={() => ask('DELETE', address)} done={`All sessions of ${id} have ended.`} then={after}>
      <p>Its devices may log in again.</p>
    </DangerButton>
  );
  return (
    <Panel title="Sessions" tools={tools}>
      {failure !== undefined ? <Failed failure={failure} retry={reload} /> : data === undefined ? <Loading what="Loading" />
        : data.sessions.length === 0 ? <Empty title="Nobody is here." /> : (
          <Table label={`Sessions of ${id}`} head={['Device', 'Protocol', 'Address', 'Since', ['Queued', 'number'], '']}>
            {data.sessions.map((session) => (
              <tr key={session.id}>
                <th scope="row">{session.device || '–'}</th>
                <td>{session.protocol}</td>
                <td class="mono">{session.address}</td>
                <td class="mono">{format.moment(session.since)}</td>
                <td class="number">{format.bytes(session.queued_bytes)}</td>
                <td class="actions">
                  <DangerButton small label="Kick" says={`Kick ${session.device}`} name={id} title={`End this session of ${id}?`} act={() => ask('DELETE', path`/v1/users/${id}/sessions/${session.id}`)} done="The session has ended." then={after}>
                    <p>The device {session.device} may log in again.</p>
                  </DangerButton>
                </td>
              </tr>
            ))}
          </Table>
        )}
    </Panel>
  );
}

interface Device {
  readonly id: string;
  readonly provider: string;
  readonly locale: string;
  readonly muted: boolean;
  readonly token_id: string;
}

function DevicesTab({ id }: { id: string }) {
  const { data, failure, reload } = useAsked<{ devices: Device[]; unread: number }>(path`/v1/users/${id}/devices`);
  return (
    <Panel title="Devices" tools={data !== undefined && <span class="quiet">{format.whole(data.unread)} unread</span>}>
      {failure !== undefined ? <Failed failure={failure} retry={reload} /> : data === undefined ? <Loading what="Loading" />
        : data.devices.length === 0 ? <Empty title="No push service wakes a device of this user." /> : (
          <Table label={`Devices of ${id}`} head={['Device', 'Provider', 'Locale', 'Token', '', '']}>
            {data.devices.map((device) => (
              <tr key={device.id}>
                <th scope="row">{device.id}</th>
                <td>{device.provider}</td>
                <td>{device.locale || '–'}</td>
                <td class="mono">{device.token_id}</td>
                <td>{device.muted && <Badge tone="quiet">muted</Badge>}</td>
                <td class="actions">
                  <DangerButton small label="Remove" says={`Remove ${device.id}`} name={device.id} title={`Remove the device ${device.id}?`} act={() => ask('DELETE', path`/v1/users/${id}/devices/${device.id}`)} done="The device is removed." then={reload}>
                    <p>It is woken no more until it registers again.</p>
                  </DangerButton>
                </td>
              </tr>
            ))}
          </Table>
        )}
    </Panel>
  );
}

interface Conversation {
  readonly conversation: { user?: string; group?: string };
  readonly name: string | null;
  readonly unread: number;
  readonly newest_seq: number;
  readonly read_through: number;
  readonly last: Entry | null;
}

function ConversationsTab({ id }: { id: string }) {
  const pages = usePages<Conversation>(id, async (after) => {
    const page = await show<{ conversations: Conversation[]; next: number | null }>(path`/v1/users/${id}/conversations` + query({ limit: 50, after }));
    return { rows: page.conversations, next: page.next ?? undefined };
  });
  return (
    <Panel title="Conversations">
      {pages.rows.length > 0 && (
        <Table label={`Conversations of ${id}`} head={['With', ['Unread', 'number'], ['Newest', 'number'], ['Read through', 'number'], 'Last entry']}>
          {pages.rows.map((row) => (
            <tr key={nameOf(row.conversation)}>
              <th scope="row">
                {row.conversation.group !== undefined
                  ? <a href={`#/groups/${encodeURIComponent(row.conversation.group)}`}>{nameOf(row.conversation)}</a>
                  : <a href={`#/users/${encodeURIComponent(row.conversation.user ?? '')}`}>{nameOf(row.conversation)}</a>}
              </th>
              <td class="number">{row.unread > 0 ? <Badge tone="warn">{row.unread}</Badge> : 0}</td>
              <td class="number">{format.whole(row.newest_seq)}</td>
              <td class="number">{format.whole(row.read_through)}</td>
              <td class="mono">{row.last === null ? '–' : format.moment(row.last.server_time)}</td>
            </tr>
          ))}
        </Table>
      )}
      <ListFoot pages={pages} none="This user has no conversations." />
    </Panel>
  );
}

function InboxTab({ id }: { id: string }) {
  return (
    <Panel title="Inbox" tools={<span class="quiet">As {id} is shown it. This look stands in the audit trail.</span>}>
      <Messages label={`Inbox of ${id}`} address={path`/v1/users/${id}/inbox`} none="The inbox is empty." />
    </Panel>
  );
}
