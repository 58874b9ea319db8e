//! Who the simulated sources know, as the tests need to name them.

use scrm_gateway::sandbox::State;
use scrm_gateway::sandbox::people::Person;

/// Everyone.
pub fn everyone(state: &State) -> impl Iterator<Item = Person> {
    let people = state.people();
    (0..people.len()).filter_map(|index| people.person(index))
}

/// Staff ids and union ids that `JuziBot` can write to: a relation of a customer whose union id it tells.
pub fn writable(state: &State) -> impl Iterator<Item = (&'static str, String)> {
    everyone(state).flat_map(|person| {
        let view = person.juzibot.filter(|view| view.union_id.value().is_some());
        let relations = view.into_iter().flat_map(|view| view.relations);
        relations.map(move |relation| (relation.staff.id, person.union_id.clone()))
    })
}
