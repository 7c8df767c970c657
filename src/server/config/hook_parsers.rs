//! Parsers and formatters of the hook's knobs.

use crate::model::{OnHookFailure, SendKind, SendKinds};
use crate::server::config::options::Options;
use crate::server::outbound::addresses::AddressPolicy;

pub fn show_url(options: &Options) -> String {
    options.hook.url.clone().unwrap_or_default()
}

/// What the URL may be depends on `hook.addresses` and is checked with it. An empty text means no hook.
pub fn set_url(options: &mut Options, text: &str) -> Result<(), String> {
    if text.contains(['"', '\\']) || text.chars().any(char::is_control) {
        return Err("is not a URL".to_owned());
    }
    options.hook.url = (!text.is_empty()).then(|| text.to_owned());
    Ok(())
}

pub fn show_on_failure(options: &Options) -> String {
    let name = match options.hook.on_failure {
        None => "",
        Some(OnHookFailure::Open) => "open",
        Some(OnHookFailure::Closed) => "closed",
    };
    name.to_owned()
}

pub fn set_on_failure(options: &mut Options, text: &str) -> Result<(), String> {
    options.hook.on_failure = match text {
        "" => None,
        "open" => Some(OnHookFailure::Open),
        "closed" => Some(OnHookFailure::Closed),
        _ => return Err(format!("\"{text}\" is not allowed; use open or closed")),
    };
    Ok(())
}

pub fn show_asked(options: &Options) -> String {
    let asked = SendKind::ALL.into_iter().filter(|kind| options.hook.asked.contains(*kind));
    asked.map(SendKind::name).collect::<Vec<_>>().join(",")
}

pub fn set_asked(options: &mut Options, text: &str) -> Result<(), String> {
    let named = |name: &str| SendKind::ALL.into_iter().find(|kind| kind.name() == name.trim());
    let names = text.split(',').filter(|name| !name.trim().is_empty());
    let kinds = names.map(named).collect::<Option<SendKinds>>();
    options.hook.asked = kinds.ok_or_else(|| {
        let known = SendKind::ALL.map(SendKind::name).join(", ");
        format!("\"{text}\": expected one or more of {known}, separated by commas")
    })?;
    Ok(())
}

pub fn show_secret_file(options: &Options) -> String {
    options.hook.secret_file.as_ref().map_or_else(String::new, |path| path.display().to_string())
}

/// An empty text means no file.
pub fn set_secret_file(options: &mut Options, text: &str) -> Result<(), String> {
    options.hook.secret_file = (!text.is_empty()).then(|| text.into());
    Ok(())
}

pub fn show_addresses(options: &Options) -> String {
    let name = match options.hook.addresses {
        AddressPolicy::Public => "public",
        AddressPolicy::Any => "any",
    };
    name.to_owned()
}

pub fn set_addresses(options: &mut Options, text: &str) -> Result<(), String> {
    options.hook.addresses = match text {
        "public" => AddressPolicy::Public,
        "any" => AddressPolicy::Any,
        _ => return Err(format!("\"{text}\" is not allowed; use public or any")),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_needs_a_choice_a_secret_and_a_url_that_may_be_called() {
        let mut options = Options::default();
        assert_eq!(options.problems(), Vec::<String>::new(), "no hook");
        set_url(&mut options, "http://example.com/").expect("checked later");
        set_asked(&mut options, "").expect("checked later");
        let problems = options.problems().join("\n");
        for key in ["hook.on_failure", "hook.secret_file", "hook.asked", "hook.url"] {
            assert!(problems.contains(key), "{key} is not in {problems}");
        }
        assert!(options.hook.policy().asked.is_empty(), "nobody is asked");
        set_url(&mut options, "https://10.0.0.1/").expect("checked later");
        set_on_failure(&mut options, "closed").expect("a choice");
        set_secret_file(&mut options, "hook.secret").expect("a path");
        set_asked(&mut options, "stored, system").expect("kinds");
        assert_eq!(options.problems(), [r#"hook.url: "https://10.0.0.1/" is a private address, which is not allowed"#]);
        set_addresses(&mut options, "any").expect("a choice");
        assert_eq!(options.problems(), Vec::<String>::new());
        assert_eq!(
            (show_asked(&options), show_on_failure(&options)),
            ("stored,system".to_owned(), "closed".to_owned())
        );
        assert!(!options.hook.policy().asked.is_empty());
    }
}
