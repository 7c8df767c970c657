//! The kit and a real server: both protocols, kills, everything exactly once, and the bot.

#![allow(clippy::disallowed_methods, reason = "a test lives in the world")]

mod common;

use common::server::{PATIENCE, TestServer, wait_for};
use mushan_client::{
    ClearExtent, Client, ClientOptions, EntryBody, Event, Events, FileStore, Message, PageStart, Phase, Protocol,
    RefusalKind, StreamReader, Target, TokenFuture, TokenSource, TokenWish, Tuning, TypingState, text_of,
};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// What a client was told, collected by a task of its own.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

impl Told {
    fn of(mut events: Events) -> Self {
        let told = Self::default();
        let all = told.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                all.0.lock().expect("no panic inside").push(event);
            }
        });
        told
    }

    fn each<T>(&self, of: impl FnMut(&Event) -> Option<T>) -> Vec<T> {
        self.0.lock().expect("no panic inside").iter().filter_map(of).collect()
    }

    fn messages(&self) -> Vec<Message> {
        self.each(|event| match event {
            Event::Entry(entry) => match &entry.body {
                EntryBody::Message(message) => Some(message.clone()),
                _ => None,
            },
            _ => None,
        })
    }

    fn texts(&self) -> Vec<String> {
        self.messages().iter().map(text_of).collect()
    }

    fn facts(&self, wanted: impl Fn(&EntryBody) -> bool) -> usize {
        self.each(|event| match event {
            Event::Entry(entry) => wanted(&entry.body).then_some(()),
            _ => None,
        })
        .len()
    }
}

fn options(server: &TestServer, user: &str, protocol: Protocol) -> ClientOptions {
    let tuning = Tuning { retry_first_ms: 50, retry_max_ms: 400, ..Tuning::default() };
    ClientOptions::new(server.url(), user, server.token(user)).protocol(protocol).tuning(tuning)
}

async fn connect(options: ClientOptions) -> (Client, Told) {
    let (client, events) = Client::connect(options).expect("the store can be read");
    let told = Told::of(events);
    let ready = tokio::time::timeout(PATIENCE, client.until(Phase::Ready)).await;
    ready.expect("it connects").expect("it is not refused");
    (client, told)
}

async fn client(server: &TestServer, user: &str, protocol: Protocol) -> (Client, Told) {
    connect(options(server, user, protocol)).await
}

#[tokio::test]
async fn two_people_chat_across_the_protocols() {
    let server = TestServer::start();
    let (alice, at_alice) = client(&server, "alice", Protocol::Binary).await;
    let (bob, at_bob) = client(&server, "bob", Protocol::JsonRpc).await;
    let (to_alice, to_bob) = (Target::user("alice"), Target::user("bob"));
    let sent = alice.send_text(&to_bob, "hello bob").await.expect("stored");
    bob.send_text(&to_alice, "你好 alice").await.expect("stored");
    for told in [&at_alice, &at_bob] {
        wait_for("both messages", || told.messages().len() == 2).await;
        assert_eq!(told.texts(), ["hello bob", "你好 alice"]);
    }
    assert_eq!(at_bob.messages()[1].conversation, to_alice);
    bob.receipt(&to_alice, vec![sent.id.clone()]).await.expect("told");
    wait_for("a receipt", || at_alice.facts(|body| matches!(body, EntryBody::Receipt(_))) == 1).await;
    alice.revoke(&to_bob, &*sent.id).await.expect("taken back");
    for told in [&at_alice, &at_bob] {
        wait_for("a revocation", || told.facts(|body| matches!(body, EntryBody::Revoked(_))) == 1).await;
    }
    alice.typing(&to_bob, TypingState::Typing);
    let is_typing = |event: &Event| matches!(event, Event::Typing(typing) if typing.user == "alice").then_some(());
    wait_for("typing", || at_bob.each(is_typing).len() == 1).await;
    for (person, other) in [(&alice, &to_bob), (&bob, &to_alice)] {
        let newest = person.conversations().await.expect("listed")[0].newest_seq;
        person.mark_read(other, newest).await.expect("marked");
        let page = person.history(other, PageStart::Before(0)).await.expect("read");
        assert_eq!(page.messages.iter().map(|it| it.is_revoked).collect::<Vec<bool>>(), [true, false]);
        assert_eq!(person.conversations().await.expect("listed")[0].unread, 0);
        person.clear(other, ClearExtent::Conversation).await.expect("cleared");
        assert_eq!(person.conversations().await.expect("listed").len(), 0);
    }
    for told in [&at_alice, &at_bob] {
        wait_for("the clearing", || told.facts(|body| matches!(body, EntryBody::Cleared(_))) == 1).await;
    }
}

#[tokio::test]
async fn presence_is_told_and_streams_are_read_as_they_grow() {
    let server = TestServer::start();
    let (carol, at_carol) = client(&server, "carol", Protocol::Binary).await;
    let (dave, at_dave) = client(&server, "dave", Protocol::JsonRpc).await;
    let state = |event: &Event| match event {
        Event::Presence(state) if state.user == "dave" => Some(state.is_online),
        _ => None,
    };
    carol.watch(vec!["dave".to_owned()]).await;
    wait_for("dave online", || at_carol.each(state).contains(&true)).await;
    for (author, reader) in [(&carol, &at_dave), (&dave, &at_carol)] {
        let other = if author.user() == "carol" { "dave" } else { "carol" };
        let mut stream = author.stream(&Target::user(other));
        stream.write("one").await.expect("stored");
        stream.write(" two").await.expect("stored");
        stream.end(" three").await.expect("stored");
        let grown = || {
            let mut collected = StreamReader::default();
            let from = |message: &Message| (message.from == author.user()).then(|| collected.take(message)).flatten();
            let messages = reader.messages();
            messages.iter().filter_map(from).map(|it| (it.text, it.is_done)).collect::<Vec<(String, bool)>>()
        };
        wait_for("the stream", || grown().len() == 3).await;
        let expected = [("one", false), ("one two", false), ("one two three", true)];
        assert_eq!(grown(), expected.map(|(text, is_done)| (text.to_owned(), is_done)));
    }
    dave.close().await;
    wait_for("dave offline", || at_carol.each(state).last() == Some(&false)).await;
}

#[tokio::test]
async fn kills_in_the_middle_lose_and_double_nothing() {
    let mut server = TestServer::start();
    let (gina, at_gina) = client(&server, "gina", Protocol::Binary).await;
    let (hugo, at_hugo) = client(&server, "hugo", Protocol::JsonRpc).await;
    let (mut sends, mut wanted) = (tokio::task::JoinSet::new(), Vec::new());
    // One after the other into the outbox, so that their order is the order of this loop.
    let mut say = |client: &Client, to: &str, text: String| {
        wanted.push(text.clone());
        let (client, to) = (client.clone(), Target::user(to));
        sends.spawn(async move { client.send_text(&to, &text).await });
    };
    for round in 0..3 {
        for at in 0..60 {
            say(&gina, "hugo", format!("g {round}-{at}"));
            say(&hugo, "gina", format!("h {round}-{at}"));
            if at % 20 == 10 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
        server.kill();
        say(&gina, "hugo", format!("g offline {round}"));
        server.start_again();
    }
    let count = wanted.len();
    while let Some(sent) = sends.join_next().await {
        sent.expect("no panic").expect("every message is stored");
    }
    for told in [&at_gina, &at_hugo] {
        wait_for("all messages", || told.messages().len() >= count).await;
        let texts = told.texts();
        assert_eq!(sorted(&texts), sorted(&wanted), "each once");
        for side in ["g ", "h "] {
            let of =
                |texts: &[String]| texts.iter().filter(|it| it.starts_with(side)).cloned().collect::<Vec<String>>();
            assert_eq!(of(&texts), of(&wanted), "in the order in which they were sent");
        }
    }
    let ids = |told: &Told| told.messages().into_iter().map(|message| message.id).collect::<Vec<String>>();
    assert_eq!(ids(&at_gina), ids(&at_hugo), "one order for both");
}

fn sorted(texts: &[String]) -> Vec<&String> {
    let mut texts: Vec<&String> = texts.iter().collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn a_client_that_starts_anew_goes_on_from_its_store() {
    let server = TestServer::start();
    let (ivan, _at_ivan) = client(&server, "ivan", Protocol::Binary).await;
    let judy = || options(&server, "judy", Protocol::JsonRpc).store(FileStore::new(server.path("judy.json")));
    let (first, at_first) = connect(judy()).await;
    ivan.send_text(&Target::user("judy"), "one").await.expect("stored");
    wait_for("one", || at_first.texts() == ["one"]).await;
    first.close().await;
    ivan.send_text(&Target::user("judy"), "two").await.expect("stored");
    let (second, at_second) = connect(judy()).await;
    wait_for("two", || at_second.texts() == ["two"]).await;
    second.close().await;
    std::fs::write(server.path("judy.json"), "{").expect("written");
    assert!(Client::connect(judy()).is_err(), "a store that cannot be read is no first start");
}

#[tokio::test]
async fn a_second_session_of_the_device_ends_the_first_for_good() {
    let server = TestServer::start();
    let (first, _told) = client(&server, "kim", Protocol::JsonRpc).await;
    let (_second, _also) = client(&server, "kim", Protocol::JsonRpc).await;
    let status = first.status();
    wait_for("the end of the first", || status.borrow().phase == Phase::Ended).await;
    assert!(status.borrow().reason.as_ref().is_some_and(|reason| reason.contains("replaced")));
    let refused = first.send_text(&Target::user("lea"), "late").await.expect_err("it has ended");
    assert_eq!(refused.kind, RefusalKind::Stopped);
}

/// A stale token first, and then what the server makes.
struct Tokens {
    fresh: String,
    wishes: Mutex<Vec<TokenWish>>,
}

impl TokenSource for Tokens {
    fn token(&self, wish: TokenWish) -> TokenFuture {
        self.wishes.lock().expect("no panic inside").push(wish);
        let token = if wish == TokenWish::Fresh { self.fresh.clone() } else { "stale".to_owned() };
        Box::pin(async move { Ok(token) })
    }
}

#[tokio::test]
async fn a_wrong_token_ends_the_session_a_stale_one_is_asked_for_anew_and_a_live_one_is_renewed() {
    let server = TestServer::start();
    let (liam, _events) = Client::connect(ClientOptions::new(server.url(), "liam", "wrong")).expect("no store");
    let status = liam.status();
    wait_for("the end", || status.borrow().phase == Phase::Ended).await;
    let tokens = Arc::new(Tokens { fresh: server.token("mona"), wishes: Mutex::default() });
    let source: Arc<dyn TokenSource> = tokens.clone();
    let (mona, _told) = connect(ClientOptions::with_tokens(server.url(), "mona", source)).await;
    assert_eq!(*tokens.wishes.lock().expect("no panic inside"), [TokenWish::Any, TokenWish::Fresh]);
    mona.renew(server.token("mona")).await.expect("the server takes it");
    let refused = mona.renew(server.token("liam")).await.expect_err("somebody else's");
    assert_eq!(refused.kind, RefusalKind::Unauthenticated);
    assert!(mona.send_text(&Target::user("liam"), "still here").await.is_ok());
}

struct Bot(Child);

impl Bot {
    /// The example, which cargo builds beside its tests.
    fn start(server: &TestServer, token: &str) -> Self {
        let test = std::env::current_exe().expect("this program has a path");
        let bot = test.ancestors().nth(2).expect("target/PROFILE/deps").join("examples/bot");
        let mut command = Command::new(bot);
        command.args([&*server.url(), "bot", token]).arg(server.path("bot.json")).stdout(Stdio::null());
        Self(command.spawn().expect("the bot can be run"))
    }

    fn kill(mut self) {
        self.0.kill().expect("our own child");
        self.0.wait().expect("our own child");
    }
}

#[tokio::test]
async fn the_bot_answers_once_also_what_came_while_it_was_down() {
    let source = include_str!("../examples/bot.rs");
    assert!(source.lines().count() <= 50, "the bot has 50 lines");
    let server = TestServer::start();
    let (alice, at_alice) = client(&server, "alice", Protocol::JsonRpc).await;
    let (to_bot, token) = (Target::user("bot"), server.token("bot"));
    let answers = || {
        let from_bot =
            at_alice.messages().into_iter().filter(|message| message.from == "bot" && message.stream.is_none());
        from_bot.map(|message| text_of(&message)).collect::<Vec<String>>()
    };
    let counted = || {
        let mut reader = StreamReader::default();
        let grown: Vec<_> = at_alice.messages().iter().filter_map(|message| reader.take(message)).collect();
        grown.into_iter().filter(|stream| stream.is_done).map(|stream| stream.text).collect::<Vec<String>>()
    };
    let bot = Bot::start(&server, &token);
    alice.send_text(&to_bot, "hello").await.expect("stored");
    wait_for("an answer", || answers().len() == 1).await;
    alice.send_text(&to_bot, "count").await.expect("stored");
    wait_for("the count", || counted() == ["one two three."]).await;
    bot.kill();
    alice.send_text(&to_bot, "are you there?").await.expect("stored");
    let bot = Bot::start(&server, &token);
    wait_for("the other answer", || answers().len() == 2).await;
    assert_eq!(answers(), ["You said: hello", "You said: are you there?"]);
    bot.kill();
}
