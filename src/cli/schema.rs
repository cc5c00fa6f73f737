//! `peerd schema`: the contract for machines, from the types of requests, replies and events.

mod asyncapi;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::ValueEnum;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema as _, Schema, json_schema};
use serde_json::{Map, Value, json};

use super::{EXIT_FAILURE, complain, print};
use crate::runtime::commands::{Method, bounded};
use peerd_protocol::api::{self, BUNDLE, Event, Failed, OfflinePush, OmittedEvent, Revised};

/// The schema of a reply to a call that failed.
const FAILURE: &str = "failure";
/// The schema of an offline push.
const PUSH: &str = "push";
/// Where the definitions are.
const DEFINITIONS: &str = "#/$defs/";

pub(super) const HELP: &str = "\
docs/asyncapi.json and docs/schemas.json of the source are this output, for the default subject \
prefix. Nothing connects to NATS.";

/// The form in which the contract is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// `AsyncAPI` 3: subjects, messages with their headers, and calls with their replies.
    Asyncapi,
    /// JSON Schema 2020-12: `request.<method>`, `reply.<method>`, `event.<event>`, `failure` and
    /// `push` under `$defs`, with the types that they use.
    JsonSchema,
}

pub(super) fn run(format: Format) -> ExitCode {
    match serde_json::to_string_pretty(&document(format)) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => complain(EXIT_FAILURE, &error),
    }
}

fn document(format: Format) -> Value {
    match format {
        Format::JsonSchema => json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "peerd",
            "description": "The bodies of requests, replies, events and offline pushes. Bytes are \
                base64 text in JSON, and bin in MessagePack. Readers ignore fields that they do \
                not know.",
            "$defs": definitions(),
        }),
        Format::Asyncapi => asyncapi::document(definitions()),
    }
}

fn request_name(method: &str) -> String {
    format!("request.{method}")
}

fn reply_name(method: &str) -> String {
    format!("reply.{method}")
}

fn event_name(event: &str) -> String {
    format!("event.{event}")
}

/// The names of events, and of a bundle of them.
fn events() -> impl Iterator<Item = &'static str> {
    Event::NAMES.iter().copied().chain([BUNDLE])
}

/// All definitions by their names.
fn definitions() -> Map<String, Value> {
    let groups: Vec<Group> = Method::ALL.iter().copied().map(requests).chain([sent()]).collect();
    let ambiguous = ambiguous(&groups);
    let mut all = Map::new();
    for Group { prefix, roots, definitions } in groups {
        let rename = |name: &str| {
            let prefix = if ambiguous.contains(name) { prefix.as_str() } else { "" };
            format!("{prefix}{name}")
        };
        let definitions = definitions.into_iter().map(|(name, schema)| (rename(&name), schema));
        for (name, mut schema) in definitions.chain(roots) {
            each_reference(&mut schema, &mut |reference| {
                *reference = format!("{DEFINITIONS}{}", rename(target(reference)));
            });
            all.insert(name, schema);
        }
    }
    all
}

/// Schemas that were generated together.
struct Group {
    /// Before the names of those definitions that other groups have otherwise.
    prefix: String,
    /// The bodies.
    roots: Map<String, Value>,
    /// The types that they use.
    definitions: Map<String, Value>,
}

/// The requests of a method.
fn requests(method: Method) -> Group {
    let mut schema = method.request_schema();
    schema.remove("$schema");
    let definitions = match schema.remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    let roots = [(request_name(method.name()), schema.to_value())].into_iter().collect();
    Group { prefix: pascal(method.name()), roots, definitions }
}

/// What peerd sends.
fn sent() -> Group {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with_transform(RecursiveTransform(bounded));
    let settings = settings.with_transform(RecursiveTransform(never_null));
    let mut generator = settings.into_generator();
    let mut roots = Map::new();
    let mut add = |name: String, schema: Option<Schema>| {
        let Some(mut schema) = schema else { return };
        RecursiveTransform(bounded).transform(&mut schema);
        RecursiveTransform(never_null).transform(&mut schema);
        roots.insert(name, schema.to_value());
    };
    for method in api::METHODS {
        add(reply_name(method), api::reply_schema(method, &mut generator));
    }
    for event in events() {
        let shown = api::event_schema(event, &mut generator);
        let omitted = generator.subschema_for::<Revised<OmittedEvent>>();
        add(event_name(event), shown.map(|shown| json_schema!({ "anyOf": [shown, omitted] })));
    }
    add(FAILURE.to_owned(), Some(Failed::json_schema(&mut generator)));
    add(PUSH.to_owned(), Some(OfflinePush::json_schema(&mut generator)));
    Group { prefix: String::new(), roots, definitions: generator.take_definitions(true) }
}

/// What peerd sends has no null: a field that is not there is left out.
fn never_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(mut some)) = schema.remove("anyOf") else { return };
    some.retain(|one| one["type"] != "null");
    match (some.len(), some.pop()) {
        (1, Some(Value::Object(only))) => {
            for (name, value) in only {
                schema.insert(name, value);
            }
        }
        (_, last) => {
            some.extend(last);
            schema.insert("anyOf".to_owned(), some.into());
        }
    }
}

/// The names that mean different things in different groups, themselves or by what they refer to.
fn ambiguous(groups: &[Group]) -> BTreeSet<String> {
    let mut contents: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut uses: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, schema) in groups.iter().flat_map(|group| &group.definitions) {
        contents.entry(name).or_default().insert(schema.to_string());
        each_reference(&mut schema.clone(), &mut |reference| {
            uses.entry(name).or_default().insert(target(reference).to_owned());
        });
    }
    let several = contents.iter().filter(|(_, contents)| contents.len() > 1);
    let mut found: BTreeSet<String> = several.map(|(name, _)| (*name).to_owned()).collect();
    loop {
        let by_use = uses.iter().filter(|(_, used)| !used.is_disjoint(&found));
        let more: BTreeSet<String> = by_use.map(|(name, _)| (*name).to_owned()).collect();
        if more.is_subset(&found) {
            return found;
        }
        found.extend(more);
    }
}

/// The name that a reference means.
fn target(reference: &str) -> &str {
    reference.strip_prefix(DEFINITIONS).unwrap_or(reference)
}

/// Calls a function with each reference in a schema.
fn each_reference(schema: &mut Value, on_reference: &mut impl FnMut(&mut String)) {
    match schema {
        Value::Array(items) => {
            for item in items {
                each_reference(item, on_reference);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Value::String(reference) = value {
                    if name == "$ref" {
                        on_reference(reference);
                    }
                } else {
                    each_reference(value, on_reference);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `send_typing` as `SendTyping`.
fn pascal(name: &str) -> String {
    let words = name.split('_').filter_map(|word| word.split_at_checked(1));
    words.map(|(first, rest)| first.to_uppercase() + rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `peerd schema` prints the files of the documentation. CONTRIBUTING.md tells how to renew.
    #[test]
    fn the_documents_are_what_the_types_say() {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
        let files = [("asyncapi.json", Format::Asyncapi), ("schemas.json", Format::JsonSchema)];
        for (file, format) in files {
            let text = std::fs::read(format!("{docs}/{file}")).expect("is there");
            let found: Value = serde_json::from_slice(&text).expect("is JSON");
            assert!(found == document(format), "renew docs/{file} with `peerd schema`");
        }
    }

    #[test]
    fn the_contract_lists_the_methods_of_the_daemon() {
        let methods: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
        assert_eq!(methods, api::METHODS);
    }

    #[test]
    fn every_reference_leads_to_a_definition() {
        let mut document = document(Format::JsonSchema);
        let names: BTreeSet<String> = definitions().keys().cloned().collect();
        let mut seen = 0;
        each_reference(&mut document, &mut |reference| {
            seen += 1;
            assert!(names.contains(target(reference)), "{reference}");
        });
        assert!(seen > 100, "{seen}");
        for method in api::METHODS {
            assert!(names.contains(&request_name(method)) && names.contains(&reply_name(method)));
        }
        assert!(events().all(|event| names.contains(&event_name(event))));
    }

    #[test]
    fn names_that_mean_different_things_get_a_prefix() {
        let group = |prefix: &str, definitions: Value| {
            let Value::Object(definitions) = definitions else { panic!("no object") };
            Group { prefix: prefix.to_owned(), roots: Map::new(), definitions }
        };
        let uses = json!({ "$ref": "#/$defs/Config" });
        let groups = [
            group("A", json!({ "Config": 1, "User": uses, "Same": true, "Other": uses })),
            group("B", json!({ "Config": 2, "User": uses, "Same": true })),
        ];
        let found: Vec<String> = ambiguous(&groups).into_iter().collect();
        assert_eq!(found, ["Config", "Other", "User"]);
    }
}
