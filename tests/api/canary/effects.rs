//! Every effect of the simulated sources' faults at every operation; where a source may say something, it gives all away.

use scrm_gateway::sandbox::Source;
use scrm_gateway::sandbox::faults::{Effect, Rule, Target, WrongTypes};

use super::requests::of_all_operations;
use super::seeds::{MOBILE, indiscretion};
use super::service::Service;
use super::settings::TIMEOUT;

/// The names of all effects; `name` keeps them whole.
const ALL: [&str; 22] = [
    "delay",
    "drip",
    "code",
    "status",
    "refuse_connections",
    "reset",
    "truncate",
    "html",
    "wrong_types",
    "duplicate_page",
    "insert_rows",
    "clock_skew",
    "token_revoked",
    "damaged_text",
    "row_without_id",
    "other_customer",
    "wrong_total",
    "repeat_cursor",
    "fail_items",
    "stray_failure",
    "oversized",
    "never_answer",
];

/// An effect that is new has to be named here, in `ALL` and in `effects`.
fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Delay { .. } => "delay",
        Effect::Drip { .. } => "drip",
        Effect::Code { .. } => "code",
        Effect::Status { .. } => "status",
        Effect::RefuseConnections => "refuse_connections",
        Effect::Reset { .. } => "reset",
        Effect::Truncate { .. } => "truncate",
        Effect::Html { .. } => "html",
        Effect::WrongTypes(_) => "wrong_types",
        Effect::DamagedText => "damaged_text",
        Effect::RowWithoutId => "row_without_id",
        Effect::OtherCustomer => "other_customer",
        Effect::DuplicatePage => "duplicate_page",
        Effect::InsertRows(_) => "insert_rows",
        Effect::ClockSkew(_) => "clock_skew",
        Effect::TokenRevoked => "token_revoked",
        Effect::WrongTotal(_) => "wrong_total",
        Effect::RepeatCursor => "repeat_cursor",
        Effect::FailItems { .. } => "fail_items",
        Effect::StrayFailure => "stray_failure",
        Effect::Oversized { .. } => "oversized",
        Effect::NeverAnswer { .. } => "never_answer",
    }
}

fn effects(of: Source) -> Vec<Effect> {
    let code = |code| Effect::Code { code, message: indiscretion(of), applied: false };
    let status = |status, retry_after: Option<&str>| Effect::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
        body: indiscretion(of),
        applied: false,
    };
    let late = TIMEOUT * 3 / 2;
    vec![
        Effect::Delay { min: late, max: None, applied: true },
        Effect::Drip { bytes: 1, every: TIMEOUT / 5 },
        code(84_061),
        code(40_001),
        code(45_009),
        code(50_001),
        code(40_058),
        code(99_999),
        status(400, None),
        status(401, None),
        status(429, Some("1")),
        status(503, Some(MOBILE)),
        // A body that is no JSON, of a success.
        status(200, None),
        Effect::RefuseConnections,
        Effect::Reset { applied: true },
        Effect::Truncate { keep: None },
        Effect::Html { applied: false },
        Effect::WrongTypes(WrongTypes::DataIsText),
        Effect::WrongTypes(WrongTypes::NumbersAreObjects),
        Effect::DamagedText,
        Effect::RowWithoutId,
        Effect::OtherCustomer,
        Effect::DuplicatePage,
        Effect::InsertRows(1),
        Effect::ClockSkew(-600),
        Effect::TokenRevoked,
        Effect::WrongTotal(7),
        Effect::RepeatCursor,
        Effect::FailItems { items: 1, code: 0, item_code: 84_061 },
        Effect::StrayFailure,
        Effect::Oversized { mib: 2, chunked: true },
        Effect::NeverAnswer { applied: false },
    ]
}

pub async fn all(service: &mut Service) {
    let (of_juzibot, of_tanma) = (effects(Source::Juzibot), effects(Source::Tanma));
    for kind in ALL {
        assert!(of_juzibot.iter().any(|effect| name(effect) == kind), "{kind} is left out");
    }
    for (effect, of_tanma) in of_juzibot.into_iter().zip(of_tanma) {
        let state = service.sandbox.state().clone();
        let mut script = Vec::new();
        for (source, effect) in [(Source::Juzibot, effect.clone()), (Source::Tanma, of_tanma)] {
            let rule = Rule::new(Target::Source(source), effect);
            // One that makes no sense at a source is refused.
            if state.set_faults(vec![rule.clone()]).await.is_ok() {
                script.push(rule);
            }
        }
        assert!(!script.is_empty(), "{effect:?}");
        state.set_faults(script).await.unwrap();
        let statuses = service.ask(&format!("{effect:?}"), of_all_operations(&state)).await;
        assert!(statuses.iter().all(|status| *status != 500), "{effect:?}: {statuses:?}");
        state.clear_faults().await;
    }
}
