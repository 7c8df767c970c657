//! Every bound that a client can run into, with PROTOCOL.md's defaults. The configuration fills it; nothing else does.

/// Limits of one connection, session or user. Times in milliseconds, sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From accept to the end of the WebSocket handshake.
    pub handshake_ms: u64,
    /// From the end of the handshake to authentication, binary protocol.
    pub auth_binary_ms: u64,
    /// From the end of the handshake to authentication, JSON-RPC.
    pub auth_json_rpc_ms: u64,
    /// Without any inbound frame, binary protocol.
    pub idle_binary_ms: u64,
    /// Without any inbound frame, JSON-RPC.
    pub idle_json_rpc_ms: u64,
    /// After a token has expired on a live session.
    pub token_grace_ms: u64,
    /// How long a closed connection may take to read its goodbye.
    pub linger_ms: u64,
    pub handshake_bytes_max: usize,
    /// A WebSocket message, all its fragments together.
    pub frame_bytes_max: usize,
    /// The same before authentication: it holds a token and little else.
    pub login_frame_bytes_max: usize,
    pub content_bytes_max: usize,
    pub extra_bytes_max: usize,
    pub token_bytes_max: usize,
    /// JSON-RPC parse errors in a row.
    pub bad_requests_max: u32,
    /// Bytes queued for one session: half for what it is pushed, half for what it is answered. Of each the last may pass
    /// its half by what one entry takes.
    pub outbox_bytes_max: usize,
    pub sessions_per_user_max: usize,
    /// Token bucket per user.
    pub sends_per_second: u32,
    pub sends_burst: u32,
    /// So many bytes of a message, and so many members of its group, count as one message more.
    pub send_unit_bytes: usize,
    pub send_unit_members: usize,
    /// What one user may send, have written to the log, and begin with strangers in a day; 0: as much as follows from
    /// `sends_per_second`.
    pub sends_per_day: u64,
    pub written_bytes_per_day: u64,
    pub new_conversations_per_day: u64,
    /// Token bucket per user for what only reads: syncs, history, conversations, presence.
    pub queries_per_second: u32,
    pub queries_burst: u32,
    pub sync_entries_default: u32,
    pub sync_entries_max: u32,
    /// Bytes of entries in one answer, as they are written; at least one entry is always given.
    pub sync_bytes_max: usize,
    pub dedupe_window_ms: u64,
    /// For how long an author may take a message back.
    pub revoke_window_ms: u64,
    /// Members of a group that are told who types.
    pub typing_members_max: usize,
    /// Unacknowledged entries that a session is pushed when it opens.
    pub backlog_max: u64,
    /// Conversations that one user calls by names of its own.
    pub conversation_names_max: usize,
    /// Streams of one user that have not ended.
    pub open_streams_max: usize,
    /// A stream without a chunk for so long is ended.
    pub stream_idle_ms: u64,
    /// Users whose comings and goings one session is told of.
    pub subscriptions_max: usize,
    /// Sessions of one shard that are told of one user's.
    pub subscribers_max: usize,
    /// Members of one shard that get a group's message at once; the others follow, from turn to turn.
    pub fanned_at_once_max: usize,
    /// Members that get a group's message in a turn that goes on with it.
    pub fanned_a_turn_max: usize,
    /// Messages of all groups of one shard on their way to members on one shard, and their bytes; with more, none is taken.
    pub fanned_messages_max: usize,
    pub fanned_bytes_max: usize,
    /// Messages of one group on their way to its members on one shard.
    pub group_messages_max: usize,
    /// The same, each counted as often as it has members to come to; one message is always taken.
    pub group_links_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_ms: 5_000,
            auth_binary_ms: 10_000,
            auth_json_rpc_ms: 2_000,
            idle_binary_ms: 90_000,
            idle_json_rpc_ms: 180_000,
            token_grace_ms: 60_000,
            linger_ms: 2_000,
            handshake_bytes_max: 16 << 10,
            frame_bytes_max: 256 << 10,
            login_frame_bytes_max: 8 << 10,
            content_bytes_max: 64 << 10,
            extra_bytes_max: 8 << 10,
            token_bytes_max: 4 << 10,
            bad_requests_max: 16,
            outbox_bytes_max: 256 << 10,
            sessions_per_user_max: 16,
            sends_per_second: 100,
            sends_burst: 200,
            send_unit_bytes: 8 << 10,
            send_unit_members: 1_000,
            sends_per_day: 0,
            written_bytes_per_day: 0,
            new_conversations_per_day: 0,
            queries_per_second: 50,
            queries_burst: 100,
            sync_entries_default: 100,
            sync_entries_max: 1_000,
            sync_bytes_max: 128 << 10,
            dedupe_window_ms: 24 * 3_600 * 1_000,
            revoke_window_ms: 24 * 3_600 * 1_000,
            typing_members_max: 500,
            backlog_max: 1_000,
            conversation_names_max: 10_000,
            open_streams_max: 64,
            stream_idle_ms: 60_000,
            subscriptions_max: 200,
            subscribers_max: 10_000,
            fanned_at_once_max: 256,
            fanned_a_turn_max: 1_024,
            fanned_messages_max: 4_096,
            fanned_bytes_max: 64 << 20,
            group_messages_max: 512,
            group_links_max: 1_000_000,
        }
    }
}
