//! Admission: connections for which there is no room, and authentication, in which the connection's core verifies a token
//! and the user's shard checks the account.
//!
//! Invariant: a refused token is counted and reported to the operator with its fault, never with its content.

use crate::log::Storage;
use crate::model::{Command, Moment, Refusal, Reply, RequestTag, Sizing, UserId};
use crate::server::auth::keyring::Keyring;
use crate::server::turn::link::{Authenticated, LinkKey, LinkStage, MigratingConnection};
use crate::server::turn::{Action, Turn};
use crate::shard::{CatchUp, Input};
use crate::wire::SessionGrant;
use crate::wire::token::Claims;
use crate::wire::{Connection, Credentials, Encoding, TokenFault};

impl<S: Storage> Turn<S> {
    /// A new connection for which there is no room: it receives 503.
    pub fn turn_away(&mut self, now: Moment) -> LinkKey {
        let key = self.links.insert(Connection::new(now, &self.common.context), None);
        self.crowd_out(now, key);
        key
    }

    /// A connection from another core whose user belongs here, and for which there is no room.
    pub fn turn_away_migrating(&mut self, now: Moment, migrating: MigratingConnection) -> LinkKey {
        let key = self.links.insert(migrating.connection, migrating.layer);
        self.links[key].client = migrating.client;
        let link = &mut self.links[key];
        self.traffic.logins_refused.count(Refusal::Busy);
        link.connection.turn_away(&migrating.arrival.tag, Refusal::Busy.into(), now, &self.common.context);
        self.after(now, key);
        self.settle(now);
        key
    }

    pub(in crate::server) fn authenticate(&mut self, now: Moment, key: LinkKey, credentials: Credentials) {
        let Credentials { tag, user, token, device } = credentials;
        self.locate(key);
        if !self.may_log_in(now, key) {
            self.traffic.logins_refused.count(Refusal::LoginTooFast);
            let refused = Refusal::LoginTooFast.into();
            return self.links[key].connection.refuse_authentication(&tag, refused, now, &self.common.context);
        }
        let (link, context, salt) = (&mut self.links[key], &self.common.context, &mut self.salt);
        let verified = verify_token(&self.common.keyring, &token, &user, now).and_then(|claims| {
            let device = match link.connection.encoding() {
                Some(Encoding::Binary) => claims.on_its_platform(device)?,
                _ => device,
            };
            Ok((device, claims))
        });
        let (device, claims) = match verified {
            Ok(verified) => verified,
            Err(fault) => {
                self.traffic.logins_refused.count(fault.refused().refusal);
                link.connection.refuse_authentication(&tag, fault.refused(), now, context);
                return self.note_refused_token(now, &user, fault);
            }
        };
        let grant = SessionGrant { user: user.clone(), expires: claims.expires, salt: salt() };
        if let Err(refused) = link.connection.authenticate(grant, now, context) {
            self.traffic.logins_refused.count(refused.refusal);
            return link.connection.refuse_authentication(&tag, refused, now, context);
        }
        let issued = claims.issued;
        let owner = self.common.placement.owner_of(&user);
        let arrival = Authenticated { user, device, tag, issued };
        if owner == self.common.me {
            return self.open(now, key, arrival);
        }
        self.links[key].stage = LinkStage::Departing(arrival);
        self.actions.push(Action::Depart(key, owner));
    }

    fn note_refused_token(&mut self, now: Moment, user: &UserId, fault: TokenFault) {
        if self.traced.is_some() {
            self.trace_refused_login(now, user, fault);
        }
        self.traffic.refused_tokens[fault as usize] += 1;
        tracing::debug!(shard = self.common.me.0, %user, reason = %fault, "token refused");
    }

    /// Renews the token of an open session. A bad token leaves the session with its old one; so does one that is valid
    /// on another platform only.
    pub(in crate::server) fn reauthenticate(&mut self, now: Moment, key: LinkKey, tag: RequestTag, token: &str) {
        let (link, context) = (&mut self.links[key], &self.common.context);
        let Some(user) = link.connection.user() else { return };
        let (session, shard) = (link.session, &self.shard);
        let device = match link.connection.encoding() {
            Some(Encoding::Binary) => shard.device(session),
            _ => None,
        };
        let verified = verify_token(&self.common.keyring, token, user, now).and_then(|claims| {
            if let Some(device) = device {
                claims.on_its_platform(device.clone())?;
            }
            shard.admits(user, claims.issued).map_err(TokenFault::of_account)?;
            Ok(claims.expires)
        });
        match verified {
            Ok(expires) => {
                link.connection.renew(expires, context);
                self.handle(now, Input::Requested { session, tag, command: Command::Reauthenticate });
            }
            Err(fault) => {
                let user = user.clone();
                self.traffic.refused.count(fault.refused().refusal);
                link.connection.reply(&tag, &Reply::Refused(fault.refused()), now, context);
                self.note_refused_token(now, &user, fault);
            }
        }
    }

    pub(in crate::server) fn open(&mut self, now: Moment, key: LinkKey, arrival: Authenticated) {
        let Authenticated { user, device, tag, issued } = arrival;
        let link = &mut self.links[key];
        if let Err(refusal) = self.shard.admits(&user, issued) {
            self.traffic.logins_refused.count(refusal);
            let fault = TokenFault::of_account(refusal);
            link.connection.turn_away(&tag, fault.refused(), now, &self.common.context);
            self.note_refused_token(now, &user, fault);
            return self.after(now, key);
        }
        if let Some(encoding) = link.connection.encoding() {
            self.traffic.opened[encoding.index()] += 1;
        }
        link.stage = LinkStage::Open;
        link.opened = Some(now);
        let session = link.session;
        if self.traced.is_some() {
            self.trace_opened(now, key, &device);
        }
        let (catch_up, sizing) = match self.links[key].connection.encoding() {
            Some(Encoding::Binary) => (CatchUp::Sync, Sizing::Verbatim),
            // Only JSON-RPC sends messages with keys of their own, whose encodings cannot be shared.
            Some(Encoding::JsonRpc { .. } | Encoding::Wukong { .. }) | None => (CatchUp::Backlog, Sizing::Escaped),
        };
        self.handle(now, Input::Opened { session, tag, user, device, catch_up, sizing });
        self.after(now, key);
    }
}

/// The claims of `token`, if it is valid and names `user`.
fn verify_token(keyring: &Keyring, token: &str, user: &UserId, now: Moment) -> Result<Claims, TokenFault> {
    let claims = keyring.now().verify(token, now.wall)?;
    if claims.user == *user { Ok(claims) } else { Err(TokenFault::OtherUser) }
}
