//! Both protocols of the server: requests to frames, and frames to what was heard.

pub mod binary;
mod binary_heard;
pub mod dialect;
pub mod jsonrpc;
mod jsonrpc_heard;
pub mod proto;
pub mod text;
