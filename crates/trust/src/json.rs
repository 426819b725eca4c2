//! Strict reading and canonical writing of JSON.
//!
//! Signed documents are read with no duplicate keys, no floating-point numbers and a bounded depth, so that two
//! readers can never take one text for two things. TUF metadata and key ids are written in OLPC canonical JSON, as TUF
//! has it; Sortie's own documents differ from that form only in how control characters are escaped.

use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The deepest nesting a signed document may have.
const MAX_DEPTH: usize = 32;

/// Why a text is not acceptable as a signed JSON document.
#[derive(Debug, thiserror::Error)]
#[error("not a strict JSON document: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Parses `bytes` refusing duplicate keys, floats, depth over 32 and trailing bytes, then reads it as `T`.
pub fn from_strict<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    Ok(serde_json::from_value(strict_value(bytes)?)?)
}

/// As [`from_strict`], leaving the value untyped.
pub fn strict_value(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// OLPC canonical JSON of `value`: sorted keys, no white space, only `"` and `\` escaped.
///
/// Panics never for values Sortie builds: floats are refused with an error by [`serde_json`]'s caller types.
pub fn canonical<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, JsonError> {
    let value = serde_json::to_value(value)?;
    let mut out = Vec::with_capacity(256);
    write(&value, olpc_string, &mut out)?;
    Ok(out)
}

/// The bytes of a document that Sortie itself defines: sorted keys, no white space, and strings escaped as JSON wants
/// them, so that any text survives. (OLPC's form writes control characters bare, which no strict reader takes.)
pub fn sorted<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, JsonError> {
    let value = serde_json::to_value(value)?;
    let mut out = Vec::with_capacity(256);
    write(&value, json_string, &mut out)?;
    Ok(out)
}

type WriteString = fn(&str, &mut Vec<u8>);

fn write(value: &Value, string: WriteString, out: &mut Vec<u8>) -> Result<(), JsonError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Number(n) if n.is_f64() => return Err(JsonError(de::Error::custom("a floating-point number"))),
        Value::Number(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::String(s) => string(s, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, string, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (i, (key, value)) in fields.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                string(key, out);
                out.push(b':');
                write(value, string, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn json_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(Value::from(text).to_string().as_bytes());
}

/// A string as OLPC canonical JSON has it.
pub(crate) fn olpc_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(de::Error::custom("nested too deeply"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without floats and duplicate keys")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a floating-point number"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict { depth: self.depth + 1 })? {
            items.push(item);
        }
        Ok(items.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(Strict { depth: self.depth + 1 })?;
            if map.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the key {key:?} stands twice")));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for bad in [r#"{"a":1,"a":2}"#, r#"{"a":1.5}"#, r#"{"a":1} x"#, "", r#"{"a":1e3}"#, &"[".repeat(40)] {
            assert!(strict_value(bad.as_bytes()).is_err(), "{bad} was taken");
        }
        assert!(strict_value(br#"{"a":[1,{"b":null}]}"#).is_ok());
    }

    #[test]
    fn any_text_survives_the_form_of_our_own_documents() {
        let value = Value::from("line\nline\t\u{1b}[0m \"quoted\" \\ \u{2028}");
        let bytes = sorted(&value).unwrap();
        assert_eq!(strict_value(&bytes).unwrap(), value);
        assert_eq!(sorted(&strict_value(br#"{"b":1,"a":[]}"#).unwrap()).unwrap(), br#"{"a":[],"b":1}"#);
    }

    #[test]
    fn canonical_form_sorts_and_escapes_as_olpc_does() {
        let value = strict_value(br#"{"b": "x\"\\\n", "a": [true, -1]}"#).unwrap();
        assert_eq!(canonical(&value).unwrap(), b"{\"a\":[true,-1],\"b\":\"x\\\"\\\\\n\"}");
    }
}
