//! The table of routes: who serves what, and what the OpenAPI document says of it beside what the handlers' signatures say.

use crate::admin::base::contract::{Served, served};
use crate::admin::console::{login, trail_page};
use crate::admin::events::stream;
use crate::admin::messages::{reading, sending};
use crate::admin::overview::{history, live};
use crate::admin::people::{all_sessions, devices, erasure, export, groups, profiles, sessions, users};
use crate::admin::watch::{
    configuration, description, drain, hand_over, health, log_level, metrics, status, storage, trace,
};
use crate::admin::webhooks::handlers as webhooks;

pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub access: Access,
    pub handler: fn(&str) -> Served,
    pub id: &'static str,
    pub summary: &'static str,
    pub details: &'static str,
    /// When the request is not refused.
    pub answer: &'static str,
    /// Statuses of refusals beside those that follow from what the handler takes and answers.
    pub refusals: &'static [u16],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Token,
    Everybody,
    /// Decided by `MetricsAccess`.
    Metrics,
}

const DONE: &str = "Done, and stored to the configured durability; or it was so before. A retry gets the same answer.";

impl Route {
    /// The route that serves a request.
    pub fn of(method: &str, path: &str) -> Option<&'static Self> {
        let fits = |route: &&Self| {
            let (mut named, mut given) = (route.path.split('/'), path.split('/'));
            route.method == method
                && loop {
                    match (named.next(), given.next()) {
                        (None, None) => break true,
                        (Some(named), Some(given)) if named == given || named.starts_with('{') => {}
                        _ => break false,
                    }
                }
        };
        // A path that is named in full goes before one with a part that stands for others, as in the router.
        ROUTES.iter().filter(fits).min_by_key(|route| route.path.matches('{').count())
    }
}

/// The router serves exactly these routes beside the pages of the console, and the document describes them.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    Route { method: "POST", path: "/v1/groups", access: Access::Token, handler: |it| served(it, groups::create),
        id: "createGroup", refusals: &[403, 404, 409, 503, 504, 507],
        summary: "Make a group. The same group again is no error, another one of the same id is (409).",
        details: "",
        answer: "Made, and stored; or it was there, the same." },
    Route { method: "GET", path: "/v1/groups/{group}", access: Access::Token, handler: |it| served(it, groups::show),
        id: "showGroup", refusals: &[404, 503, 504],
        summary: "A group and a page of its members, in the order of their ids.",
        details: "",
        answer: "The group." },
    Route { method: "PATCH", path: "/v1/groups/{group}", access: Access::Token, handler: |it| served(it, profiles::change_group),
        id: "changeGroup", refusals: &[403, 404, 507],
        summary: "Change a group's name, avatar, attributes or join policy; its members are told. What is left out \
            stays as it is.",
        details: "",
        answer: DONE },
    Route { method: "DELETE", path: "/v1/groups/{group}", access: Access::Token, handler: |it| served(it, groups::dissolve),
        id: "dissolveGroup", refusals: &[404, 507],
        summary: "Dissolve a group: its members are told, and nobody can write to it any more.",
        details: "",
        answer: DONE },
    Route { method: "POST", path: "/v1/groups/{group}/members", access: Access::Token, handler: |it| served(it, groups::change_members),
        id: "changeMembers", refusals: &[403, 404, 409, 507],
        summary: "Add and remove members. Who is a member already is not added, who is none is not removed.",
        details: "",
        answer: DONE },
    Route { method: "GET", path: "/v1/groups/{group}/requests", access: Access::Token, handler: |it| served(it, groups::requests),
        id: "listJoinRequests", refusals: &[404, 503, 504],
        summary: "The users who have asked to join a group whose policy is request, and are not answered yet. A \
            request expires after 30 days.",
        details: "",
        answer: "The requests, in the order of the users' ids." },
    Route { method: "POST", path: "/v1/groups/{group}/requests/{user}", access: Access::Token, handler: |it| served(it, groups::answer_request),
        id: "answerJoinRequest", refusals: &[403, 404, 409, 507],
        summary: "Approve or decline a request to join, in the owner's name. The user is told either way. 404 when \
            the user has not asked.",
        details: "",
        answer: DONE },
    Route { method: "PUT", path: "/v1/groups/{group}/members/{user}", access: Access::Token, handler: |it| served(it, groups::change_member),
        id: "changeMember", refusals: &[403, 404, 507],
        summary: "Set a member's role, or until when it may not write.",
        details: "",
        answer: DONE },
    Route { method: "GET", path: "/v1/users/{user}", access: Access::Token, handler: |it| served(it, users::show),
        id: "showUser", refusals: &[404, 503, 504],
        summary: "What the server knows of a user. 404 when that is nothing.",
        details: "",
        answer: "The user." },
    Route { method: "PUT", path: "/v1/users/{user}", access: Access::Token, handler: |it| served(it, users::know),
        id: "knowUser", refusals: &[404, 507],
        summary: "Make a user known: only known ones can be written to where the directory is closed.",
        details: "",
        answer: DONE },
    Route { method: "DELETE", path: "/v1/users/{user}", access: Access::Token, handler: |it| served(it, erasure::erase),
        id: "eraseUser", refusals: &[500, 503, 504, 507],
        summary: "Erase a person, for ever and on every shard.",
        details: "The user's sessions end, the account is closed for good, tokens, devices, names for conversations, \
            presence and blocks go, and the user leaves every group that it does not own. What the user has written \
            is a tombstone from then on, for everybody: in inboxes, histories and event streams, with its seq, its \
            id and its client id, and without content. Seqs stay as they are. What others wrote stays theirs. Nobody \
            writes to or for the user any more (user_not_exist), and no user of this id comes back. A request that \
            failed half-way is repeated; a repetition does nothing twice. The answer says what is left and until \
            when: bytes in segments until retention or a rewrite drops them, and in earlier backups.",
        answer: "Erased, and stored to the configured durability." },
    Route { method: "GET", path: "/v1/users/{user}/export", access: Access::Token, handler: |it| served(it, export::export),
        id: "exportUser", refusals: &[503, 504, 404],
        summary: "Everything that is a person's, one JSON object a line.",
        details: "In this order: one line of kind user (as GET /v1/users/{user}), one of kind session for each \
            session, one of kind device for each device that a push service wakes (with its token, or for who reads \
            only its digest), one of kind conversation for each conversation, one of kind entry for each entry of the \
            inbox by its seq, which has what the user has written and what it was sent, without the messages that it \
            has cleared for itself, and \
            at last one of kind end with the number of entries. A copy without that last line is not whole; a line of \
            kind error says why. It takes one of the places of event streams.",
        answer: "The lines." },
    Route { method: "GET", path: "/v1/users/{user}/profile", access: Access::Token, handler: |it| served(it, profiles::show_user),
        id: "showProfile", refusals: &[503, 504],
        summary: "A user's profile; an empty one if the user has none.",
        details: "",
        answer: "The profile." },
    Route { method: "PUT", path: "/v1/users/{user}/profile", access: Access::Token, handler: |it| served(it, profiles::set_user),
        id: "setProfile", refusals: &[403, 404, 507],
        summary: "Set a user's profile, all of it: what is left out is empty. An empty profile removes it.",
        details: "",
        answer: DONE },
    Route { method: "GET", path: "/v1/users/{user}/devices", access: Access::Token, handler: |it| served(it, devices::list),
        id: "listDevices", refusals: &[403, 503, 504],
        summary: "The user's devices that push services wake.",
        details: "",
        answer: "The devices, the latest registered last, and how many messages the user has not read (for the \
            badge; of a user with more than 8,192 conversations, in some of them)." },
    Route { method: "PUT", path: "/v1/users/{user}/devices/{device}", access: Access::Token, handler: |it| served(it, devices::register),
        id: "registerDevice", refusals: &[403, 404, 507],
        summary: "Registers a device, or changes what is wanted of it.",
        details: "Without provider and token the device keeps its token; all of locale, muted and quiet are \
            replaced. A token that another of the user's devices had is taken from that one. Of more than 16 devices \
            of a user the one registered first goes.",
        answer: DONE },
    Route { method: "DELETE", path: "/v1/users/{user}/devices/{device}", access: Access::Token, handler: |it| served(it, devices::unregister),
        id: "unregisterDevice", refusals: &[403, 404, 507],
        summary: "Removes a device. One that is not registered is no error.",
        details: "",
        answer: DONE },
    Route { method: "PUT", path: "/v1/users/{user}/blocks/{other}", access: Access::Token, handler: |it| served(it, users::block),
        id: "block", refusals: &[404, 507],
        summary: "The user wants no messages of the other one.",
        details: "",
        answer: DONE },
    Route { method: "DELETE", path: "/v1/users/{user}/blocks/{other}", access: Access::Token, handler: |it| served(it, users::unblock),
        id: "unblock", refusals: &[404, 507],
        summary: "The user takes messages of the other one again.",
        details: "",
        answer: DONE },
    Route { method: "PUT", path: "/v1/users/{user}/disabled", access: Access::Token, handler: |it| served(it, users::disable),
        id: "disableUser", refusals: &[404, 507],
        summary: "The user's sessions end (close code 4008, kick-out 2) and it is let in with no token. What others \
            write to it is stored, and is there when it is enabled again. Who was never here can be disabled as well.",
        details: "",
        answer: DONE },
    Route { method: "DELETE", path: "/v1/users/{user}/disabled", access: Access::Token, handler: |it| served(it, users::enable),
        id: "enableUser", refusals: &[404, 507],
        summary: "The user is let in again.",
        details: "",
        answer: DONE },
    Route { method: "POST", path: "/v1/users/{user}/tokens/revoke", access: Access::Token, handler: |it| served(it, users::revoke_tokens),
        id: "revokeTokens", refusals: &[404, 507],
        summary: "The user's sessions end (close code 4007, kick-out 3), and no token that was issued until now is \
            good any more: iat is not later, or there is none. Where iat is in whole seconds, a token of the same \
            second is not good either. The next such request revokes what was issued meanwhile. With issued_before \
            exactly the tokens issued before that time are revoked: later ones are good again, for instance those of \
            a user whose tokens were revoked while the server's clock was ahead, and sessions end only if that time \
            is later than before.",
        details: "",
        answer: "Done, and stored to the configured durability." },
    Route { method: "POST", path: "/v1/messages", access: Access::Token, handler: |it| served(it, sending::send),
        id: "sendMessage", refusals: &[403, 404, 409, 429, 500, 503, 504, 507],
        summary: "Send a message in a user's name. Answered when it is stored to the configured durability, like any \
            send.",
        details: "",
        answer: "Sent and stored (201); or it was sent before (200): the same answer, with `duplicate`." },
    Route { method: "POST", path: "/v1/messages/batch", access: Access::Token, handler: |it| served(it, sending::send_batch),
        id: "sendMessages", refusals: &[],
        summary: "Send up to 1,000 messages, each as POST /v1/messages does and with an answer of its own. Those of \
            one author are sent in their order. One that is refused holds up no other: what is to follow only after \
            it belongs in a later request.",
        details: "",
        answer: "An answer for each, in their order." },
    Route { method: "DELETE", path: "/v1/messages/{message}", access: Access::Token, handler: |it| served(it, sending::revoke),
        id: "revokeMessage", refusals: &[404, 429, 500, 507],
        summary: "Take a message back for all its readers, whoever wrote it and however old it is. Readers are told \
            as if its author had done it.",
        details: "",
        answer: "Taken back, and stored; or it was before." },
    Route { method: "GET", path: "/v1/events", access: Access::Token, handler: |it| served(it, stream::follow),
        id: "followEvents", refusals: &[410, 500, 503],
        summary: "What is committed, as a stream without end: server-sent events, or one JSON object a line where \
            Accept names application/x-ndjson.",
        details: "Events of one shard come in the order of its log; every committed event comes once. A client goes \
            on with the cursor of the last event that it has handled, or with the header Last-Event-ID: it misses \
            nothing and gets nothing twice, over restarts and kills of the server. A client that does not read holds \
            up nobody but itself. Events: message.created; message.revoked; receipt (a reader has read messages of \
            an author); group.created, group.members_added, group.members_removed, group.member_changed, \
            group.dissolved, group.join_requested and group.join_declined (a user has asked to join, and was \
            declined; an approval is group.members_added); user.online and user.offline (a user who comes and goes \
            within ten seconds may have none); user.offline_message (a message of somebody else was committed to the \
            inbox of users who had no session at that moment; streams, messages that expire and messages for one \
            device count, those that are not stored and changes of groups do not; where retention has dropped a \
            group's message before its members are told, they have none); sessions.ended (the server started: all \
            sessions of that shard's users had ended). Messages that are not stored have no event. A message of an \
            erased user has no content, and extra.revoked is 1. Without events a heartbeat comes every 15 seconds, \
            with the cursor.",
        answer: "The stream. It ends when the server stops; an event named error comes before the end where the \
            stream cannot go on." },
    Route { method: "GET", path: "/v1/users", access: Access::Token, handler: |it| served(it, reading::list_users),
        id: "listUsers", refusals: &[410, 500, 503, 504],
        summary: "All users who are known or whose inbox has an entry, in no order that means anything. Those who \
            come while pages are read may be missing.",
        details: "",
        answer: "A page; it may be empty although another follows." },
    Route { method: "GET", path: "/v1/groups", access: Access::Token, handler: |it| served(it, reading::list_groups),
        id: "listGroups", refusals: &[410, 500, 503, 504],
        summary: "All groups, in no order that means anything. Those made while pages are read may be missing.",
        details: "",
        answer: "A page; it may be empty although another follows." },
    Route { method: "GET", path: "/v1/users/{user}/inbox", access: Access::Token, handler: |it| served(it, reading::inbox),
        id: "showInbox", refusals: &[404, 500, 503, 504],
        summary: "A page of a user's inbox, as the user is shown it. Nothing is acknowledged by it.",
        details: "",
        answer: "The page, ascending." },
    Route { method: "GET", path: "/v1/users/{user}/conversations", access: Access::Token, handler: |it| served(it, reading::conversations),
        id: "showConversations", refusals: &[404, 500, 503, 504],
        summary: "A user's conversations, those with the newest entries first. One that gets an entry while pages \
            are read moves before the first.",
        details: "",
        answer: "The page." },
    Route { method: "GET", path: "/v1/users/{user}/history/{other}", access: Access::Token, handler: |it| served(it, reading::pair_history),
        id: "showPairHistory", refusals: &[404, 500, 503, 504],
        summary: "A page of what two users have written to each other; from the newest back, unless `after` is said. \
            Messages past their time are left out.",
        details: "",
        answer: "The page, ascending." },
    Route { method: "GET", path: "/v1/groups/{group}/history", access: Access::Token, handler: |it| served(it, reading::group_history),
        id: "showGroupHistory", refusals: &[404, 500, 503, 504],
        summary: "The same of a group: all of it, whoever may see which part, and also when it is dissolved.",
        details: "",
        answer: "The page, ascending." },
    Route { method: "GET", path: "/v1/sessions", access: Access::Token, handler: |it| served(it, all_sessions::list),
        id: "listSessions", refusals: &[410, 500, 503, 504],
        summary: "The open sessions of all users, in no order that means anything. Those that open while pages are read \
            may be missing.",
        details: "",
        answer: "A page; it may be empty although another follows." },
    Route { method: "GET", path: "/v1/users/{user}/sessions", access: Access::Token, handler: |it| served(it, sessions::list),
        id: "showSessions", refusals: &[500, 503, 504],
        summary: "A user's open sessions, the oldest first.",
        details: "",
        answer: "The sessions." },
    Route { method: "DELETE", path: "/v1/users/{user}/sessions", access: Access::Token, handler: |it| served(it, sessions::end_all),
        id: "endSessions", refusals: &[],
        summary: "End all sessions of a user (close code 4009). Its devices may log in again.",
        details: "",
        answer: "Ended; or there was none." },
    Route { method: "DELETE", path: "/v1/users/{user}/sessions/{session}", access: Access::Token, handler: |it| served(it, sessions::end_one),
        id: "endSession", refusals: &[],
        summary: "End one session of a user (close code 4009).",
        details: "",
        answer: "Ended; or it was not there." },
    Route { method: "POST", path: "/v1/presence", access: Access::Token, handler: |it| served(it, sessions::presence),
        id: "showPresence", refusals: &[503, 504, 500],
        summary: "Who of these users is online.",
        details: "",
        answer: "Their states." },
    Route { method: "POST", path: "/v1/tokens", access: Access::Token, handler: |it| served(it, sessions::mint_token),
        id: "mintToken", refusals: &[403, 500],
        summary: "A token for a user, signed with the server's own secret (HS256). Whether the account may have a \
            session is seen when it is used.",
        details: "",
        answer: "The token." },
    Route { method: "GET", path: "/v1/stats", access: Access::Token, handler: |it| served(it, health::stats),
        id: "showStats", refusals: &[],
        summary: "The server's numbers in short, at most a second old.",
        details: "",
        answer: "The numbers." },
    Route { method: "GET", path: "/v1/webhooks", access: Access::Token, handler: |it| served(it, webhooks::list),
        id: "listWebhooks", refusals: &[],
        summary: "How each webhook of the configuration is doing.",
        details: "",
        answer: "All webhooks; none where none is configured." },
    Route { method: "POST", path: "/v1/webhooks/{webhook}/test", access: Access::Token, handler: |it| served(it, webhooks::test),
        id: "testWebhook", refusals: &[404],
        summary: "Send a signed event webhook.test once, and tell the answer.",
        details: "A webhook whose receiver was gone (410) gets events again if this is acknowledged.",
        answer: "It was sent; result says what came of it." },
    Route { method: "POST", path: "/v1/webhooks/{webhook}/replay", access: Access::Token, handler: |it| served(it, webhooks::replay),
        id: "replayWebhook", refusals: &[404, 500],
        summary: "Send the dead letters again, oldest first, once each.",
        details: "Those that are acknowledged are removed. It ends at the first that is not, and after some seconds: \
            call it again while left_batches is not 0 and there is no error.",
        answer: "What was acknowledged, and what is left." },
    Route { method: "POST", path: "/v1/drain", access: Access::Token, handler: |it| served(it, drain::drain),
        id: "drain", refusals: &[],
        summary: "The server accepts nobody any more, asks its sessions to go (close code 1001), evenly spread over \
            the time, and then stops. A drain that is under way keeps its time.",
        details: "",
        answer: "It drains." },
    Route { method: "POST", path: "/v1/hand-over", access: Access::Token, handler: |it| served(it, hand_over::hand_over),
        id: "handOver", refusals: &[409, 500, 503],
        summary: "The server stops at once in favour of another one that waits for its directory and its port.",
        details: "`mushan serve --take-over` asks for it; without a server that waits it is refused.",
        answer: "It stops." },
    Route { method: "GET", path: "/v1/status", access: Access::Token, handler: |it| served(it, status::show),
        id: "showStatus", refusals: &[],
        summary: "The state of the server and of each shard, as the shards published it last. Quantiles are upper \
            bounds in powers of two, over the whole run.",
        details: "",
        answer: "The state." },
    Route { method: "GET", path: "/v1/log-level", access: Access::Token, handler: |it| served(it, log_level::show),
        id: "showLogLevel", refusals: &[],
        summary: "The level of the server's log.",
        details: "",
        answer: "The level or the filter in use." },
    Route { method: "PUT", path: "/v1/log-level", access: Access::Token, handler: |it| served(it, log_level::change),
        id: "changeLogLevel", refusals: &[],
        summary: "Change the level of the server's log at once, until the next start.",
        details: "",
        answer: "The level or the filter in use from now on." },
    Route { method: "GET", path: "/v1/trace", access: Access::Token, handler: |it| served(it, trace::follow),
        id: "trace", refusals: &[503],
        summary: "What happens to one user, while it happens: requests, their outcomes, pushes, beginnings and ends \
            of sessions.",
        details: "Verbs, codes and sizes, and nothing that somebody wrote. The first line says that the user's shard \
            has begun, the last one, of kind ended, how many lines were lost.",
        answer: "The lines." },
    Route { method: "GET", path: "/v1/overview/stream", access: Access::Token, handler: |it| served(it, live::stream),
        id: "streamOverview", refusals: &[503],
        summary: "What the overview of the console shows, as a server-sent event named overview each second.",
        details: "Rates and quantiles are those of the last second, from what the shards publish anyway; null where \
            nothing was observed. The stream ends when the login of the console ends, or the server stops.",
        answer: "The stream." },
    Route { method: "GET", path: "/v1/overview/history", access: Access::Token, handler: |it| served(it, history::show),
        id: "showOverviewHistory", refusals: &[],
        summary: "The same numbers of the last ten minutes, or of the last six hours. A restart forgets them.",
        details: "",
        answer: "The points, the oldest first." },
    Route { method: "GET", path: "/v1/storage", access: Access::Token, handler: |it| served(it, storage::show),
        id: "showStorage", refusals: &[500],
        summary: "Each shard's log: its segments and checkpoints, and the newest files of both.",
        details: "",
        answer: "The logs." },
    Route { method: "GET", path: "/v1/config", access: Access::Token, handler: |it| served(it, configuration::show),
        id: "showConfiguration", refusals: &[],
        summary: "Every setting in force with the source of its value, as `mushan check` prints it.",
        details: "",
        answer: "The settings." },
    Route { method: "GET", path: "/v1/audit", access: Access::Token, handler: |it| served(it, trail_page::show),
        id: "showAuditTrail", refusals: &[500],
        summary: "The audit trail: who changed what through this API, the newest first.",
        details: "Every change has an entry when it is answered, refused ones included; so has every look at what users \
            wrote (inbox, conversations, history, export, events), and every login of the console, also one with a wrong token. What tokens \
            send (POST /v1/messages) has none. An entry has no body, no query and no token. The trail is bounded: the \
            oldest entries go first.",
        answer: "A page." },
    Route { method: "POST", path: "/v1/console/login", access: Access::Everybody, handler: |it| served(it, login::login),
        id: "logIn", refusals: &[401, 403, 429, 500],
        summary: "Log in to the console: a token becomes a cookie for 12 hours.",
        details: "The cookie is HttpOnly and SameSite=Strict, and counts only for requests from pages of this server. \
            Browsers send it by themselves; other clients send the token with each request instead.",
        answer: "Logged in." },
    Route { method: "GET", path: "/v1/console/login", access: Access::Everybody, handler: |it| served(it, login::show),
        id: "showLogin", refusals: &[],
        summary: "Who asks: the role, and the login of the console if there is one. Needs no token.",
        details: "",
        answer: "The role." },
    Route { method: "POST", path: "/v1/console/logout", access: Access::Token, handler: |it| served(it, login::logout),
        id: "logOut", refusals: &[],
        summary: "End the login of the console.",
        details: "",
        answer: "Logged out." },
    Route { method: "GET", path: "/v1/openapi.json", access: Access::Token, handler: |it| served(it, description::describe),
        id: "describe", refusals: &[],
        summary: "This document.",
        details: "",
        answer: "OpenAPI 3.1." },
    Route { method: "GET", path: "/metrics", access: Access::Metrics, handler: |it| served(it, metrics::show),
        id: "metrics", refusals: &[],
        summary: "Metrics in Prometheus' text format. Needs no token when admin.metrics_open is true.",
        details: "",
        answer: "Text format 0.0.4." },
    Route { method: "GET", path: "/healthz", access: Access::Everybody, handler: |it| served(it, health::live),
        id: "live", refusals: &[503],
        summary: "Whether the server lives: 503 when a shard is stuck.",
        details: "",
        answer: "It lives; it may still be starting." },
    Route { method: "GET", path: "/readyz", access: Access::Token, handler: |it| served(it, health::ready),
        id: "ready", refusals: &[503],
        summary: "Whether clients and orders are taken: 503 while the server starts or stops.",
        details: "",
        answer: "It serves." },
];
