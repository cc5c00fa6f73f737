//! Bodies of calls as trees: a generator makes a nearly valid body of a method from the bytes. It
//! is written in both encodings, which must be read as the same request.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use peerd::runtime::commands::{Method, Request};
use peerd_protocol::encoding::Encoding;
use peerd_protocol::value::Value;
use serde_json::Value as Json;

use super::bodies;
use super::node::Node;

/// Larger bodies are not tried. It has room for more values than a body may have.
const SIZE_MAX_BYTES: usize = 200_000;
/// The nesting of messages.
const DEPTH: usize = 5;
/// The approximate length of a list without a bound in its schema.
const FEW: u16 = 3;

/// See [`super::Target::check`].
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let Ok((method, node)) = call(&mut source) else { return };
    if node.size() > SIZE_MAX_BYTES {
        return;
    }
    let (packed, json) = (node.packed(), node.json());
    let in_packed = Value::decode(Encoding::MessagePack, &packed);
    let in_json = Value::decode(Encoding::Json, &json);
    assert_eq!(in_packed.is_ok(), in_json.is_ok(), "{in_packed:?}\nand as JSON\n{in_json:?}");
    if let (Ok(in_packed), Ok(in_json), false) = (&in_packed, &in_json, node.has_bytes()) {
        assert_eq!(in_packed, in_json);
    }
    if in_packed.is_err() {
        return;
    }
    let from_packed = Request::parse(method, Encoding::MessagePack, &packed, super::USER_ID_BYTES);
    let from_json = Request::parse(method, Encoding::Json, &json, super::USER_ID_BYTES);
    bodies::agree(&node, &from_packed, &from_json);
    bodies::judge(&from_packed);
    bodies::judge(&from_json);
}

type Fields = Vec<(String, Node)>;

/// The methods with the schemas of their requests. Bodies are generated from the schemas, so that a
/// new method is covered without a change here.
static SCHEMAS: LazyLock<Vec<(Method, Json)>> = LazyLock::new(|| {
    let schema = |method: &Method| (*method, Json::from(method.request_schema()));
    Method::ALL.iter().map(schema).collect()
});

fn call(source: &mut Unstructured<'_>) -> Result<(Method, Node)> {
    let (method, root) = source.choose(&SCHEMAS)?;
    if source.ratio(1, 16)? {
        return Ok((*method, anything(source, 6)?));
    }
    let mut fields = Fields::new();
    add_fields(source, root, root, DEPTH, &mut fields)?;
    if source.ratio(1, 8)? {
        let (name, value) = (short(source)?, anything(source, 3)?);
        fields.push((name, value));
    }
    Ok((*method, Node::Object(fields)))
}

/// A value that follows a schema. `depth` is the nesting that is left.
fn value(source: &mut Unstructured<'_>, root: &Json, schema: &Json, depth: usize) -> Result<Node> {
    let schema = resolve(root, schema);
    if let Some(constant) = schema.get("const") {
        return Ok(constant_node(constant));
    }
    if let Some(values) = schema["enum"].as_array() {
        return source.choose(values).map(constant_node);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        // The other choice is null, which `anything` generates.
        let choice = choices.first().expect("a choice");
        return value(source, root, choice, depth);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("boolean") => flag(source),
        Some("integer") => {
            if source.ratio(1, 2)? {
                small(source)
            } else {
                number(source)
            }
        }
        Some("array") => list(source, root, schema, depth),
        Some("string") if schema.get("contentEncoding").is_some() => bytes(source),
        Some("string") => match schema["format"].as_str() {
            Some("userID") => user(source),
            Some("messageID") => message_id(source),
            _ => text(source),
        },
        _ => {
            let mut fields = Fields::new();
            add_fields(source, root, schema, depth, &mut fields)?;
            Ok(Node::Object(fields))
        }
    }
}

/// Adds the fields of an object, including those of the schemas that it is composed of.
fn add_fields(
    source: &mut Unstructured<'_>,
    root: &Json,
    schema: &Json,
    depth: usize,
    fields: &mut Fields,
) -> Result<()> {
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        let made = match source.int_in_range(0..=23)? {
            // Most fields follow the schema; some are left out or of any type.
            0 => continue,
            1 => anything(source, 2)?,
            _ => value(source, root, of, depth)?,
        };
        fields.push((name.clone(), made));
    }
    let reference = schema.get("$ref").map(|_| resolve(root, schema));
    let parts = schema["allOf"].as_array().into_iter().flatten();
    for part in parts.map(|part| resolve(root, part)).chain(reference) {
        add_fields(source, root, part, depth, fields)?;
    }
    if let Some(variants) = schema["oneOf"].as_array() {
        // At the end of the nesting, only variants without nested ones.
        let is_flat = |variant: &&Json| depth > 0 || !holds_list(resolve(root, variant));
        let variants: Vec<&Json> = variants.iter().filter(is_flat).collect();
        let variant = *source.choose(&variants)?;
        add_fields(source, root, variant, depth, fields)?;
    }
    Ok(())
}

fn holds_list(schema: &Json) -> bool {
    let properties = schema["properties"].as_object();
    properties.is_some_and(|fields| fields.values().any(|field| field["type"] == "array"))
}

fn resolve<'s>(root: &'s Json, schema: &'s Json) -> &'s Json {
    let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    name.map_or(schema, |path| root.pointer(path).expect("a definition"))
}

fn constant_node(constant: &Json) -> Node {
    let number = constant.as_u64().map(Node::Number);
    number.unwrap_or_else(|| Node::Text(constant.as_str().unwrap_or_default().to_owned()))
}

/// A list, sometimes around the maximum length.
fn list(source: &mut Unstructured<'_>, root: &Json, schema: &Json, depth: usize) -> Result<Node> {
    let depth = depth.saturating_sub(1);
    let item = |source: &mut Unstructured<'_>| value(source, root, &schema["items"], depth);
    if source.ratio(1, 16)? {
        let max = schema["maxItems"].as_u64().and_then(|max| u16::try_from(max).ok());
        let max = max.unwrap_or(FEW);
        let times = *source.choose(&[0, 1, max, max + 1])?;
        return Ok(Node::Repeated(Box::new(item(source)?), times));
    }
    let length = source.int_in_range(0..=4)?;
    Ok(Node::List((0..length).map(|_| item(source)).collect::<Result<_>>()?))
}

fn user(source: &mut Unstructured<'_>) -> Result<Node> {
    let known = ["bob", "carol", "a.b c", "the sender", "x*y"];
    Ok(Node::Text(if source.ratio(7, 8)? {
        (*source.choose(&known)?).to_owned()
    } else {
        short(source)?
    }))
}

fn short(source: &mut Unstructured<'_>) -> Result<String> {
    let length = source.int_in_range(0..=40)?;
    Ok(String::from_utf8_lossy(source.bytes(length)?).into_owned())
}

/// Texts, sometimes as long as a bound.
fn text(source: &mut Unstructured<'_>) -> Result<Node> {
    let lengths = [64, 65, 128, 256, 257, 1024, 2048, 2049, 4096, 4097, 33_000];
    Ok(Node::Text(if source.ratio(1, 8)? {
        "x".repeat(*source.choose(&lengths)?)
    } else {
        short(source)?
    }))
}

fn flag(source: &mut Unstructured<'_>) -> Result<Node> {
    source.arbitrary().map(Node::Flag)
}

fn small(source: &mut Unstructured<'_>) -> Result<Node> {
    source.int_in_range(0..=3).map(Node::Number)
}

fn number(source: &mut Unstructured<'_>) -> Result<Node> {
    let edges = [0, 1, 100, 200, 256, 1000, 1 << 32, (1 << 53) - 1, 1 << 53, u64::MAX];
    Ok(Node::Number(if source.arbitrary()? {
        *source.choose(&edges)?
    } else {
        source.arbitrary()?
    }))
}

fn message_id(source: &mut Unstructured<'_>) -> Result<Node> {
    Ok(Node::Text(source.arbitrary::<u64>()?.to_string()))
}

fn bytes(source: &mut Unstructured<'_>) -> Result<Node> {
    let length = source.int_in_range(0..=40)?;
    source.bytes(length).map(|bytes| Node::Bytes(bytes.to_vec()))
}

/// Any tree of a given depth.
fn anything(source: &mut Unstructured<'_>, depth: usize) -> Result<Node> {
    let kinds = if depth == 0 { 6 } else { 10 };
    Ok(match source.int_in_range(0..=kinds)? {
        0 => Node::Null,
        1 => flag(source)?,
        2 => number(source)?,
        3 => Node::Negative(-source.int_in_range(1..=i64::MAX)?),
        4 => Node::Fraction,
        5 => text(source)?,
        6 => bytes(source)?,
        7 => {
            let length = source.int_in_range(0..=4)?;
            Node::List((0..length).map(|_| anything(source, depth - 1)).collect::<Result<_>>()?)
        }
        8 => {
            let length = source.int_in_range(0..=4)?;
            let one = |_| Ok((short(source)?, anything(source, depth - 1)?));
            Node::Object((0..length).map(one).collect::<Result<_>>()?)
        }
        9 => Node::Repeated(Box::new(anything(source, depth - 1)?), source.int_in_range(0..=150)?),
        _ => Node::Nested(source.int_in_range(0..=30)?, Box::new(anything(source, depth - 1)?)),
    })
}

/// See [`super::Target::seeds`].
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    // The bytes have no meaning of their own; long inputs make large trees.
    let rising = |step: u8| (0..=255_u8).map(|byte| byte.wrapping_mul(step)).collect();
    [1, 3, 7, 31, 85, 129].into_iter().map(rising).collect()
}
