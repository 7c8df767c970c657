//! What a function may look like: no longer than a screen, `unsafe` only with a reason, at the edge, and few
//! parameters.

use crate::source::Source;
use crate::{FUNCTION_LINES_MAX, PARAMETERS_MAX};
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::Visit;

/// Functions that need scrolling, and `unsafe` that is out of place or has no reason.
pub struct Bodies<'a> {
    source: &'a Source,
    /// Where the statements and match arms begin that are being visited.
    statements: Vec<usize>,
    pub long_functions: Vec<String>,
    pub bare_unsafe: Vec<String>,
    pub many_parameters: Vec<String>,
}

impl Bodies<'_> {
    fn measure(&mut self, name: &syn::Ident, from: Span, to: Span) {
        let (first, last) = (from.start().line, to.end().line);
        if last - first + 1 > FUNCTION_LINES_MAX {
            let what = format!("{name} has {} lines, more than {FUNCTION_LINES_MAX}", last - first + 1);
            self.long_functions.push(self.source.at(first, &what));
        }
    }

    /// Beside `self`; a tuple is as many as it has parts.
    fn count_parameters(&mut self, signature: &syn::Signature) {
        let parts = signature.inputs.iter().map(|input| match input {
            syn::FnArg::Receiver(_) => 0,
            syn::FnArg::Typed(typed) => match (&*typed.ty, &*typed.pat) {
                (syn::Type::Tuple(tuple), _) => tuple.elems.len(),
                (_, syn::Pat::Tuple(tuple)) => tuple.elems.len(),
                _ => 1,
            },
        });
        let count: usize = parts.sum();
        if count > PARAMETERS_MAX {
            let what = format!("{} has {count} parameters, more than {PARAMETERS_MAX}", signature.ident);
            self.many_parameters.push(self.source.at(signature.ident.span().start().line, &what));
        }
    }

    fn judge_unsafe(&mut self, keyword: Span) {
        let line = keyword.start().line;
        let has_reason = std::iter::once(line)
            .chain(self.statements.last().copied())
            .any(|line| comment_above(&self.source.text, line).contains("SAFETY:"));
        if self.source.room() != "server" {
            self.bare_unsafe.push(self.source.at(line, "`unsafe` outside src/server"));
        } else if !has_reason {
            self.bare_unsafe.push(self.source.at(line, "`unsafe` without a SAFETY comment right before it"));
        }
    }
}

/// The comment lines that stand right above a 1-based line, attributes between them skipped.
fn comment_above(text: &str, line: usize) -> String {
    let lines: Vec<&str> = text.lines().take(line - 1).map(str::trim_start).collect();
    let above = lines.iter().rev().skip_while(|line| line.starts_with("#["));
    above.take_while(|line| line.starts_with("//")).fold(String::new(), |found, line| format!("{line}\n{found}"))
}

impl<'ast> Visit<'ast> for Bodies<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig.ident, item.sig.span(), item.block.span());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig.ident, item.sig.span(), item.block.span());
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(keyword) = signature.unsafety {
            self.judge_unsafe(keyword.span());
        }
        self.count_parameters(signature);
        syn::visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(keyword) = item.unsafety {
            self.judge_unsafe(keyword.span());
        }
        syn::visit::visit_item_impl(self, item);
    }

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        self.statements.push(statement.span().start().line);
        syn::visit::visit_stmt(self, statement);
        self.statements.pop();
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.statements.push(arm.span().start().line);
        syn::visit::visit_arm(self, arm);
        self.statements.pop();
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.judge_unsafe(block.unsafe_token.span());
        syn::visit::visit_expr_unsafe(self, block);
    }
}

pub fn bodies(source: &Source) -> Bodies<'_> {
    let mut bodies = Bodies {
        source,
        statements: Vec::new(),
        long_functions: Vec::new(),
        bare_unsafe: Vec::new(),
        many_parameters: Vec::new(),
    };
    bodies.visit_file(&source.syntax());
    bodies
}
