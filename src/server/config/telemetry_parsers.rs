//! Parsers and formatters of the knobs about spans.

use crate::server::config::options::Options;

pub fn show_otlp_url(options: &Options) -> String {
    options.telemetry.otlp_url.clone().unwrap_or_default()
}

/// What the URL may be is checked with the other settings. An empty text means none.
pub fn set_otlp_url(options: &mut Options, text: &str) -> Result<(), String> {
    if text.contains(['"', '\\']) || text.chars().any(char::is_control) {
        return Err("is not a URL".to_owned());
    }
    options.telemetry.otlp_url = (!text.is_empty()).then(|| text.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_to_a_url_that_may_be_called_by_a_thread_that_is_there() {
        let mut options = Options::default();
        assert_eq!(options.problems(), [""; 0], "off");
        set_otlp_url(&mut options, "http://127.0.0.1:4318/v1/traces").expect("a URL");
        assert_eq!(options.problems(), [""; 0]);
        assert!(set_otlp_url(&mut options, "http://\n").is_err());
        set_otlp_url(&mut options, "http://collector.example.org/v1/traces").expect("checked later");
        options.admin.listen = None;
        let problems = options.problems().join("\n");
        assert!(problems.contains("use https") && problems.contains("admin.listen must not be off"), "{problems}");
    }
}
