//! The programs in docs/BACKEND.md, as they stand there: a message sent, and events followed over a kill of the server, in
//! Python, Node and curl.

use crate::common::http::Api;
use crate::common::mounts::skip;
use crate::common::{Home, PATIENCE, mushan, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// The block of code in a document that contains these words.
pub fn block(document: &str, language: &str, words: &str) -> String {
    let text = std::fs::read_to_string(document).unwrap_or_else(|error| panic!("{document}: {error}"));
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    let found = blocks.map(str::to_owned).find(|block| block.contains(words));
    found.unwrap_or_else(|| panic!("{document} has no block in {language} with {words:?}"))
}

/// Whether the program is installed and can do what the documents' programs ask of it; says so where it is not.
pub fn is_here(program: &str) -> bool {
    let probe: &[&str] = match program {
        "node" => &["-e", "process.exit(typeof fetch == 'function' ? 0 : 1)"],
        "curl" => &["--fail-with-body", "--version"],
        "openssl" => &["version"],
        _ => &["--version"],
    };
    let is_here = Command::new(program).args(probe).output().is_ok_and(|probed| probed.status.success());
    if !is_here {
        skip(program, "it is not installed or too old, and a program of the documents was not run");
    }
    is_here
}

/// How a language runs a program: the interpreter and its flags before the text.
struct Language {
    fence: &'static str,
    interpreter: &'static str,
    flags: &'static [&'static str],
}

const PYTHON: Language = Language { fence: "python", interpreter: "python3", flags: &["-u", "-c"] };
const NODE: Language = Language { fence: "js", interpreter: "node", flags: &["--input-type=module", "-e"] };

impl Language {
    /// The program with these words, about to run against this API.
    fn command(&self, words: &str, api: &Api) -> Command {
        let mut command = Command::new(self.interpreter);
        command.args(self.flags).arg(block("docs/BACKEND.md", self.fence, words));
        about(command, api)
    }
}

/// The command for curl with these words.
fn curl(words: &str, api: &Api) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("exec {}", block("docs/BACKEND.md", "sh", words)));
    about(command, api)
}

fn about(mut command: Command, api: &Api) -> Command {
    command.env("API_URL", format!("http://{}", api.address)).env("API_TOKEN", &api.token);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A program that runs until it is dropped, and the lines that it writes.
struct Following {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Following {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it runs");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, seen: Vec::new() }
    }

    /// Reads lines to the first with these words.
    fn until(&mut self, words: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {words:?} after {:?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(words) {
                return;
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn output_of(mut command: Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The newest message that the programs have sent is this one.
fn expect_sent(api: &Api, id: &str) {
    let history = api.get("/v1/users/shop/history/bob").json();
    let newest = history["messages"].as_array().and_then(|messages| messages.last()).cloned().expect("a message");
    assert_eq!((&newest["client_msg_id"], &newest["payload"]["content"]), (&json!(id), &json!("Thank you.")));
}

/// Variables that begin as the server's settings do would be unknown settings to a server in the same shell.
#[test]
fn a_server_starts_in_the_shell_in_which_the_programs_find_it() {
    let exports = block("docs/BACKEND.md", "console", "export");
    let names = exports.split_whitespace().filter_map(|word| word.split_once('=')).map(|(name, _)| name);
    let mut command = mushan();
    command.arg("check");
    for name in names.clone() {
        command.env(name, "x");
    }
    assert_eq!(names.collect::<Vec<_>>(), ["API_URL", "API_TOKEN"]);
    let output = run(command);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_message_is_sent_in_each_language_and_a_repetition_is_the_same_message() {
    let home = Home::new();
    let (_server, api) = home.start_with_api();
    for (language, id) in [(PYTHON, "python-4711"), (NODE, "node-4711")] {
        if is_here(language.interpreter) {
            for status in ["201 ", "200 "] {
                let said = output_of(language.command(id, &api));
                assert!(said.starts_with(status), "{said}");
            }
            expect_sent(&api, id);
        }
    }
    if is_here("curl") {
        for is_repeated in [false, true] {
            let answer: Value = serde_json::from_str(&output_of(curl("curl-4711", &api))).expect("JSON");
            assert_eq!(answer["duplicate"], is_repeated);
        }
        expect_sent(&api, "curl-4711");
    }
}

fn send(api: &Api, ids: Range<usize>) {
    for id in ids {
        let id = format!("m-{id:02}");
        let body = json!({"from": "ann", "to": {"user": "ben"}, "client_msg_id": id, "payload": {}});
        api.post("/v1/messages", &body).expect(201);
    }
}

#[test]
fn events_are_followed_over_a_kill_without_a_gap_or_a_double() {
    for language in [PYTHON, NODE] {
        if !is_here(language.interpreter) {
            continue;
        }
        let (home, folder) = (Home::new(), tempfile::tempdir().expect("a folder"));
        let begin = |api: &Api| {
            let mut command = language.command("types=message.created", api);
            command.current_dir(folder.path());
            Following::start(command)
        };
        let (server, api) = home.start_with_api();
        let mut first = begin(&api);
        send(&api, 0..20);
        first.until("m-19");
        server.kill();
        // By then the cursor of the last event is kept.
        first.until("the stream broke off");
        let (_server, api) = home.start_with_api();
        send(&api, 20..40);
        let mut second = begin(&api);
        second.until("m-39");
        let mut seen = [std::mem::take(&mut first.seen), std::mem::take(&mut second.seen)].concat();
        seen.retain(|line| line.starts_with("m-"));
        let expected: Vec<String> = (0..40).map(|id| format!("m-{id:02}")).collect();
        assert_eq!(seen, expected, "{}", language.interpreter);
    }
}

#[test]
fn curl_shows_the_events() {
    if !is_here("curl") {
        return;
    }
    let home = Home::new();
    let (_server, api) = home.start_with_api();
    let mut following = Following::start(curl("types=message.created", &api));
    send(&api, 0..3);
    (0..3).for_each(|id| following.until(&format!("\"m-{id:02}\"")));
}

/// The commands of a block of a document for the console, with what they read from the lines after them.
fn commands(document: &str, words: &str) -> String {
    let lines = block(document, "console", words);
    lines.lines().map(|line| format!("{}\n", line.strip_prefix("$ ").unwrap_or(line))).collect()
}

#[test]
fn the_commands_that_set_a_webhook_up_make_a_valid_configuration() {
    if !is_here("openssl") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let server = mushan().get_program().to_owned();
    let programs = std::path::Path::new(&server).parent().expect("a folder").display().to_string();
    let mut command = Command::new("sh");
    command.args(["-ec", &commands("docs/WEBHOOKS.md", "whsec_")]).current_dir(folder.path());
    command.env("PATH", format!("{programs}:{}", std::env::var("PATH").expect("a path")));
    let output = run(command);
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(shown.contains("name = \"orders\"") && shown.contains("https://example.com/events"), "{shown}");
}
