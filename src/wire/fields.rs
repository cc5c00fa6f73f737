//! Typed access to the fields of a body, with errors that name the field by its path.

use std::fmt;

use super::value::Value;
use crate::domain::id::UserId;
use crate::domain::rejection::Rejection;
use crate::domain::text::{NOT_A_LINE, is_line};

/// Where in a body something stands. Written out only when an error needs it.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Field(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Path::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// An object of a body. Unknown fields are ignored; null is the same as a field left out.
#[derive(Clone, Copy)]
pub struct Object<'v> {
    fields: &'v [(std::borrow::Cow<'v, str>, Value<'v>)],
    path: Path<'v>,
    /// Longest user ID that a caller may name.
    user_id_bytes: usize,
}

impl<'v> Object<'v> {
    /// The body itself, which must be an object. User IDs in it have `user_id_bytes` at most.
    pub fn root(value: &'v Value<'v>, user_id_bytes: usize) -> Result<Self, Rejection> {
        let Value::Object(fields) = value else {
            return Err(Rejection::invalid("body", "must be an object"));
        };
        Ok(Self { fields, path: Path::Root, user_id_bytes })
    }

    /// An error about a field of this object.
    #[must_use]
    pub fn invalid(&self, name: &str, problem: &str) -> Rejection {
        Rejection::invalid(self.path_of(name), problem)
    }

    /// The path of a field of this object.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        Path::Field(&self.path, name).to_string()
    }

    /// An object inside this one.
    const fn inside<'i>(
        &self,
        fields: &'i [(std::borrow::Cow<'i, str>, Value<'i>)],
        path: Path<'i>,
    ) -> Object<'i> {
        Object { fields, path, user_id_bytes: self.user_id_bytes }
    }

    fn find(&self, name: &str) -> Option<&'v Value<'v>> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).filter(|value| !matches!(value, Value::Null))
    }

    fn require<T>(&self, name: &str, value: Option<T>) -> Result<T, Rejection> {
        value.ok_or_else(|| self.invalid(name, "is missing"))
    }

    /// A text, if it is there.
    pub fn text(&self, name: &str) -> Result<Option<&'v str>, Rejection> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "must be a text")),
        }
    }

    /// A text that must be there.
    pub fn required_text(&self, name: &str) -> Result<&'v str, Rejection> {
        self.require(name, self.text(name)?)
    }

    /// A user's ID that must be there.
    pub fn required_user(&self, name: &str) -> Result<UserId, Rejection> {
        UserId::within(self.required_text(name)?, &self.path_of(name), self.user_id_bytes)
    }

    /// A text, empty if it is not there, of `max_bytes` at most.
    pub fn short_text(&self, name: &str, max_bytes: usize) -> Result<String, Rejection> {
        let text = self.text(name)?.unwrap_or_default();
        if text.len() > max_bytes {
            return Err(self.invalid(name, &format!("must be {max_bytes} bytes or shorter")));
        }
        Ok(text.to_owned())
    }

    /// A text as [`Self::short_text`] reads it that is shown in a line, or that names something.
    pub fn line(&self, name: &str, max_bytes: usize) -> Result<String, Rejection> {
        let line = self.short_text(name, max_bytes)?;
        if is_line(&line) { Ok(line) } else { Err(self.invalid(name, NOT_A_LINE)) }
    }

    /// Bytes that must be there: `bin`, or base64 text where the body is JSON.
    pub fn required_bytes(&self, name: &str, is_json: bool) -> Result<Vec<u8>, Rejection> {
        use base64::Engine as _;
        let value = self.require(name, self.find(name))?;
        if let (Value::Bytes(bytes), false) = (value, is_json) {
            return Ok(bytes.to_vec());
        }
        let text = if let (Value::Text(text), true) = (value, is_json) { Some(text) } else { None };
        let base64 = base64::engine::general_purpose::STANDARD;
        let decoded = text.and_then(|text| base64.decode(text.as_bytes()).ok());
        let problem = if is_json { "must be base64 text" } else { "must be bytes (bin)" };
        decoded.ok_or_else(|| self.invalid(name, problem))
    }

    /// A whole number up to `max`, if it is there.
    pub fn number(&self, name: &str, max: u64) -> Result<Option<u64>, Rejection> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::Number(number)) if *number <= max => Ok(Some(*number)),
            Some(Value::Number(_) | Value::OtherNumber) => {
                Err(self.invalid(name, &format!("must be a whole number from 0 to {max}")))
            }
            Some(_) => Err(self.invalid(name, "must be a number")),
        }
    }

    /// A whole number up to `max` that must be there.
    pub fn required_number(&self, name: &str, max: u64) -> Result<u64, Rejection> {
        self.require(name, self.number(name, max)?)
    }

    /// A list of whole numbers from `min` to `max`, empty if it is not there.
    pub fn numbers(&self, name: &str, min: u64, max: u64) -> Result<Vec<u64>, Rejection> {
        let list = match self.find(name) {
            None => return Ok(Vec::new()),
            Some(Value::List(list)) => list,
            Some(_) => return Err(self.invalid(name, "must be a list")),
        };
        let item = |(index, value): (usize, &Value<'_>)| {
            if let Value::Number(number) = value
                && (min..=max).contains(number)
            {
                return Ok(*number);
            }
            let path = Path::Field(&self.path, name);
            let problem = format!("must be a whole number from {min} to {max}");
            Err(Rejection::invalid(Path::Item(&path, index).to_string(), problem))
        };
        list.iter().enumerate().map(item).collect()
    }

    /// A whole number that fits 32 bits, 0 if it is not there.
    pub fn small_number(&self, name: &str) -> Result<u32, Rejection> {
        let number = self.number(name, u64::from(u32::MAX))?.unwrap_or_default();
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// A flag, if it is there.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Rejection> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::Flag(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.invalid(name, "must be true or false")),
        }
    }

    /// An object, if it is there. `inner` reads it.
    pub fn object<T>(
        &self,
        name: &str,
        inner: impl FnOnce(Object<'_>) -> Result<T, Rejection>,
    ) -> Result<Option<T>, Rejection> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => {
                inner(self.inside(fields, Path::Field(&self.path, name))).map(Some)
            }
            Some(_) => Err(self.invalid(name, "must be an object")),
        }
    }

    /// An object that must be there. `inner` reads it.
    pub fn required_object<T>(
        &self,
        name: &str,
        inner: impl FnOnce(Object<'_>) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        self.require(name, self.object(name, inner)?)
    }

    /// A list of 1 to `max` user IDs that must be there.
    pub fn required_users(&self, name: &str, max: usize) -> Result<Vec<UserId>, Rejection> {
        let item = |path: Path<'_>, value: &Value<'_>| {
            let Value::Text(text) = value else {
                return Err(Rejection::invalid(path.to_string(), "must be a text"));
            };
            UserId::within(text, &path.to_string(), self.user_id_bytes)
        };
        self.required_items(name, max, item)
    }

    /// A list of 1 to `max` objects that must be there. `inner` reads each.
    pub fn required_list<T>(
        &self,
        name: &str,
        max: usize,
        inner: impl Fn(Object<'_>) -> Result<T, Rejection>,
    ) -> Result<Vec<T>, Rejection> {
        let item = |path: Path<'_>, value: &Value<'_>| {
            let Value::Object(fields) = value else {
                return Err(Rejection::invalid(path.to_string(), "must be an object"));
            };
            inner(self.inside(fields, path))
        };
        self.required_items(name, max, item)
    }

    fn required_items<T>(
        &self,
        name: &str,
        max: usize,
        read: impl Fn(Path<'_>, &Value<'_>) -> Result<T, Rejection>,
    ) -> Result<Vec<T>, Rejection> {
        let Value::List(list) = self.require(name, self.find(name))? else {
            return Err(self.invalid(name, "must be a list"));
        };
        if list.is_empty() || list.len() > max {
            return Err(self.invalid(name, &format!("must have 1 to {max} entries")));
        }
        let path = Path::Field(&self.path, name);
        let items = list.iter().enumerate();
        items.map(|(index, value)| read(Path::Item(&path, index), value)).collect()
    }
}
