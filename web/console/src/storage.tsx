// Storage: the disk, and each shard's segments and checkpoints.

import { useAsked } from './ask';
import * as format from './format';
import { Badge, Facts, Failed, Loading, Panel, Table } from './ui';

interface Shard {
  readonly segments: number;
  readonly segment_bytes: number;
  readonly log_bytes: number;
  readonly durable_lag_bytes: number;
  readonly full: boolean;
  readonly checkpoints: number;
  readonly checkpoint_bytes: number;
  readonly checkpoint_age_ms: number | null;
  readonly recovery_ms: number;
  readonly recovered_records: number;
  readonly files: readonly { name: string; bytes: number; modified: number }[];
}

interface Storage {
  readonly free_bytes: number | null;
  readonly total_bytes: number | null;
  readonly reserve_bytes: number;
  readonly last_backup: number | null;
  readonly shards: readonly Shard[];
}

const kindOf = (name: string) => (name.endsWith('.log') ? 'segment' : name.endsWith('.checkpoint') ? 'checkpoint' : 'other');

export function Storage() {
  const { data, failure, reload } = useAsked<Storage>('/v1/storage');
  if (failure !== undefined) return <Panel title="Storage"><Failed failure={failure} retry={reload} /></Panel>;
  if (data === undefined) return <Loading what="Loading" />;
  return (
    <>
      <Panel title="Disk" tools={<button type="button" class="button small" onClick={reload}>Refresh</button>}>
        <Facts facts={[
          ['Free', `${format.bytes(data.free_bytes)} of ${format.bytes(data.total_bytes)}`],
          ['Reserved for checkpoints', format.bytes(data.reserve_bytes)],
          ['Logs', format.bytes(data.shards.reduce((sum, shard) => sum + shard.log_bytes, 0))],
          ['Last backup', data.last_backup === null ? 'never' : format.moment(data.last_backup)],
        ]} />
      </Panel>
      {data.shards.map((shard, at) => <Log key={at} shard={shard} at={at} />)}
    </>
  );
}

function Log({ shard, at }: { shard: Shard; at: number }) {
  return (
    <Panel title={`Shard ${at}`} tools={shard.full && <Badge tone="bad">no room for the next segment</Badge>}>
      <Facts facts={[
        ['Segments', `${format.whole(shard.segments)} of ${format.bytes(shard.segment_bytes)}`],
        ['Not durable yet', format.bytes(shard.durable_lag_bytes)],
        ['Checkpoints of this run', format.whole(shard.checkpoints)],
        ['Last checkpoint', shard.checkpoint_age_ms === null ? 'none in this run' : `${format.span(shard.checkpoint_age_ms)} ago, ${format.bytes(shard.checkpoint_bytes)}`],
        ['Opened in', `${format.millis(shard.recovery_ms)}, ${format.whole(shard.recovered_records)} records read`],
      ]} />
      <Table label={`Files of shard ${at}`} head={['File', 'Kind', ['Bytes', 'number'], 'Written']}>
        {shard.files.map((file) => (
          <tr key={file.name}>
            <th scope="row" class="mono">{file.name}</th>
            <td>{kindOf(file.name)}</td>
            <td class="number">{format.whole(file.bytes)}</td>
            <td class="mono">{format.moment(file.modified)}</td>
          </tr>
        ))}
      </Table>
    </Panel>
  );
}
