//! What a client needs of seed 1's messages.

use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub struct WebSocketMessage {
    #[prost(int32, tag = "1")]
    pub command: i32,
    #[prost(uint32, tag = "2")]
    pub sequence: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub body: Bytes,
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthRequest {
    #[prost(string, tag = "1")]
    pub user_id: String,
    #[prost(string, tag = "2")]
    pub token: String,
    #[prost(string, tag = "3")]
    pub platform: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthResponse {
    #[prost(int32, tag = "1")]
    pub error_code: i32,
    #[prost(string, tag = "2")]
    pub error_msg: String,
    #[prost(int64, tag = "3")]
    pub max_seq: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HeartbeatRequest {
    #[prost(int64, tag = "1")]
    pub client_time: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SendMessageRequest {
    #[prost(string, tag = "1")]
    pub client_msg_id: String,
    #[prost(string, tag = "4")]
    pub receiver_id: String,
    #[prost(int32, tag = "6")]
    pub message_type: i32,
    #[prost(bytes = "bytes", tag = "7")]
    pub content: Bytes,
    #[prost(int64, tag = "8")]
    pub send_time: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SendMessageResponse {
    #[prost(int32, tag = "1")]
    pub error_code: i32,
    #[prost(string, tag = "2")]
    pub error_msg: String,
    #[prost(int64, tag = "4")]
    pub seq: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct PushMessage {
    #[prost(string, tag = "1")]
    pub message_id: String,
    #[prost(string, tag = "4")]
    pub sender_id: String,
    #[prost(int32, tag = "7")]
    pub message_type: i32,
    #[prost(bytes = "bytes", tag = "8")]
    pub content: Bytes,
    #[prost(int64, tag = "11")]
    pub seq: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MessageAck {
    #[prost(string, tag = "1")]
    pub message_id: String,
    #[prost(int64, tag = "2")]
    pub seq: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SyncRequest {
    #[prost(int64, tag = "1")]
    pub min_seq: i64,
    #[prost(int64, tag = "2")]
    pub max_seq: i64,
    #[prost(int32, tag = "3")]
    pub limit: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SyncResponse {
    #[prost(int32, tag = "1")]
    pub error_code: i32,
    #[prost(string, tag = "2")]
    pub error_msg: String,
    #[prost(message, repeated, tag = "3")]
    pub messages: Vec<PushMessage>,
    #[prost(int64, tag = "4")]
    pub server_max_seq: i64,
    #[prost(bool, tag = "5")]
    pub has_more: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct KickOutNotification {
    #[prost(int32, tag = "1")]
    pub reason: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}
