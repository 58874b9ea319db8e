//! A secret that was put in the place of any other value is not told, whatever is wrong with it there; and no form in which the
//! configuration can be printed has one.

use scrm_gateway::config::Config;
use scrm_gateway::sandbox;
use toml::{Table, Value};

use super::seeds::{self, APP_KEY, TOKEN};
use super::settings;

/// The paths of all values, and of the sections that hold them.
fn paths(table: &Table, within: &[String], found: &mut Vec<Vec<String>>) {
    for (key, value) in table {
        let path = [within, std::slice::from_ref(key)].concat();
        if let Value::Table(table) = value {
            paths(table, &path, found);
        }
        found.push(path);
    }
}

/// The configuration with this value in that place.
fn with(table: &Table, path: &[String], value: Value) -> Table {
    let mut all = table.clone();
    let (last, sections) = path.split_last().unwrap();
    let mut section = &mut all;
    for key in sections {
        let below = section.entry(key.clone()).or_insert_with(|| Table::new().into());
        section = below.as_table_mut().unwrap();
    }
    section.insert(last.clone(), value);
    all
}

#[test]
fn a_secret_in_the_place_of_any_value_is_not_told() {
    let scanner = seeds::for_secrets();
    let folder = tempfile::tempdir().unwrap();
    let (text, _) = settings::full(folder.path());
    let shown: Table = Config::from_toml(&text).unwrap().shown.parse().unwrap();
    let table: Table = text.parse().unwrap();
    let mut all = Vec::new();
    paths(&shown, &[], &mut all);
    paths(&table, &[], &mut all);
    assert!(all.len() > 100, "{}", all.len());
    let mut refused = 0;
    // Where a file is looked for is told, so that it can be found.
    for path in all.into_iter().filter(|path| !path.last().is_some_and(|key| key.ends_with("_file"))) {
        let nested = Table::from_iter([("x".to_owned(), Value::from(TOKEN))]);
        let values = [
            Value::from(TOKEN),
            Value::from(format!("{TOKEN}\n{APP_KEY}")),
            Value::from(format!("https://{APP_KEY}")),
            Value::from(format!("http://user:{TOKEN}@hub.example/?token={TOKEN}")),
            Value::from(vec![TOKEN, APP_KEY]),
            Value::from(vec![Value::from(nested.clone())]),
            Value::from(nested),
        ];
        for value in values {
            let changed = toml::to_string(&with(&table, &path, value)).unwrap();
            if let Err(error) = Config::from_toml(&changed) {
                refused += 1;
                let place = path.join(".");
                scanner.check(&place, error.to_string());
                scanner.check(&place, format!("{error:?}"));
            }
        }
    }
    assert!(refused > 400, "{refused}");
}

#[test]
fn no_printed_form_of_the_configuration_has_a_secret() {
    let scanner = seeds::for_secrets();
    let folder = tempfile::tempdir().unwrap();
    let (text, _) = settings::full(folder.path());
    assert!(scanner.find(&text).is_some(), "they are in it");
    let config = Config::from_toml(&text).unwrap();
    scanner.check("what check shows", &config.shown);
    scanner.check("Debug", format!("{config:?}"));
    scanner.check("Debug", format!("{config:#?}"));
    let mut options = sandbox::Options::default();
    options.juzibot.token = TOKEN.to_owned().into();
    options.tanma.app_key = APP_KEY.to_owned().into();
    scanner.check("the sandbox's options", format!("{options:?}"));
}
