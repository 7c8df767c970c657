//! Bodies there and back, cut short, and of any bytes at all; what walks and pages see of them.

use super::*;
use crate::log::fixtures::{self, Chance};
use crate::model::Conversation;

const CLAIM: DurabilityMark = DurabilityMark { durable: Position(64), at: Position(128), log: Millis(3) };

fn encoded(record: &Record) -> Vec<u8> {
    let mut body = Vec::new();
    encode(record, CLAIM, &mut body);
    body
}

#[test]
fn every_record_is_read_back_as_it_was_written_and_takes_the_bytes_it_says() {
    let mut chance = Chance::new(1);
    let fixed = [Record::Start { epoch: 7, time: Millis(9) }, Record::Mark { durable: Position(77) }];
    for record in fixed.into_iter().chain((0..20_000).map(|_| fixtures::any_record(&mut chance))) {
        let body = encoded(&record);
        assert_eq!(body.len(), body_bytes(&record), "{record:?}");
        assert_eq!(decode(kind_of(&record), &body).as_ref(), Some(&record));
    }
}

#[test]
fn a_body_cut_short_or_with_a_byte_too_many_is_refused() {
    let mut chance = Chance::new(2);
    for _ in 0..300 {
        let record = fixtures::any_record(&mut chance);
        let mut body = encoded(&record);
        for length in 0..body.len() {
            assert_eq!(decode(kind_of(&record), &body[..length]), None);
        }
        body.push(0);
        assert_eq!(decode(kind_of(&record), &body), None);
    }
}

#[test]
fn no_bytes_make_decoding_panic() {
    let mut chance = Chance::new(3);
    for _ in 0..200_000 {
        let mut body = encoded(&fixtures::any_record(&mut chance));
        for _ in 0..=chance.below(3) {
            let place = chance.below(body.len());
            body[place] = [0, 0xff, chance.next() as u8][chance.below(3)];
        }
        let kind = chance.below(usize::from(KIND_NEWEST) + 2) as u8;
        let _ = (decode(kind, &body), link_of(kind, &body, Thread::Inbox(&fixtures::user("u"))));
    }
}

#[test]
fn a_page_shows_the_messages_that_a_full_reading_sees_and_refuses_what_it_refuses() {
    let mut chance = Chance::new(5);
    for _ in 0..2_000 {
        let record = fixtures::any_record(&mut chance);
        let (kind, body) = (kind_of(&record), encoded(&record));
        let whole = match &record {
            Record::Fanned { of, .. } => Some(EntrySource::At(*of)),
            _ => record.message().map(|(message, _)| EntrySource::Here(message.clone())),
        };
        assert_eq!(shown_by(kind, &body), whole);
        if matches!(whole, Some(EntrySource::Here(_))) {
            assert_eq!(shown_by(kind, &body[..chance.below(body.len())]), None);
            assert_eq!(shown_by(kind, &[&body[..], &[0]].concat()), None);
        }
    }
}

#[test]
fn a_walk_sees_the_links_that_a_full_reading_sees() {
    let mut chance = Chance::new(4);
    for _ in 0..5_000 {
        let record = fixtures::any_record(&mut chance);
        let body = encoded(&record);
        let walked = |thread| link_of(kind_of(&record), &body, thread);
        if let Record::Fanned { links, .. } = &record {
            links.iter().for_each(|it| assert_eq!(walked(Thread::Inbox(&it.user)), record.link_of(&it.user)));
        }
        let Some((message, links)) = record.message() else { continue };
        let peer = message.peer_of(&message.author).cloned();
        for user in [message.author.clone(), fixtures::user("stranger")].into_iter().chain(peer) {
            let in_head = link_of(kind_of(&record), &body, Thread::Inbox(&user));
            assert_eq!(in_head, record.link_of(&user));
        }
        let link = links.iter().find(|link| link.side == Side::Conversation).copied();
        assert_eq!(walked(Thread::Conversation(&message.conversation)), link);
        let other = Conversation::pair(fixtures::user("stranger"), fixtures::user("stranger"));
        assert_eq!(walked(Thread::Conversation(&other)), None);
    }
}
