//! `SECURITY.md`: every threat of its table names the tests that hold the defence, and these are there.

use std::collections::BTreeSet;
use std::path::Path;

const TEXT: &str = include_str!("../../SECURITY.md");

/// The names of all tests of this binary and of the library, as `cargo test` has them.
fn tests() -> BTreeSet<String> {
    ["tests/api", "src"].into_iter().flat_map(tests_below).collect()
}

/// The names of the tests in the files of a folder of the package.
fn tests_below(root: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut names = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.strip_prefix(&root).unwrap().with_extension("");
                let parts = module.iter().filter_map(|part| part.to_str()).filter(|part| *part != "mod");
                let text = std::fs::read_to_string(&path).unwrap();
                names.extend(tests_of(&parts.collect::<Vec<_>>().join("::"), &text));
            }
        }
    }
    names
}

/// The names of the tests in the text of a module: in it, and in its module `tests` if it has one.
fn tests_of(module: &str, text: &str) -> Vec<String> {
    let (own, inner) = text.split_once("\nmod tests {").unwrap_or((text, ""));
    let names = |module: String, text: &str| -> Vec<String> {
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let tests = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| ["#[test]", "#[tokio::test"].iter().any(|a| line.starts_with(a)));
        let name = |(at, _): (usize, &&str)| {
            let (_, rest) = lines[at..].iter().find_map(|line| line.split_once("fn "))?;
            Some(format!("{module}::{}", rest.split('(').next()?))
        };
        tests.filter_map(name).collect()
    };
    [names(module.to_owned(), own), names(format!("{module}::tests"), inner)].concat()
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
    for known in [
        "security::every_threat_names_tests_that_are_there",
        "pace::tests::transfer_earns_time_by_its_bytes_up_to_the_timeout",
        "app::serve::tests::answer_is_cut_at_response_timeout",
        "memory::in_flight::tests::reservations_never_exceed_their_limits_and_are_all_returned",
    ] {
        assert!(tests.contains(known), "{known} is found");
    }
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
        assert!(of > 0, "API{risk}:2023");
    }
}
