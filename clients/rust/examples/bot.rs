//! A bot that answers every message, in groups too, and streams an answer to "count". What it has answered is in its file:
//! a message that comes while it is down is answered when it is up again. A stream that its end interrupts is begun anew.
//!
//! `cargo run -p mushan-client --example bot -- ws://127.0.0.1:8081 bot "$(mushan token --user bot)" bot.json`

#![allow(clippy::disallowed_methods, reason = "a program has arguments")]

use mushan_client::{Client, ClientOptions, EntryBody, Event, FileStore, Message, Outgoing, Refused, TypingState};
use mushan_client::{text_content, text_of};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, user, token, file] = &arguments[..] else { return Err("URL USER TOKEN FILE".into()) };
    let options = ClientOptions::new(url, user, token).device("bot").store(FileStore::new(file));
    let (bot, mut events) = Client::connect(options)?;
    // Asking for the next event says that the one before is answered: it is not told again.
    while let Some(event) = events.next().await {
        let Event::Entry(entry) = event else { continue };
        let EntryBody::Message(message) = entry.body else { continue };
        if message.from == *user || message.is_revoked || message.stream.is_some() {
            continue;
        }
        if let Err(refused) = answer(&bot, &message).await {
            eprintln!("not sent: {refused}");
        }
    }
    Err(bot.status().borrow().reason.clone().unwrap_or_default().into())
}

async fn answer(bot: &Client, message: &Message) -> Result<(), Refused> {
    let (to, text) = (&message.conversation, text_of(message));
    println!("{}: {text}", message.from);
    if text == "count" {
        bot.typing(to, TypingState::Typing);
        let mut stream = bot.stream(to);
        for word in ["one", " two", " three"] {
            stream.write(word).await?;
        }
        return stream.end(".").await.map(drop);
    }
    // An id that follows from the question: asked twice, it is still one answer.
    let content = text_content(&format!("You said: {text}"));
    bot.send_outgoing(Outgoing::new(format!("answer-{}", message.id), to.clone(), content)).await.map(drop)
}
