//! Descriptions of properties that may be `null`: the derive macro writes them beside the reference inside `oneOf`, where
//! viewers and client generators do not look.

use utoipa::openapi::schema::OneOf;
use utoipa::openapi::{Components, RefOr, Schema};

/// Moves the description of every nullable reference to its property.
pub(super) fn lift_all(components: &mut Components) {
    for schema in components.schemas.values_mut() {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        for property in object.properties.values_mut() {
            if let RefOr::T(Schema::OneOf(nullable)) = property {
                lift(nullable);
            }
        }
    }
}

fn lift(nullable: &mut OneOf) {
    let reference = nullable.items.iter_mut().find_map(|item| match item {
        RefOr::Ref(reference) if !reference.description.is_empty() => Some(reference),
        _ => None,
    });
    if let Some(reference) = reference {
        nullable.description.get_or_insert(std::mem::take(&mut reference.description));
    }
}
