//! `GET /v1/users/{user}/export`: everything that is a person's, as lines of JSON.
//!
//! Invariants: the last line is of kind `end` or `error`, so a copy that broke off is known as such; memory holds a page
//! and no more, however large the inbox.

use crate::admin::api::Api;
use crate::admin::base::answer::{LineStream, page};
use crate::admin::base::connections::Caller;
use crate::admin::base::error::ApiError;
use crate::admin::base::identity::Identity;
use crate::admin::base::intake::InPath;
use crate::admin::messages::reading::{ShownConversationRow, ShownEntry};
use crate::admin::people::conversation_pages::ConversationPages;
use crate::admin::people::devices::{ShownTokens, shown};
use crate::admin::people::sessions::shown_session;
use crate::admin::people::users::{is_nobody, shown_user};
use crate::model::{Answer, Order, Refusal, Reply, Seq, Sync, SyncDirection, UserId};
use crate::server::event::profile::ShownProfile;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json as value};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Entries of one order.
const ENTRIES_A_PAGE: u32 = 200;
/// Pages that wait for the client.
const PAGES_MAX: usize = 2;

/// Where an export writes its lines.
struct ExportLines {
    pages: mpsc::Sender<Bytes>,
    text: String,
}

#[derive(Serialize)]
struct ExportLine<'a, T> {
    kind: &'a str,
    #[serde(flatten)]
    what: T,
}

/// One line of an export, as it is read.
#[derive(JsonSchema)]
#[schemars(rename = "ExportLine")]
pub struct AnyExportLine {
    #[expect(dead_code, reason = "stands for the schema of lines of all kinds")]
    #[schemars(extend("enum" = ["user", "profile", "session", "device", "conversation", "entry", "end", "error"]))]
    kind: String,
}

/// The client has gone.
struct Gone;

pub async fn export(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(identity): Extension<Identity>,
    InPath(user): InPath<UserId>,
) -> Result<LineStream<AnyExportLine>, ApiError> {
    let Answer::User(state) = api.orders.ask(Order::ShowUser { user: user.clone() }).await? else {
        return Err(ApiError::Internal);
    };
    if is_nobody(&state) {
        return Err(ApiError::Refused(Refusal::UserNotExist.into()));
    }
    let place = api.streams.clone().try_acquire_owned().map_err(|_taken| ApiError::TooManyStreams)?;
    caller.has_begun_a_stream();
    let (pages, lines) = mpsc::channel(PAGES_MAX);
    let mut out = ExportLines { pages, text: String::new() };
    out.add("user", shown_user(&api, &state).await);
    let tokens = ShownTokens::all_that(&identity);
    tokio::spawn(async move {
        let _place = place;
        let ended = write_everything(&api, (&user, tokens), &mut out).await;
        let _gone = match ended {
            Ok(entries) => out.end(value!({"kind": "end", "entries": entries})).await,
            Err(Some(error)) => {
                out.end(value!({"kind": "error", "code": error.code(), "message": error.to_string()})).await
            }
            Err(None) => Err(Gone),
        };
    });
    Ok(LineStream::new(lines))
}

/// `Err(None)`: the client has gone. Returns the number of entries.
async fn write_everything(
    api: &Api,
    (user, tokens): (&UserId, ShownTokens),
    out: &mut ExportLines,
) -> Result<u64, Option<ApiError>> {
    let Answer::Profile(profile) = api.orders.ask(Order::ShowProfile { user: user.clone() }).await? else {
        return Err(Some(ApiError::Internal));
    };
    if !profile.is_empty() {
        out.add("profile", ShownProfile::from(&*profile));
    }
    let Answer::Sessions(sessions) = api.orders.ask(Order::ShowSessions { user: user.clone() }).await? else {
        return Err(Some(ApiError::Internal));
    };
    sessions.iter().for_each(|session| out.add("session", shown_session(session)));
    let Answer::Devices { devices, .. } = api.orders.ask(Order::ShowDevices { user: user.clone() }).await? else {
        return Err(Some(ApiError::Internal));
    };
    devices.iter().for_each(|device| out.add("device", shown(device, tokens)));
    write_conversations(api, user, out).await?;
    write_entries(api, user, out).await
}

async fn write_conversations(api: &Api, user: &UserId, out: &mut ExportLines) -> Result<(), Option<ApiError>> {
    let mut pages = ConversationPages::new(&api.orders, user);
    while let Some(rows) = pages.next().await? {
        rows.iter().for_each(|row| out.add("conversation", ShownConversationRow::of(row, user)));
        out.send().await.map_err(|Gone| None)?;
    }
    Ok(())
}

async fn write_entries(api: &Api, user: &UserId, out: &mut ExportLines) -> Result<u64, Option<ApiError>> {
    let (mut after, mut entries_written) = (Seq(0), 0);
    loop {
        let sync = Sync { direction: SyncDirection::After(after), limit: ENTRIES_A_PAGE };
        let order = Order::ShowInbox { user: user.clone(), sync };
        let answer = match api.orders.ask(order).await {
            // A user whom only an account or a profile is known of has no inbox.
            Err(ApiError::Refused(refused)) if refused.refusal == Refusal::UserNotExist => return Ok(entries_written),
            answer => answer?,
        };
        let Reply::Synced { entries, has_more, .. } = page(answer)? else { return Err(Some(ApiError::Internal)) };
        entries.iter().for_each(|entry| out.add("entry", ShownEntry::of_inbox(entry, user)));
        entries_written += entries.len() as u64;
        out.send().await.map_err(|Gone| None)?;
        match entries.last() {
            Some(last) if has_more => after = last.seq,
            _ => return Ok(entries_written),
        }
    }
}

impl ExportLines {
    fn add(&mut self, kind: &str, what: impl Serialize) {
        let line = serde_json::to_string(&ExportLine { kind, what }).expect("keys are texts, and numbers are finite");
        self.text.push_str(&line);
        self.text.push('\n');
    }

    async fn send(&mut self) -> Result<(), Gone> {
        let page = Bytes::from(std::mem::take(&mut self.text));
        self.pages.send(page).await.map_err(|_closed| Gone)
    }

    async fn end(&mut self, last: Value) -> Result<(), Gone> {
        self.text.push_str(&last.to_string());
        self.text.push('\n');
        self.send().await
    }
}
