//! Every fault at every operation, held against `docs/faults.md`.

mod faults;
mod measure;
mod table;

use std::sync::Arc;

use faults::Fault;
use measure::Operation;
use table::Line;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");
/// Set, the table is written anew (`make faults`).
const WRITE: &str = "SCRM_WRITE_FAULTS";

/// The cells of one operation, one after the other.
async fn measured(operation: Operation, faults: Vec<Arc<Fault>>) -> Vec<Line> {
    let gateway = operation.gateway().await;
    let mut lines = Vec::new();
    for (number, fault) in faults.into_iter().enumerate() {
        if let Some(cell) = measure::cell(&gateway, operation, &fault, number).await {
            lines.push(Line { operation, fault: fault.name.clone(), cell });
        }
    }
    gateway.stop().await;
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_every_operation_is_answered_as_the_table_says() {
    let faults: Vec<Arc<Fault>> = faults::all().into_iter().map(Arc::new).collect();
    let operations: Vec<_> = Operation::ALL
        .into_iter()
        .map(|operation| {
            let of_it = faults.iter().filter(|fault| fault.is_of(operation)).cloned().collect();
            tokio::spawn(measured(operation, of_it))
        })
        .collect();
    let mut lines = Vec::new();
    for operation in operations {
        lines.extend(operation.await.unwrap());
    }
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(FILE, table::render(&lines)).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    let mut changed = Vec::new();
    for line in &mut lines {
        let expected = table::committed_line(&committed, line);
        if expected.as_deref() == Some(&line.text()) {
            continue;
        }
        println!("{:?}, asked again: {}", line.operation, line.text());
        // On a busy machine a cell may be late. The same row of faults is gone through again, so that what one leaves to the
        // next is not forgiven.
        let of_it = faults.iter().filter(|fault| fault.is_of(line.operation)).cloned().collect();
        let again = measured(line.operation, of_it).await;
        *line = again.into_iter().find(|again| again.fault == line.fault).unwrap();
        if expected.as_deref() != Some(&line.text()) {
            let expected = expected.unwrap_or_else(|| "nothing".to_owned());
            changed.push(format!("{:?}\n  is  {}\n  was {expected}", line.operation, line.text()));
        }
    }
    let changed = changed.join("\n");
    assert!(
        committed == table::render(&lines),
        "docs/faults.md is not what callers see (`make faults` writes it anew, to be looked at and committed):\n{changed}"
    );
}
