//! Parsers and formatters of the knobs about certificates that an authority issues.

use crate::server::config::acme::AcmeChallenge;
use crate::server::config::options::Options;

pub fn show_directory_url(options: &Options) -> String {
    options.acme.directory_url.clone()
}

pub fn set_directory_url(options: &mut Options, text: &str) -> Result<(), String> {
    let is_url = text.parse::<hyper::Uri>().is_ok_and(|url| url.authority().is_some() && url.scheme().is_some());
    if !text.is_empty() && !is_url {
        return Err(format!("\"{text}\" is no URL of a directory, such as https://ca.example.org/directory"));
    }
    text.clone_into(&mut options.acme.directory_url);
    Ok(())
}

pub fn show_names(options: &Options) -> String {
    options.acme.names.join(",")
}

pub fn set_names(options: &mut Options, text: &str) -> Result<(), String> {
    let names = text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
    let names: Vec<String> = names.collect();
    let is_label = |label: &str| {
        let is_plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && label.len() <= 63 && is_plain
    };
    let is_name = |name: &str| name.len() <= 253 && name.strip_prefix("*.").unwrap_or(name).split('.').all(is_label);
    if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
        return Err(format!("\"{wrong}\" is no name; write names as in im.example.org,chat.example.org"));
    }
    options.acme.names = names;
    Ok(())
}

pub fn show_contact(options: &Options) -> String {
    options.acme.contact.clone()
}

pub fn set_contact(options: &mut Options, text: &str) -> Result<(), String> {
    let is_address = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !text.is_empty() && (!is_address || text.chars().any(|it| it.is_control() || it.is_whitespace())) {
        return Err(format!("\"{text}\" is no address of mail, such as ops@example.org"));
    }
    text.clone_into(&mut options.acme.contact);
    Ok(())
}

pub fn show_challenge(options: &Options) -> String {
    options.acme.challenge.name().to_owned()
}

pub fn set_challenge(options: &mut Options, text: &str) -> Result<(), String> {
    let named = AcmeChallenge::ALL.into_iter().find(|challenge| challenge.name() == text);
    options.acme.challenge =
        named.ok_or_else(|| format!("\"{text}\" is not allowed; use \"tls-alpn-01\" or \"http-01\""))?;
    Ok(())
}

pub fn show_http_listen(options: &Options) -> String {
    options.acme.http_listen.to_string()
}

pub fn set_http_listen(options: &mut Options, text: &str) -> Result<(), String> {
    options.acme.http_listen =
        text.parse().map_err(|_| format!("\"{text}\" is no address and port, such as 0.0.0.0:80"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_is_read_and_a_wrong_value_is_named() {
        let mut options = Options::default();
        set_directory_url(&mut options, "https://ca.example.org/directory").expect("a URL");
        set_names(&mut options, "IM.example.org, chat.example.org").expect("names");
        set_contact(&mut options, "ops@example.org").expect("an address");
        set_challenge(&mut options, "http-01").expect("a challenge");
        set_http_listen(&mut options, "127.0.0.1:5002").expect("an address");
        let shown = [show_directory_url, show_names, show_contact, show_challenge, show_http_listen];
        let expected = [
            "https://ca.example.org/directory",
            "im.example.org,chat.example.org",
            "ops@example.org",
            "http-01",
            "127.0.0.1:5002",
        ];
        assert_eq!(shown.map(|show| show(&options)), expected);
        type Set = fn(&mut Options, &str) -> Result<(), String>;
        let wrong: [(Set, &str); 7] = [
            (set_directory_url, "ca.example.org"),
            (set_names, "im..example"),
            (set_names, "a b"),
            (set_contact, "ops"),
            (set_contact, "a@b\nc"),
            (set_challenge, "dns-01"),
            (set_http_listen, "80"),
        ];
        for (set, text) in wrong {
            assert!(set(&mut options, text).is_err(), "{text:?}");
        }
        assert_eq!(shown.map(|show| show(&options)), expected, "a wrong value changes nothing");
    }
}
