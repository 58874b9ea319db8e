//! `SECURITY.md`: every threat of its table names the tests that hold the defence, and these are there.

use std::collections::BTreeSet;
use std::path::Path;

const TEXT: &str = include_str!("../../SECURITY.md");

/// The names of all tests of this binary, as `cargo test` has them.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api");
    let mut names = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let module = path.strip_prefix(&root).unwrap().with_extension("");
            let module: Vec<_> = module.iter().filter_map(|part| part.to_str()).filter(|part| *part != "mod").collect();
            let text = std::fs::read_to_string(&path).unwrap();
            let after_attributes = text.split("\n#[test]").chain(text.split("\n#[tokio::test"));
            names.extend(after_attributes.skip(1).filter_map(|rest| {
                let (_, rest) = rest.split_once("fn ")?;
                Some(format!("{}::{}", module.join("::"), rest.split('(').next()?))
            }));
        }
    }
    names
}

/// The rows of the table of threats: what each is of, and the names in its last column.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let table = TEXT.lines().skip_while(|line| !line.starts_with("| threat ")).skip(2);
    let table = table.take_while(|line| line.starts_with('|'));
    table
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [threat, _defence, held_by] = cells[..] else { panic!("three cells: {line}") };
            (threat, held_by.split('`').skip(1).step_by(2).collect())
        })
        .collect()
}

#[test]
fn every_threat_names_tests_that_are_there() {
    let tests = tests();
    assert!(tests.contains("security::every_threat_names_tests_that_are_there"), "they are found");
    let missing: Vec<String> = rows()
        .into_iter()
        .flat_map(|(threat, named)| {
            let none = named.is_empty().then(|| format!("{threat}: names no test"));
            let gone = named.into_iter().filter(|name| !tests.contains(*name)).map(|name| format!("no test {name}"));
            none.into_iter().chain(gone.collect::<Vec<_>>())
        })
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_risk_of_the_owasp_list_is_a_threat() {
    for risk in 1..=10 {
        let of = rows().iter().filter(|(threat, _)| threat.starts_with(&format!("**API{risk}** "))).count();
        assert_eq!(of, 1, "API{risk}:2023");
    }
}
