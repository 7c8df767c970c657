//! One source file as the rules see it: the paths it mentions and the words it uses, with their lines.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

pub struct Source {
    /// Relative to the package, with `/`.
    pub path: String,
    pub text: String,
    /// Compiled for tests only, as its parent's `#[cfg(test)] mod` says.
    pub is_test: bool,
}

/// A path as written, made absolute: `crate::…`, `std::…` or a crate's name first.
pub struct Mention {
    pub path: String,
    pub line: usize,
}

impl Source {
    pub fn room(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inner.split_once('/').map_or_else(|| inner.trim_end_matches(".rs"), |(room, _)| room)
    }

    /// The module that the file is.
    pub fn module(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let parts = inner.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
        parts.map(str::to_owned).collect()
    }

    pub fn syntax(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    /// All of the file, or what of it is compiled outside tests.
    pub fn mentions(&self, with_tests: bool) -> Vec<Mention> {
        let mut found = Vec::new();
        mentions_of_items(&self.syntax().items, &mut self.module(), with_tests, &mut found);
        found
    }

    /// The names that the file's imports outside tests bring in, each with the path that it stands for.
    pub fn imports(&self) -> Vec<(String, String)> {
        let (module, mut found) = (self.module(), Vec::new());
        for item in self.syntax().items {
            let syn::Item::Use(item) = item else { continue };
            if !is_test_only(&item.attrs) {
                imports_of_tree(&item.tree, &mut Vec::new(), &module, &mut found);
            }
        }
        found
    }

    pub fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

pub fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let words = attribute.to_token_stream().to_string().replace(' ', "");
        words == "#[test]" || words == "#[cfg(test)]"
    })
}

fn attributes_of(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn mentions_of_items(items: &[syn::Item], module: &mut Vec<String>, with_tests: bool, found: &mut Vec<Mention>) {
    for item in items {
        if !with_tests && is_test_only(attributes_of(item)) {
            continue;
        }
        match item {
            syn::Item::Mod(inner) if inner.content.is_some() => {
                module.push(inner.ident.to_string());
                let (_, items) = inner.content.as_ref().expect("matched");
                mentions_of_items(items, module, with_tests, found);
                module.pop();
            }
            _ => mentions_of_tokens(item.to_token_stream(), module, found),
        }
    }
}

fn imports_of_tree(tree: &syn::UseTree, path: &mut Vec<String>, module: &[String], found: &mut Vec<(String, String)>) {
    let mut note = |path: &[String], alias: &syn::Ident| {
        found.extend(absolute(path, module).map(|path| (alias.to_string(), path)));
    };
    match tree {
        syn::UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            imports_of_tree(&inner.tree, path, module, found);
            path.pop();
        }
        syn::UseTree::Group(group) => {
            group.items.iter().for_each(|tree| imports_of_tree(tree, path, module, found));
        }
        syn::UseTree::Name(name) => {
            path.push(name.ident.to_string());
            note(path, &name.ident);
            path.pop();
        }
        syn::UseTree::Rename(name) => {
            path.push(name.ident.to_string());
            note(path, &name.rename);
            path.pop();
        }
        syn::UseTree::Glob(_) => {}
    }
}

/// Token by token, so that the insides of macros are read as well.
fn mentions_of_tokens(tokens: TokenStream, module: &[String], found: &mut Vec<Mention>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(_) => at = take_path(&tokens, at, &[], module, found),
            TokenTree::Group(group) => {
                mentions_of_tokens(group.stream(), module, found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// Reads `a::b::{c, d::e}` from `at` on, notes each of its paths behind `prefix`, and returns where it ends.
fn take_path(
    tokens: &[TokenTree],
    mut at: usize,
    prefix: &[String],
    module: &[String],
    found: &mut Vec<Mention>,
) -> usize {
    let line = tokens[at].span().start().line;
    let mut path = prefix.to_vec();
    while let Some(TokenTree::Ident(word)) = tokens.get(at) {
        path.push(word.to_string());
        at += 1;
        if !(is_punctuation(tokens.get(at), ':') && is_punctuation(tokens.get(at + 1), ':')) {
            break;
        }
        at += 2;
        if let Some(TokenTree::Group(group)) = tokens.get(at).filter(is_brace) {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            for branch in inner.split(|token| is_punctuation(Some(token), ',')).filter(|branch| !branch.is_empty()) {
                take_path(branch, 0, &path, module, found);
            }
            return at + 1;
        }
    }
    if let Some(path) = absolute(&path, module) {
        found.push(Mention { path, line });
    }
    at.max(1)
}

fn is_punctuation(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(mark)) if mark.as_char() == wanted)
}

fn is_brace(token: &&TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// `None` for what stays inside the module, or is one word only.
fn absolute(path: &[String], module: &[String]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let mut whole = match first.as_str() {
        "crate" | "mushan" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module.split_last()?.1.to_vec(),
        _ => return (!rest.is_empty()).then(|| path.join("::")),
    };
    for word in rest {
        if word == "super" {
            whole.pop();
        } else {
            whole.push(word.clone());
        }
    }
    (!whole.is_empty()).then(|| format!("crate::{}", whole.join("::")))
}

/// A word of the source, and the punctuation right behind it.
pub struct Word {
    pub text: String,
    pub next: Option<char>,
    pub line: usize,
}

/// Every word outside tests.
pub fn words(source: &Source) -> Vec<Word> {
    fn collect(tokens: TokenStream, out: &mut Vec<Word>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(word) => {
                    let next = match tokens.get(at + 1) {
                        Some(TokenTree::Punct(mark)) => Some(mark.as_char()),
                        _ => None,
                    };
                    out.push(Word { text: word.to_string(), next, line: word.span().start().line });
                }
                TokenTree::Group(group) => collect(group.stream(), out),
                _ => {}
            }
        }
    }
    fn collect_items(items: &[syn::Item], out: &mut Vec<Word>) {
        for item in items.iter().filter(|item| !is_test_only(attributes_of(item))) {
            match item {
                syn::Item::Mod(inner) if inner.content.is_some() => {
                    collect_items(&inner.content.as_ref().expect("matched").1, out);
                }
                _ => collect(item.to_token_stream(), out),
            }
        }
    }
    let mut out = Vec::new();
    if !source.is_test {
        collect_items(&source.syntax().items, &mut out);
    }
    out
}
