//! The devices of each user that push services wake, change by change, at the moment at which the user's shard wrote
//! it: what users are answered is held against it.

use mushan::model::{Position, PushRegistration, Refusal};
use std::collections::BTreeMap;

/// So many a user has at most.
const DEVICES_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub id: String,
    pub token: String,
    pub locale: String,
}

/// What a user wants of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceWish {
    /// Without a token, it keeps the one that it has.
    Register {
        id: String,
        token: Option<String>,
        locale: String,
    },
    Unregister {
        id: String,
    },
    List,
}

/// What a log says became of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceNews {
    Is(Device),
    IsGone(String),
    /// Their user was erased.
    AreGone,
}

impl DeviceNews {
    pub fn of(id: &str, registration: Option<&PushRegistration>) -> Self {
        match registration {
            None => Self::IsGone(id.to_owned()),
            Some(PushRegistration { token, settings }) => {
                let (token, locale) = (token.address().to_owned(), settings.locale().to_owned());
                Self::Is(Device { id: id.to_owned(), token, locale })
            }
        }
    }

    /// The latest registered last, and no token twice.
    fn apply(&self, devices: &mut Vec<Device>) {
        match self {
            Self::AreGone => devices.clear(),
            Self::IsGone(id) => devices.retain(|it| it.id != *id),
            Self::Is(device) => {
                devices.retain(|it| it.id != device.id && it.token != device.token);
                devices.push(device.clone());
                devices.drain(..devices.len().saturating_sub(DEVICES_MAX));
            }
        }
    }
}

/// What comes of a wish.
fn judge(devices: &[Device], wish: &DeviceWish) -> Result<Option<DeviceNews>, Refusal> {
    let known = |id: &String| devices.iter().find(|it| it.id == *id);
    match wish {
        DeviceWish::List => Ok(None),
        DeviceWish::Unregister { id } => Ok(known(id).map(|_| DeviceNews::IsGone(id.clone()))),
        DeviceWish::Register { id, token, locale } => {
            let token = token.clone().or_else(|| Some(known(id)?.token.clone())).ok_or(Refusal::InvalidParam)?;
            let device = Device { id: id.clone(), token, locale: locale.clone() };
            Ok((known(id) != Some(&device)).then_some(DeviceNews::Is(device)))
        }
    }
}

struct Entry {
    at: Position,
    step: u64,
    news: DeviceNews,
    after: Vec<Device>,
    is_told: bool,
}

#[derive(Default)]
struct Book {
    shard: usize,
    entries: Vec<Entry>,
}

impl Book {
    fn before(&self, at: usize) -> &[Device] {
        at.checked_sub(1).map_or(&[], |before| &self.entries[before].after)
    }

    /// What the user had at any time since then.
    fn states_since(&self, step: u64) -> impl Iterator<Item = (usize, &[Device])> {
        let first = self.entries.partition_point(|entry| entry.step < step);
        (first..=self.entries.len()).map(|at| (at, self.before(at)))
    }
}

#[derive(Default)]
pub struct DeviceBooks {
    /// Users ask of devices, more than most else.
    pub are_wanted: bool,
    books: BTreeMap<String, Book>,
    /// Logs have lost what somebody was told of.
    has_lost: bool,
}

impl DeviceBooks {
    pub fn note(&mut self, (shard, at): (usize, Position), step: u64, user: &str, news: DeviceNews) {
        let book = self.books.entry(user.to_owned()).or_default();
        book.shard = shard;
        let mut after = book.before(book.entries.len()).to_vec();
        news.apply(&mut after);
        book.entries.push(Entry { at, step, news, after, is_told: false });
    }

    /// A shard's log was found to end here: nothing that was told is lost.
    pub fn cut(&mut self, shard: usize, found: Position) {
        for book in self.books.values_mut().filter(|book| book.shard == shard) {
            while let Some(lost) = book.entries.pop_if(|entry| entry.at >= found) {
                assert!(!lost.is_told || self.has_lost, "a crash took {:?} back, which was answered", lost.news);
            }
        }
    }

    pub fn lose(&mut self) {
        self.has_lost = true;
    }

    pub fn check_refused(&mut self, user: &str, wish: &DeviceWish, since: u64, refusal: Refusal) {
        let book = self.books.entry(user.to_owned()).or_default();
        let is_so = book.states_since(since).any(|(_, devices)| judge(devices, wish) == Err(refusal));
        assert!(is_so || self.has_lost, "{wish:?} of {user} was refused with {refusal:?}");
    }

    pub fn check_done(&mut self, user: &str, wish: &DeviceWish, since: u64) {
        let book = self.books.entry(user.to_owned()).or_default();
        let (mut is_so, mut done) = (false, None);
        for (at, devices) in book.states_since(since) {
            match judge(devices, wish) {
                Ok(None) => is_so = true,
                Ok(Some(news)) if book.entries.get(at).is_some_and(|entry| entry.news == news) => {
                    done = done.or(Some(at));
                }
                _ => {}
            }
        }
        assert!(is_so || done.is_some() || self.has_lost, "{wish:?} of {user} was answered with yes");
        if let (Some(at), false) = (done, is_so) {
            book.entries[at].is_told = true;
        }
    }

    /// Somebody was shown the devices: exactly these, in this order.
    pub fn check_shown(&self, user: &str, since: u64, is_it: impl Fn(&[Device]) -> bool) {
        let nothing = Book::default();
        let book = self.books.get(user).unwrap_or(&nothing);
        let is_so = book.states_since(since).any(|(_, devices)| is_it(devices)) || self.has_lost;
        assert!(is_so, "{user} has other devices: {:?}", book.before(book.entries.len()));
    }
}
