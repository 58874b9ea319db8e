//! The configured sources, as a caller may see them.

use std::sync::Arc;

use crate::model::{Caller, Operation, Problem, ProblemCode};
use crate::upstream::Source;

/// All sources, in the order of merges.
#[derive(Clone)]
pub struct Sources(Arc<[Arc<Source>]>);

impl Sources {
    pub fn new(in_order: Vec<Arc<Source>>) -> Self {
        Self(in_order.into())
    }

    /// The sources that the caller sees, in the order of merges.
    pub fn visible<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a Arc<Source>> {
        self.0.iter().filter(|source| caller.sees(&source.name))
    }

    /// The sources that a request names, or all that the caller sees.
    ///
    /// # Errors
    /// `invalid_request` where the name is of no visible source: one answer, whether it exists or not.
    pub fn named(&self, caller: &Caller, name: Option<&str>) -> Result<Vec<Arc<Source>>, Problem> {
        match name {
            None => Ok(self.visible(caller).cloned().collect()),
            Some(name) => match self.visible(caller).find(|source| source.name.as_str() == name) {
                Some(source) => Ok(vec![source.clone()]),
                None => {
                    let detail = format!("names no visible source; there are: {}", self.visible_names(caller));
                    Err(Problem::parameter("source", "not_visible", detail))
                }
            },
        }
    }

    /// The one source that a request is for: the one it names, or the only visible one that offers the operation.
    ///
    /// # Errors
    /// `invalid_request` where it has to be named or names no visible one, `not_offered` where the operation is not to
    /// be had.
    pub fn one_for(&self, caller: &Caller, name: Option<&str>, operation: Operation) -> Result<Arc<Source>, Problem> {
        let mut named = self.named(caller, name)?;
        named.retain(|source| source.offers(operation));
        match (named.pop(), named.is_empty(), name) {
            (Some(source), true, _) => Ok(source),
            (Some(_), false, _) => {
                let detail = format!("is required; one of: {}", self.offering_names(caller, operation));
                Err(Problem::parameter("source", "missing", detail))
            }
            (None, _, Some(name)) => {
                Err(Problem::new(ProblemCode::NotOffered, format!("source {name} does not offer {operation}")))
            }
            (None, _, None) => {
                Err(Problem::new(ProblemCode::NotOffered, format!("no visible source offers {operation}")))
            }
        }
    }

    fn visible_names(&self, caller: &Caller) -> String {
        join(self.visible(caller))
    }

    fn offering_names(&self, caller: &Caller, operation: Operation) -> String {
        join(self.visible(caller).filter(|source| source.offers(operation)))
    }
}

fn join<'a>(sources: impl Iterator<Item = &'a Arc<Source>>) -> String {
    let names: Vec<&str> = sources.map(|source| source.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
