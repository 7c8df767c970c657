//! Every limit that a client can reach, with the defaults of docs/PROTOCOL.md. Only the configuration sets other
//! values.

/// Limits of one connection, session or user. `_ms` fields are milliseconds, `bytes` fields are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time from accept to the end of the WebSocket handshake.
    pub handshake_ms: u64,
    /// Time from the end of the handshake to authentication, binary protocol.
    pub auth_binary_ms: u64,
    /// Time from the end of the handshake to authentication, JSON-RPC protocol.
    pub auth_json_rpc_ms: u64,
    /// Time without any inbound frame after which a session ends, binary protocol.
    pub idle_binary_ms: u64,
    /// Time without any inbound frame after which a session ends, JSON-RPC protocol.
    pub idle_json_rpc_ms: u64,
    /// Time that a live session keeps after its token has expired.
    pub token_grace_ms: u64,
    /// Time that a closed connection has to read its close frame before the socket is closed.
    pub close_timeout_ms: u64,
    /// Bytes of the upgrade request's head.
    pub handshake_bytes_max: usize,
    /// Bytes of one WebSocket message, all its fragments together.
    pub frame_bytes_max: usize,
    /// Bytes of one WebSocket message before authentication, when a message holds a token and little else.
    pub login_frame_bytes_max: usize,
    /// Bytes of a message's content.
    pub content_bytes_max: usize,
    /// Bytes of `extra`'s keys and values, with topic, stream name and message key.
    pub extra_bytes_max: usize,
    /// Bytes of a token.
    pub token_bytes_max: usize,
    /// Malformed requests in a row after which a connection is closed.
    pub bad_requests_max: u32,
    /// Bytes queued for one session: one half for pushes, the other for replies. The last frame of each half may exceed
    /// it by the bytes of one entry.
    pub outbox_bytes_max: usize,
    /// Sessions of one user. The oldest is closed for a new one.
    pub sessions_per_user_max: usize,
    /// Refill rate of a user's token bucket of sends.
    pub sends_per_second: u32,
    /// Capacity of a user's token bucket of sends.
    pub sends_burst: u32,
    /// Bytes of content that count as one further send.
    pub send_unit_bytes: usize,
    /// Members of the group that count as one further send.
    pub send_unit_members: usize,
    /// Sends of one user in a day; 0: as many as `sends_per_second` allows.
    pub sends_per_day: u64,
    /// Bytes of log that one user's sends may cause in a day; 0: derived from `sends_per_second`.
    pub written_bytes_per_day: u64,
    /// Conversations that one user may begin in a day; 0: derived from `sends_per_second`.
    pub new_conversations_per_day: u64,
    /// Refill rate of a user's token bucket of reads: syncs, history, conversations, presence.
    pub queries_per_second: u32,
    /// Capacity of a user's token bucket of reads.
    pub queries_burst: u32,
    /// Entries of a sync's page whose request names no limit.
    pub sync_entries_default: u32,
    /// The most entries of a sync's page.
    pub sync_entries_max: u32,
    /// Encoded bytes of the entries in one reply. At least one entry is always returned.
    pub sync_bytes_max: usize,
    /// Time in which a repeated client message id gets the first reply (PROTOCOL 2.4).
    pub dedupe_window_ms: u64,
    /// Time after a send in which the author may revoke the message (PROTOCOL 2.6).
    pub revoke_window_ms: u64,
    /// Members of a group that receive its typing notices.
    pub typing_members_max: usize,
    /// Unacknowledged entries that are pushed to a session when it opens (PROTOCOL 3.14).
    pub backlog_entries_max: u64,
    /// Conversations for which one user may have names of its own (PROTOCOL 2.4).
    pub conversation_names_max: usize,
    /// Members of one group. Groups that have more already keep them.
    pub group_members_max: usize,
    /// Groups of which one user is a member. Users who are in more already stay.
    pub groups_per_user_max: usize,
    /// Requests to join one group that nobody has answered.
    pub group_requests_max: usize,
    /// Bytes of the name in a profile of a user or a group.
    pub profile_name_bytes_max: usize,
    /// Bytes of the avatar in a profile.
    pub profile_avatar_bytes_max: usize,
    /// Bytes of all keys and values in a profile's attributes.
    pub profile_attributes_bytes_max: usize,
    /// Open streams of one user.
    pub open_streams_max: usize,
    /// Time without a chunk after which the server ends a stream (PROTOCOL 3.11).
    pub stream_idle_ms: u64,
    /// Users whose presence one session may watch.
    pub presence_subscriptions_max: usize,
    /// Sessions of one shard that may watch the presence of one user.
    pub presence_subscribers_max: usize,
    /// Members on one shard that receive a group's message in the turn in which it arrives; the others follow in later
    /// turns.
    pub fan_out_members_at_once_max: usize,
    /// Members that receive group messages in each of those later turns.
    pub fan_out_members_per_turn_max: usize,
    /// Messages of all groups of one shard that are on their way to members on one shard. Beyond this limit group
    /// messages are refused.
    pub fan_out_messages_max: usize,
    /// Bytes of the messages that `fan_out_messages_max` counts.
    pub fan_out_bytes_max: usize,
    /// Messages of one group that are on their way to its members on one shard.
    pub group_fan_out_messages_max: usize,
    /// The same messages, each counted once for each member that lacks it. One message is always accepted.
    pub group_fan_out_entries_max: usize,
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
            close_timeout_ms: 2_000,
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
            backlog_entries_max: 1_000,
            conversation_names_max: 10_000,
            group_members_max: 100_000,
            groups_per_user_max: 1_000,
            group_requests_max: 1_000,
            profile_name_bytes_max: 256,
            profile_avatar_bytes_max: 1 << 10,
            profile_attributes_bytes_max: 4 << 10,
            open_streams_max: 64,
            stream_idle_ms: 60_000,
            presence_subscriptions_max: 200,
            presence_subscribers_max: 10_000,
            fan_out_members_at_once_max: 256,
            fan_out_members_per_turn_max: 1_024,
            fan_out_messages_max: 4_096,
            fan_out_bytes_max: 64 << 20,
            group_fan_out_messages_max: 512,
            group_fan_out_entries_max: 1_000_000,
        }
    }
}
