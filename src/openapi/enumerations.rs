//! Open enumerations: values may be added within `/v1` (contract §2), and a client that was generated from an earlier
//! document must accept them.
//!
//! Every enumeration of `components.schemas` is part of a response and becomes `anyOf` the known values and any string.
//! Enumerations of request parameters are written inline in their parameters and stay closed.

use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{Components, Object, ObjectBuilder, Ref, RefOr, Schema, Type};

/// Prefix of the schema that lists the known values of an open enumeration.
const KNOWN: &str = "Known";
/// Last sentence of the description of an open enumeration.
const OPEN: &str = "Other values may be added within `/v1`; accept unknown ones.";

/// Opens every enumeration of the components.
pub(super) fn open_all(components: &mut Components) {
    for (name, mut values) in enumerations(components) {
        let known = format!("{KNOWN}{name}");
        let description = values.description.take().unwrap_or_default();
        let open = AnyOfBuilder::new()
            .description(Some(format!("{description}\n\n{OPEN}").trim_start()))
            .item(Ref::from_schema_name(&known))
            .item(ObjectBuilder::new().schema_type(Type::String).description(Some("A value added later.")));
        values.description = Some(format!("Values of `{name}` in this version."));
        components.schemas.insert(name, RefOr::T(Schema::AnyOf(open.build())));
        components.schemas.insert(known, RefOr::T(Schema::Object(values)));
    }
}

fn enumerations(components: &Components) -> Vec<(String, Object)> {
    let objects = components.schemas.iter().filter_map(|(name, schema)| match schema {
        RefOr::T(Schema::Object(object)) => Some((name, object)),
        _ => None,
    });
    let enumerations = objects.filter(|(_, object)| object.enum_values.is_some());
    enumerations.map(|(name, object)| (name.clone(), object.clone())).collect()
}
