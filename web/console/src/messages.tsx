// Messages as support reads them: inboxes and histories, in pages, the newest first.

import { show } from './api';
import { usePages } from './ask';
import * as format from './format';
import { Badge, ListFoot, Table } from './ui';

interface ConversationOf {
  readonly user?: string;
  readonly group?: string;
}

export interface Entry {
  readonly seq?: number;
  readonly conversation?: ConversationOf;
  readonly conversation_seq?: number;
  readonly server_time: number;
  readonly from?: string;
  readonly payload?: unknown;
  readonly content?: string;
  readonly revoked?: boolean;
  readonly stream?: { name: string; number: number };
  /** Of a fact: what happened beside messages. */
  readonly event?: string;
  readonly by?: string;
  readonly member?: string;
  readonly members?: readonly string[];
}

export function nameOf(conversation: ConversationOf): string {
  return conversation.group !== undefined ? `group ${conversation.group}` : (conversation.user ?? '');
}

const SHOWN_CHARACTERS = 400;
/** Bytes that are no text are shown as such. */
const NOT_TEXT = /[\u0000-\u0008\u000e-\u001f\ufffd]/;

function textOf(entry: Entry): string {
  const { payload, content } = entry;
  if (payload !== undefined && payload !== null) {
    const text = (payload as { content?: unknown }).content;
    return typeof text === 'string' ? text : JSON.stringify(payload);
  }
  if (content === undefined) return '';
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const text = new TextDecoder().decode(bytes);
  return NOT_TEXT.test(text) ? format.bytes(bytes.length) : text;
}

function What({ entry }: { entry: Entry }) {
  if (entry.event !== undefined) {
    const whom = entry.member ?? entry.members?.join(', ');
    return <span class="quiet">{entry.event}{whom !== undefined ? `: ${whom}` : ''}</span>;
  }
  if (entry.revoked === true) return <Badge tone="quiet">taken back</Badge>;
  const text = textOf(entry);
  return <>{text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text}</>;
}

interface MessagesProps {
  readonly label: string;
  /** Without a query; answers `entries` or `messages`, and `next`. */
  readonly address: string;
  readonly none: string;
}

export function Messages({ label, address, none }: MessagesProps) {
  const pages = usePages<Entry>(address, async (after) => {
    const page = await show<{ entries?: Entry[]; messages?: Entry[]; next: number | null }>(`${address}?limit=50&before=${after ?? 0}`);
    return { rows: [...(page.entries ?? page.messages ?? [])].reverse(), next: page.next ?? undefined };
  });
  const isInbox = pages.rows.some((entry) => entry.seq !== undefined);
  const head = [['Seq', 'number'], 'Time', ...(isInbox ? ['Conversation'] : []), 'From', 'Content'] as never;
  return (
    <>
      {pages.rows.length > 0 && (
        <Table label={label} head={head}>
          {pages.rows.map((entry) => (
            <tr key={entry.seq ?? entry.conversation_seq}>
              <td class="number mono">{entry.seq ?? entry.conversation_seq}</td>
              <td class="mono">{format.moment(entry.server_time)}</td>
              {isInbox && <td>{nameOf(entry.conversation ?? {})}</td>}
              <td>{entry.from ?? entry.by}</td>
              <td class="wrap"><What entry={entry} /></td>
            </tr>
          ))}
        </Table>
      )}
      <ListFoot pages={pages} none={none} />
    </>
  );
}
