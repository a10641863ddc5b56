//! Sections that comments cite exist in the document they name.
//!
//! Four forms are read: `docs/protocol.md 3.2` (any document, several numbers), a document with the title
//! of a section in quotation marks (`docs/NAME.md, "Title"`), `protocol 3.2` or `oblivious-encoding 3.2` for short, and a number
//! alone in parentheses, as in `(4.1)`, which means docs/protocol.md, or docs/oblivious-encoding.md within the
//! ring engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::sources::{read, rust_files};
use crate::metadata::Workspace;

/// How comments name documents for short: `Protocol 3.2` at the beginning of a sentence, too.
const SHORT: &[(&str, &str)] = &[
    ("rotocol ", "protocol.md"),
    ("oblivious-encoding ", "oblivious-encoding.md"),
];

/// The numbers and titles of a document's sections.
#[derive(Debug, Default)]
struct Outline {
    numbers: BTreeSet<String>,
    titles: BTreeSet<String>,
}

/// One citation: a document, and what of it.
#[derive(Debug, PartialEq, Eq)]
struct Citation {
    document: String,
    section: Section,
}

#[derive(Debug, PartialEq, Eq)]
enum Section {
    Number(String),
    Title(String),
}

pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let outlines = outlines(&workspace.root.join("docs"))?;
    for (name, folder) in &workspace.members {
        // This file's own examples are not citations.
        if name == "xtask" {
            continue;
        }
        let own = match name.as_str() {
            "harpo-oblivious" => "oblivious-encoding.md",
            _ => "protocol.md",
        };
        for file in rust_files(folder)? {
            for comment in comments(&read(&file)?) {
                for citation in citations(&comment.text, own) {
                    if let Some(complaint) = judge(&citation, &outlines) {
                        let shown = file.strip_prefix(&workspace.root).unwrap_or(&file);
                        complaints.push(format!(
                            "{}:{}: {complaint}",
                            shown.display(),
                            comment.line
                        ));
                    }
                }
            }
        }
    }
    Ok(complaints)
}

fn judge(citation: &Citation, outlines: &BTreeMap<String, Outline>) -> Option<String> {
    let Citation { document, section } = citation;
    let Some(outline) = outlines.get(document) else {
        return Some(format!("cites docs/{document}, which does not exist"));
    };
    match section {
        Section::Number(number) if !outline.numbers.contains(number) => Some(format!(
            "cites section {number} of docs/{document}, which has no such section"
        )),
        Section::Title(title) if !outline.titles.contains(title) => Some(format!(
            "cites \"{title}\" of docs/{document}, which has no such title"
        )),
        _ => None,
    }
}

fn outlines(folder: &Path) -> Result<BTreeMap<String, Outline>> {
    let mut outlines = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md")
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            outlines.insert(name.to_owned(), outline(&read(&path)?));
        }
    }
    Ok(outlines)
}

/// Headings, numbered or not, and numbers that begin a bold passage.
fn outline(document: &str) -> Outline {
    let mut outline = Outline::default();
    for line in document.lines() {
        if line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim();
            let (number, rest) = leading_number(heading);
            if let Some(number) = number {
                outline.numbers.insert(number);
            }
            outline
                .titles
                .insert(rest.trim_start_matches(['.', ' ']).to_owned());
        }
        for (at, _) in line.match_indices("**") {
            if let (Some(number), _) = leading_number(&line[at + 2..]) {
                outline.numbers.insert(number);
            }
        }
    }
    outline
}

/// A run of comment lines as one text, with the line it begins at.
struct Comment {
    line: usize,
    text: String,
}

fn comments(source: &str) -> Vec<Comment> {
    let mut comments: Vec<Comment> = Vec::new();
    let mut last = None;
    for (index, line) in source.lines().enumerate() {
        let Some(at) = line.find("//") else { continue };
        let (before, after) = line.split_at(at);
        let text = after.trim_start_matches(['/', '!']).trim();
        // Only a comment that stands alone goes on from the one above.
        if before.trim().is_empty() && last == index.checked_sub(1) && last.is_some() {
            if let Some(comment) = comments.last_mut() {
                comment.text.push(' ');
                comment.text.push_str(text);
            }
        } else {
            comments.push(Comment {
                line: index + 1,
                text: text.to_owned(),
            });
        }
        last = before.trim().is_empty().then_some(index);
    }
    comments
}

fn citations(comment: &str, own: &str) -> Vec<Citation> {
    let mut found = Vec::new();
    let numbers = |document: &str, numbers: Vec<String>| {
        numbers
            .into_iter()
            .map(|number| Citation {
                document: document.to_owned(),
                section: Section::Number(number),
            })
            .collect::<Vec<_>>()
    };
    for (at, _) in comment.match_indices("docs/") {
        let rest = &comment[at + "docs/".len()..];
        let Some(end) = rest.find(".md") else {
            continue;
        };
        let document = &rest[..end + ".md".len()];
        if document.contains(' ') {
            continue;
        }
        let rest = rest[document.len()..].trim_start_matches(['`', ',', ' ']);
        let rest = rest
            .trim_start_matches("sections")
            .trim_start_matches("section")
            .trim_start();
        found.extend(numbers(document, number_list(rest).0));
        if let Some((title, _)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            found.push(Citation {
                document: document.to_owned(),
                section: Section::Title(title.to_owned()),
            });
        }
    }
    for (short, document) in SHORT {
        for (at, _) in comment.match_indices(short) {
            let list = number_list(&comment[at + short.len()..]).0;
            found.extend(numbers(document, list));
        }
    }
    for (at, _) in comment.match_indices('(') {
        let (list, rest) = number_list(&comment[at + 1..]);
        if rest.starts_with(')') && list.iter().all(|number| number.contains('.')) {
            found.extend(numbers(own, list));
        }
    }
    found
}

/// `3.2, 3.3 and 4` → the numbers, and what follows them.
fn number_list(text: &str) -> (Vec<String>, &str) {
    let mut numbers = Vec::new();
    let mut rest = text;
    let mut after = text;
    while let (Some(number), tail) = leading_number(rest) {
        numbers.push(number);
        after = tail;
        let Some(tail) = [", ", " and ", "-", "–"]
            .iter()
            .find_map(|link| tail.strip_prefix(link))
        else {
            break;
        };
        rest = tail;
    }
    (numbers, after)
}

/// `3.2 and more` → `3.2`, and what follows. A full stop that ends a sentence is not part of it.
fn leading_number(text: &str) -> (Option<String>, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number = text[..end].trim_end_matches('.');
    if number.is_empty() || number.starts_with('.') || number.contains("..") {
        return (None, text);
    }
    (Some(number.to_owned()), &text[number.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(document: &str, number: &str) -> Citation {
        Citation {
            document: document.to_owned(),
            section: Section::Number(number.to_owned()),
        }
    }

    #[test]
    fn all_forms_are_read() {
        assert_eq!(
            citations(
                "Sealed (docs/protocol.md 3.2, 3.4). Later (4.1).",
                "protocol.md"
            ),
            [
                number("protocol.md", "3.2"),
                number("protocol.md", "3.4"),
                number("protocol.md", "4.1")
            ]
        );
        assert_eq!(
            citations("`docs/protocol.md` is the specification", "protocol.md"),
            []
        );
        assert_eq!(
            citations("see docs/protocol.md section 5.", "x.md"),
            [number("protocol.md", "5")]
        );
        assert_eq!(
            citations("docs/threat-model.md, \"What the cloud may see\"", "x.md"),
            [Citation {
                document: "threat-model.md".to_owned(),
                section: Section::Title("What the cloud may see".to_owned()),
            }]
        );
        assert_eq!(
            citations(
                "The table (oblivious-encoding 2, 3.1). Protocol 2.6.",
                "x.md"
            ),
            [
                number("protocol.md", "2.6"),
                number("oblivious-encoding.md", "2"),
                number("oblivious-encoding.md", "3.1")
            ]
        );
        assert_eq!(citations("n (2048) of (3) and (a 1.2)", "x.md"), []);
    }

    #[test]
    fn a_citation_may_run_over_two_lines() {
        let comments =
            comments("/// As in (docs/protocol.md\n/// 9.2).\nlet x = 1; // (1.1)\n// (1.2)\n");
        let texts: Vec<_> = comments
            .iter()
            .map(|comment| (comment.line, comment.text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [
                (1, "As in (docs/protocol.md 9.2)."),
                (3, "(1.1)"),
                (4, "(1.2)")
            ]
        );
    }

    #[test]
    fn sections_that_do_not_exist_are_found() {
        let outline =
            outline("# The page\n\n## 1. Words\n\n**1.1 `GET`.** Text. Then **1.2** more.\n");
        let outlines = BTreeMap::from([("page.md".to_owned(), outline)]);
        for good in ["1", "1.1", "1.2"] {
            assert_eq!(judge(&number("page.md", good), &outlines), None);
        }
        let complaint = judge(&number("page.md", "1.3"), &outlines).unwrap();
        assert!(complaint.contains("section 1.3"), "{complaint}");
        assert!(judge(&number("gone.md", "1"), &outlines).is_some());
        let title = |title: &str| Citation {
            document: "page.md".to_owned(),
            section: Section::Title(title.to_owned()),
        };
        assert_eq!(judge(&title("Words"), &outlines), None);
        assert!(judge(&title("Deeds"), &outlines).is_some());
    }
}
