//! The pages of the console, which the program embeds: `web/console/dist`.
//!
//! Invariants: a page loads nothing but from this server and runs no script of its own text; names in `assets/` have a
//! hash of what they name, so browsers keep them for ever; everything else is asked for again each time.

use crate::admin::base::error::ApiError;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

/// Where the console is.
pub const CONSOLE_PATH: &str = "/console/";

/// One file of the console.
struct Asset {
    /// Below `CONSOLE_PATH`.
    name: &'static str,
    body: &'static [u8],
}

// `ASSETS: &[Asset]`, as the build script found them.
include!(concat!(env!("OUT_DIR"), "/console_assets.rs"));

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

pub async fn to_console() -> Redirect {
    Redirect::temporary(CONSOLE_PATH)
}

pub async fn index() -> Result<Response, ApiError> {
    asset("index.html")
}

pub async fn named(Path(name): Path<String>) -> Result<Response, ApiError> {
    asset(&name)
}

fn asset(name: &str) -> Result<Response, ApiError> {
    let found = ASSETS.iter().find(|asset| asset.name == name).ok_or(ApiError::NotFound)?;
    let kept = if name.starts_with("assets/") { IMMUTABLE } else { "no-cache" };
    let headers = [
        (CONTENT_TYPE, media_type(name)),
        (CACHE_CONTROL, kept),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    Ok((StatusCode::OK, headers, found.body).into_response())
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_there_and_names_only_what_is_embedded() {
        let page = ASSETS.iter().find(|asset| asset.name == "index.html").expect("the page is embedded");
        let text = std::str::from_utf8(page.body).expect("text");
        let names: Vec<&str> = text
            .split('"')
            .filter_map(|part| part.strip_prefix(CONSOLE_PATH))
            .filter(|name| !name.is_empty())
            .collect();
        assert!(names.len() >= 2, "a script and a style sheet: {text}");
        for name in names {
            assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
            assert_ne!(media_type(name), "application/octet-stream", "{name}");
        }
    }
}
