//! The committed form: a section an operation, a line a fault.

use std::fmt::Write as _;

use scrm_gateway::sandbox::Source;

use super::measure::{Cell, Operation};

const HEAD: &str = "# Faults and what callers see of them

Made by `make faults`, and held to by a test: every fault of the simulated sources at every operation. Do not edit.

The gateway makes two attempts at a read, within 1 s each and 4 s in all, a merge waits 600 ms after its first answer, and
the breaker is kept closed. *Calls* are those that reached the source at fault. *Time* is `fast` (before the grace
or the timeout), `grace`, `timeout`, `2 × timeout`, or `Retry-After`: the second that the source asked for was waited.
*The page* is what is answered without a fault. For every row the test also checks: the answer comes before the deadline; no
failure is cached; the other source is not affected; no item that was not applied is `succeeded`, and none that was is `failed`
or `not_sent`; no `unconfirmed` item is `retryable`; no text contains an address or a secret; the answer is not `internal`; after
the fault the same cursor returns the page, and a resume cursor returns the rest.
";

/// One line.
pub struct Line {
    pub operation: Operation,
    pub fault: String,
    pub cell: Cell,
}

impl Line {
    pub fn text(&self) -> String {
        let Cell { answer, calls, time, remains } = &self.cell;
        let remains = remains.as_ref().map(|remains| format!(" {remains} |")).unwrap_or_default();
        format!("| {} | {answer} | {calls} | {time} |{remains}", self.fault)
    }
}

fn title(operation: Operation) -> String {
    let name = |source| if source == Source::Juzibot { "JuziBot" } else { "Tanma" };
    match operation {
        Operation::List(source) => format!("The second page of {}'s list", name(source)),
        Operation::Detail(source) => format!("A detail of {} alone", name(source)),
        Operation::Merged(source) => format!("A detail over both, {} at fault", name(source)),
        Operation::Stream(source) => format!("A stream of {}, struck after its first page", name(source)),
        Operation::Remarks => "Three remarks".to_owned(),
        Operation::FollowUps => "Three follow-ups".to_owned(),
    }
}

pub fn render(lines: &[Line]) -> String {
    let mut text = HEAD.to_owned();
    for operation in Operation::ALL {
        let (last, rule) = match operation {
            Operation::Detail(_) | Operation::Merged(_) => (" asked again, the fault over |", "---|"),
            Operation::Remarks | Operation::FollowUps => (" applied |", "---|"),
            Operation::List(_) | Operation::Stream(_) => ("", ""),
        };
        let title = title(operation);
        let _ = writeln!(text, "\n## {title}\n\n| fault | answer | calls | time |{last}\n|---|---|---|---|{rule}");
        for line in lines.iter().filter(|line| line.operation == operation) {
            let _ = writeln!(text, "{}", line.text());
        }
    }
    text
}

/// The committed line of the same operation and fault.
pub fn committed_line(committed: &str, line: &Line) -> Option<String> {
    let heading = format!("## {}", title(line.operation));
    let section = committed.lines().skip_while(|text| **text != heading).skip(1);
    let start = format!("| {} |", line.fault);
    section.take_while(|text| !text.starts_with("## ")).find(|text| text.starts_with(&start)).map(str::to_owned)
}
