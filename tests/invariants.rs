//! The rules of the house that can be read off the sources: which room uses which, no circles, and habits.
//!
//! All code of `src` is read as syntax, test modules apart; what a macro is given is read as tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Lit, Meta, UseTree, Visibility};

/// The rooms from the bottom up. Each uses only those before it, and itself.
const ROOMS: &[&str] = &[
    "error",
    "text",
    "emotions",
    "random",
    "memory",
    "simd",
    "files",
    "image",
    "plot",
    "stats",
    "faces",
    "data",
    "cpu",
    "device",
    "model",
    "input",
    "augment",
    "eval",
    "explain",
    "run_folder",
    "classifier",
    "train",
    "page",
    "report",
    "config",
    "audit",
    "study",
    "run",
    "cli",
];

/// A module of the crate: a file.
#[derive(Default)]
struct Module {
    text: String,
    /// Paths that it uses, from the crate's root: `["data", "split", "Split"]`.
    uses: BTreeSet<Vec<String>>,
    /// What it says again under its own name: name and where it comes from.
    re_exports: BTreeMap<String, Vec<String>>,
    /// `.unwrap()` in code that is no test.
    unwraps: usize,
    /// Public items whose documentation is one to three words.
    short_docs: Vec<String>,
}

fn source(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string().contains("test"),
        Meta::Path(path) => path.is_ident("test"),
        Meta::NameValue(_) => false,
    })
}

/// Modules by their path from the crate's root (`data::split`), without those that only tests have.
fn modules() -> BTreeMap<String, Module> {
    let root = source("src");
    let mut modules = BTreeMap::new();
    let mut test_only = BTreeSet::new();
    for path in rust_files(&root) {
        let file = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
        if stem == "lib" || stem == "main" {
            continue;
        }
        let name = stem.replace('/', "::");
        let text = fs::read_to_string(&path).unwrap();
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut reader = Reader { at: name.split("::").map(str::to_owned).collect(), ..Reader::default() };
        for item in &syntax.items {
            if let Item::Mod(item) = item
                && is_test(&item.attrs)
                && item.content.is_none()
            {
                test_only.insert(format!("{name}::{}", item.ident));
            }
        }
        reader.visit_file(&syntax);
        modules.insert(name, Module { text, ..reader.module });
    }
    modules.retain(|name, _| {
        let parts: Vec<&str> = name.split("::").collect();
        (1..=parts.len()).all(|length| !test_only.contains(&parts[..length].join("::")))
    });
    modules
}

#[derive(Default)]
struct Reader {
    /// The module that is read.
    at: Vec<String>,
    module: Module,
}

impl Reader {
    /// A path from the crate's root.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut from: Vec<String> = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => self.at.clone(),
            "super" => self.at[..self.at.len() - 1].to_vec(),
            // A module below this one, or something from outside, which leads back to this module itself.
            first if path.len() > 1 => [&self.at[..], &[first.to_owned()]].concat(),
            _ => return None,
        };
        for part in &path[1..] {
            if part == "super" {
                from.pop();
            } else {
                from.push(part.clone());
            }
        }
        Some(from)
    }

    fn take(&mut self, path: &[String]) {
        // The `super` or `super::super` of a visibility is no use.
        if path.iter().all(|part| ["crate", "self", "super"].contains(&part.as_str())) {
            return;
        }
        if let Some(path) = self.absolute(path) {
            self.module.uses.insert(path);
        }
    }

    fn take_tree(&mut self, tree: &UseTree, before: &[String], is_public: bool) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.take_tree(&path.tree, &with(&path.ident), is_public),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.take_tree(tree, before, is_public));
            }
            UseTree::Glob(_) => self.take(before),
            UseTree::Name(name) if name.ident == "self" => self.take_name(before, before.last(), is_public),
            UseTree::Name(name) => {
                self.take_name(&with(&name.ident), Some(&name.ident.to_string()), is_public)
            }
            UseTree::Rename(name) => {
                self.take_name(&with(&name.ident), Some(&name.rename.to_string()), is_public);
            }
        }
    }

    fn take_name(&mut self, path: &[String], name: Option<&String>, is_public: bool) {
        self.take(path);
        if let (true, Some(path), Some(name)) = (is_public, self.absolute(path), name) {
            self.module.re_exports.insert(name.clone(), path);
        }
    }

    /// `crate::a::b` within a macro.
    fn take_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            let mut path = Vec::new();
            while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
                path.push(ident.to_string());
                let is_colon = |place: usize| match tokens.get(place) {
                    Some(TokenTree::Punct(punct)) => punct.as_char() == ':',
                    _ => false,
                };
                if !(is_colon(at + 1) && is_colon(at + 2)) {
                    break;
                }
                at += 3;
            }
            if path.len() > 1 {
                self.take(&path);
            }
            if let Some(TokenTree::Group(group)) = tokens.get(at) {
                self.take_tokens(group.stream());
            }
            at += 1;
        }
    }

    fn take_docs(&mut self, visibility: &Visibility, attributes: &[Attribute], name: &str) {
        let doc = |attribute: &Attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        let text = attributes.iter().filter_map(doc).collect::<Vec<_>>().join(" ");
        let words = text.split_whitespace().count();
        // A shape, a unit, a name or a number says enough in three words.
        let says = text.contains(['`', '[', '='])
            || text.contains("in pixels")
            || text.chars().any(char::is_numeric);
        if matches!(visibility, Visibility::Public(_)) && (1..=3).contains(&words) && !says {
            self.module.short_docs.push(name.to_owned());
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let (visibility, attributes, name) = match item {
            Item::Const(item) => (Some(&item.vis), &item.attrs, item.ident.to_string()),
            Item::Enum(item) => (Some(&item.vis), &item.attrs, item.ident.to_string()),
            Item::Fn(item) => (Some(&item.vis), &item.attrs, item.sig.ident.to_string()),
            Item::Mod(item) => (None, &item.attrs, item.ident.to_string()),
            Item::Struct(item) => (Some(&item.vis), &item.attrs, item.ident.to_string()),
            Item::Trait(item) => (Some(&item.vis), &item.attrs, item.ident.to_string()),
            Item::Type(item) => (Some(&item.vis), &item.attrs, item.ident.to_string()),
            Item::Impl(item) => (None, &item.attrs, String::new()),
            Item::Use(item) => {
                if !is_test(&item.attrs) {
                    let is_public = !matches!(item.vis, Visibility::Inherited);
                    self.take_tree(&item.tree, &[], is_public);
                }
                return;
            }
            _ => return visit::visit_item(self, item),
        };
        if is_test(attributes) {
            return;
        }
        if let Some(visibility) = visibility {
            self.take_docs(visibility, attributes, &name);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.take_docs(&item.vis, &item.attrs, &item.sig.ident.to_string());
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        let name = field.ident.as_ref().map_or_else(String::new, ToString::to_string);
        self.take_docs(&field.vis, &field.attrs, &name);
        visit::visit_field(self, field);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.take(&path.segments.iter().map(|part| part.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.take_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.module.unwraps += usize::from(call.method == "unwrap" && call.args.is_empty());
        visit::visit_expr_method_call(self, call);
    }
}

/// The module that a path leads into, through re-exports.
fn target(modules: &BTreeMap<String, Module>, path: &[String]) -> Option<String> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let deepest =
            (1..=path.len()).rev().find(|length| modules.contains_key(&path[..*length].join("::")))?;
        let name = path[..deepest].join("::");
        match path.get(deepest).and_then(|item| modules[&name].re_exports.get(item)) {
            Some(origin) => path = [origin, &path[deepest + 1..]].concat(),
            None => return Some(name),
        }
    }
    None
}

/// Every use of one module by another.
fn arrows(modules: &BTreeMap<String, Module>) -> BTreeSet<(String, String)> {
    let mut arrows = BTreeSet::new();
    for (from, module) in modules {
        let re_exported: BTreeSet<&Vec<String>> = module.re_exports.values().collect();
        for path in &module.uses {
            // Saying a name again is no use of it.
            if let Some(to) = target(modules, path)
                && to != *from
                && !re_exported.contains(path)
            {
                arrows.insert((from.clone(), to));
            }
        }
    }
    arrows
}

fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

#[test]
fn rooms_use_only_rooms_below_them() {
    let modules = modules();
    let floor = |room: &str| {
        ROOMS
            .iter()
            .position(|known| *known == room)
            .unwrap_or_else(|| panic!("{room} has no place in ROOMS"))
    };
    let up: Vec<String> = arrows(&modules)
        .into_iter()
        .filter(|(from, to)| floor(room(to)) > floor(room(from)))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect();
    assert_eq!(up, [""; 0]);
}

#[test]
fn modules_have_no_circles() {
    let modules = modules();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in arrows(&modules) {
        uses.entry(from).or_default().insert(to);
    }
    // What uses nothing that is left can be taken away; what stays is in a circle, or leads to one and from
    // one.
    let mut left: BTreeSet<String> = modules.keys().cloned().collect();
    loop {
        let used: BTreeSet<&String> =
            left.iter().filter_map(|name| uses.get(name)).flatten().filter(|to| left.contains(*to)).collect();
        let next: BTreeSet<String> = left
            .iter()
            .filter(|name| used.contains(name))
            .filter(|name| uses.get(*name).is_some_and(|to| to.iter().any(|to| left.contains(to))))
            .cloned()
            .collect();
        if next == left {
            break;
        }
        left = next;
    }
    let circles: Vec<String> = left
        .iter()
        .flat_map(|from| {
            uses[from].iter().filter(|to| left.contains(*to)).map(move |to| format!("{from} -> {to}"))
        })
        .collect();
    assert_eq!(circles, [""; 0]);
}

#[test]
fn every_use_of_the_reader_is_found() {
    let text = "
        use crate::a::{b, c::D};
        pub use self::inner::E;
        fn f() { crate::g::h(); below::q(); vectorized! { let x = crate::i::J::k(); } }
        #[cfg(test)] mod tests { use crate::z; }
        fn after_the_tests() { super::n::o(); x.unwrap(); }
    ";
    let mut reader = Reader { at: vec!["m".into(), "p".into()], ..Reader::default() };
    reader.visit_file(&syn::parse_file(text).unwrap());
    let uses: Vec<String> = reader.module.uses.iter().map(|path| path.join("::")).collect();
    let expected = ["a::b", "a::c::D", "g::h", "i::J::k", "m::n::o", "m::p::below::q", "m::p::inner::E"];
    assert_eq!(uses, expected);
    assert_eq!((reader.module.unwraps, reader.module.re_exports.len()), (1, 1));
}

#[test]
fn only_run_and_the_command_line_know_the_whole_configuration() {
    let knowing: Vec<(String, String)> = arrows(&modules())
        .into_iter()
        .filter(|(from, to)| to == "config" && !["run", "cli"].contains(&room(from)))
        .collect();
    assert_eq!(knowing, []);
}

#[test]
fn models_touch_files_only_in_their_files_room() {
    let touches = |module: &Module| module.text.contains("std::fs") || module.text.contains("std::io");
    let touching: Vec<String> = modules()
        .into_iter()
        .filter(|(name, module)| room(name) == "model" && touches(module))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("model::files") && !name.starts_with("model::onnx"))
        .collect();
    assert_eq!(touching, [""; 0]);
}

#[test]
fn nothing_unwraps_outside_of_tests() {
    let unwrapping: Vec<String> =
        modules().into_iter().filter(|(_, module)| module.unwraps > 0).map(|(name, _)| name).collect();
    assert_eq!(unwrapping, [""; 0]);
}

#[test]
fn documentation_says_more_than_three_words() {
    let short: Vec<String> = modules()
        .into_iter()
        .flat_map(|(name, module)| module.short_docs.into_iter().map(move |item| format!("{name}: {item}")))
        .collect();
    assert_eq!(short, [""; 0]);
}

/// Everything that people write in Rust here.
fn all_sources() -> Vec<(String, String)> {
    ["src", "crates", "tests", "benches", "examples", "fuzz/fuzz_targets"]
        .into_iter()
        .flat_map(|folder| rust_files(&source(folder)))
        .filter(|path| !path.components().any(|part| part.as_os_str() == "target"))
        .map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn lines_are_at_most_110_characters() {
    let long: Vec<String> = all_sources()
        .into_iter()
        .flat_map(|(path, text)| {
            let too_long = text.lines().enumerate().filter(|(_, line)| line.chars().count() > 110);
            too_long.map(|(number, _)| format!("{path}:{}", number + 1)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(long, [""; 0]);
}

#[test]
fn a_long_file_says_why() {
    let unexplained: Vec<String> = all_sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 600)
        .filter(|(_, text)| {
            !text
                .lines()
                .take_while(|line| line.starts_with("//!"))
                .any(|line| line.contains("More than 600 lines"))
        })
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert_eq!(unexplained, [""; 0]);
}

#[test]
fn an_image_is_called_an_image() {
    let word = ["pic", "ture"].concat();
    let others: Vec<String> = all_sources()
        .into_iter()
        .filter(|(_, text)| text.to_lowercase().contains(&word))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(others, [""; 0]);
}
