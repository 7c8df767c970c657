//! `mushan group`: groups of a running server, over the operator's HTTP API.

use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::arguments::parse_duration_ms;
use crate::terminal::date;
use crate::terminal::date::now;
use crate::terminal::failure::Failure;
use hyper::Method;
use serde_json::{Value, json};

/// Create, show and change groups of a running server
///
/// Every command uses the server's HTTP API (`mushan serve --admin-listen`) and can be repeated safely.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: GroupVerb,
}

#[derive(clap::Subcommand)]
enum GroupVerb {
    Create(Create),
    Show(Show),
    /// Add members to a group
    Add(Several),
    /// Remove members from a group
    Remove(Several),
    Set(Set),
    Dissolve(OneGroup),
}

/// Create a group
#[derive(clap::Args)]
struct Create {
    group: String,
    #[arg(long, value_name = "USER")]
    owner: String,
    /// Members beside the owner
    #[arg(long, value_name = "USER", num_args = 1..)]
    members: Vec<String>,
    #[command(flatten)]
    api: ApiFlags,
}

/// Print a group and its members, a page at a time
#[derive(clap::Args)]
struct Show {
    group: String,
    /// Only members whose ids come after this one
    #[arg(long, value_name = "USER")]
    after: Option<String>,
    /// Members of one page, at most 1000
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    #[command(flatten)]
    api: ApiFlags,
}

#[derive(clap::Args)]
struct Several {
    group: String,
    #[arg(value_name = "USER", required = true)]
    users: Vec<String>,
    #[command(flatten)]
    api: ApiFlags,
}

/// Set a member's role, or mute a member
#[derive(clap::Args)]
struct Set {
    group: String,
    user: String,
    /// member, admin or owner
    #[arg(long)]
    role: Option<String>,
    /// End of the mute in Unix milliseconds; 0 ends it now
    #[arg(long, value_name = "MILLIS", conflicts_with = "mute_for")]
    muted_until: Option<u64>,
    /// Duration of the mute from now on: a number and ms, s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    mute_for: Option<u64>,
    #[command(flatten)]
    api: ApiFlags,
}

/// Dissolve a group
#[derive(clap::Args)]
struct OneGroup {
    group: String,
    #[command(flatten)]
    api: ApiFlags,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        GroupVerb::Create(Create { group, owner, members, api }) => {
            let body = json!({ "id": group, "owner": owner, "members": members });
            let call = Call::new(Method::POST, &["groups"]).with_body(body).or_say(
                "group_exists",
                format!("the group {group} exists already, with another owner or other members"),
            );
            api.run(call, |_| format!("the group {group} exists; its owner is {owner}"))
        }
        GroupVerb::Show(arguments) => show(arguments),
        GroupVerb::Add(Several { group, users, api }) => api.run(change(group, json!({ "add": users })), |_| {
            format!("now members of the group {group}: {}", users.join(", "))
        }),
        GroupVerb::Remove(Several { group, users, api }) => {
            let told = |_: &Value| format!("not members of the group {group}: {}", users.join(", "));
            api.run(change(group, json!({ "remove": users })), told)
        }
        GroupVerb::Set(arguments) => set(arguments),
        GroupVerb::Dissolve(OneGroup { group, api }) => {
            let call = Call::new(Method::DELETE, &["groups", group]).or_say(ABSENT, there_is_none(group));
            api.run(call, |_| format!("the group {group} is dissolved"))
        }
    }
}

fn change(group: &str, body: Value) -> Call {
    Call::new(Method::POST, &["groups", group, "members"]).with_body(body).or_say(ABSENT, there_is_none(group))
}

const ABSENT: &str = "conversation_not_exist";

fn there_is_none(group: &str) -> String {
    format!("there is no group {group}")
}

fn show(arguments: &Show) -> Result<(), Failure> {
    let mut call =
        Call::new(Method::GET, &["groups", &arguments.group]).or_say(ABSENT, there_is_none(&arguments.group));
    if let Some(after) = &arguments.after {
        call = call.with_query("after", after);
    }
    if let Some(limit) = arguments.limit {
        call = call.with_query("limit", &limit.to_string());
    }
    arguments.api.run(call, told)
}

fn told(group: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!(
        "{}: {}, owned by {}, newest message {}",
        text(&group["id"]),
        counted(group["member_count"].as_u64().unwrap_or_default()),
        text(&group["owner"]),
        group["newest_seq"]
    )];
    for member in group["members"].as_array().into_iter().flatten() {
        let muted = match member["muted_until"].as_u64() {
            None | Some(0) => String::new(),
            Some(until) => format!(", muted until {}", date::of_millis(until)),
        };
        lines.push(format!("  {} ({}{muted})", text(&member["user"]), text(&member["role"])));
    }
    if let Some(next) = group["next"].as_str() {
        lines.push(format!("next page: --after {next}"));
    }
    lines.join("\n")
}

fn counted(members: u64) -> String {
    if members == 1 { "1 member".to_owned() } else { format!("{members} members") }
}

fn set(arguments: &Set) -> Result<(), Failure> {
    let Set { group, user, role, muted_until, mute_for, api } = arguments;
    let muted_until = muted_until.or(mute_for.map(|duration_ms| now().plus(duration_ms).0));
    let mut body = serde_json::Map::new();
    if let Some(role) = role {
        body.insert("role".to_owned(), json!(role));
    }
    if let Some(muted_until) = muted_until {
        body.insert("muted_until".to_owned(), json!(muted_until));
    }
    if body.is_empty() {
        return Err(Failure::new("nothing to set: use --role, --muted-until or --mute-for"));
    }
    let call = Call::new(Method::PUT, &["groups", group, "members", user])
        .with_body(Value::Object(body))
        .or_say(ABSENT, there_is_none(group));
    api.run(call, |_| format!("changed {user} in the group {group}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_told_in_lines() {
        let group = json!({
            "id": "team", "owner": "ann", "created": 1, "member_count": 3, "newest_seq": 7, "next": "ben",
            "members": [
                {"user": "ann", "role": "owner", "muted_until": 0},
                {"user": "ben", "role": "member", "muted_until": 5},
            ],
        });
        let expected = "team: 3 members, owned by ann, newest message 7\n  ann (owner)\n  ben (member, muted until 1970-01-01 00:00:00 UTC)\n\
                        next page: --after ben";
        assert_eq!(told(&group), expected);
    }
}
