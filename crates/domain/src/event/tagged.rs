//! An event as it is stored: one object, whose field `event` says which event it is and stands before all others.
//!
//! What serde derives for such objects puts all fields aside before it looks which event they belong to. To open a ledger
//! is to read millions of events, so the fields of one that begins with its name are read where they go, at once.
//! An object that begins with something else is put aside first, and reads as the same event.

use super::Event;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, VariantAccess, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
    ser::{Impossible, SerializeStruct, SerializeStructVariant},
};
use serde_json::{Map, Value};
use std::fmt;

/// The field that names the event.
const TAG: &str = "event";

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Whole)
    }
}

struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Event, A::Error> {
        let mut next = fields.next_key()?;
        if matches!(next, Some(Key::Tag)) {
            return Event::deserialize(Tagged(fields));
        }
        let (mut name, mut aside) = (None, Map::new());
        while let Some(key) = next {
            let value = fields.next_value::<Value>()?;
            let before = match key {
                Key::Tag => name.replace(value),
                Key::Other(key) => aside.insert(key, value),
            };
            if before.is_some() {
                return Err(A::Error::custom("a field of the event stands twice"));
            }
            next = fields.next_key()?;
        }
        let name = name.ok_or_else(|| A::Error::missing_field(TAG))?;
        let mut fields = MapDeserializer::new([(TAG.to_owned(), name)].into_iter().chain(aside));
        let _the_tag: Option<Key> = fields.next_key().map_err(A::Error::custom)?;
        Event::deserialize(Tagged(fields)).map_err(A::Error::custom)
    }
}

/// Whether a field is the one that names the event. That one is not worth a string.
enum Key {
    Tag,
    Other(String),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }
            fn visit_str<E>(self, field: &str) -> Result<Key, E> {
                Ok(if field == TAG { Key::Tag } else { Key::Other(field.to_owned()) })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

/// The event's name, which is the next value, and the fields after it, as what serde derives wants to see a variant.
struct Tagged<A>(A);

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Tagged<A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, A: MapAccess<'de>> EnumAccess<'de> for Tagged<A> {
    type Error = A::Error;
    type Variant = Fields<A>;

    fn variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<(S::Value, Fields<A>), A::Error> {
        Ok((self.0.next_value_seed(seed)?, Fields(self.0)))
    }
}

/// The fields after the name.
struct Fields<A>(A);

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        Err(A::Error::custom("every event has fields"))
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, A::Error> {
        Err(A::Error::custom("every event has fields"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, A::Error> {
        Err(A::Error::custom("every event has fields"))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_map(self)
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(NamedOnce(seed))
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

/// A field's name, which must not be the event's own once more: two readers could take such an object for two events.
struct NamedOnce<T>(T);

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for NamedOnce<K> {
    type Value = K::Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Value, D::Error> {
        self.0.deserialize(NamedOnce(deserializer))
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for NamedOnce<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_identifier(NamedOnce(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for NamedOnce<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
    fn visit_str<E: serde::de::Error>(self, field: &str) -> Result<V::Value, E> {
        if field == TAG { Err(E::duplicate_field(TAG)) } else { self.0.visit_str(field) }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Event::serialize(self, Flat(serializer))
    }
}

/// Writes a variant as one object that begins with its name.
struct Flat<S>(S);

fn only_events<T, E: serde::ser::Error>() -> Result<T, E> {
    Err(E::custom("every event has fields"))
}

macro_rules! nothing_but_events {
    ($($method:ident($($type:ty),*);)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<S::Ok, S::Error> {
            only_events()
        })*
    };
}

impl<S: Serializer> Serializer for Flat<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Impossible<S::Ok, S::Error>;
    type SerializeTuple = Impossible<S::Ok, S::Error>;
    type SerializeTupleStruct = Impossible<S::Ok, S::Error>;
    type SerializeTupleVariant = Impossible<S::Ok, S::Error>;
    type SerializeMap = Impossible<S::Ok, S::Error>;
    type SerializeStruct = Impossible<S::Ok, S::Error>;
    type SerializeStructVariant = Flat<S::SerializeStruct>;

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Flat<S::SerializeStruct>, S::Error> {
        let mut object = self.0.serialize_struct(name, len + 1)?;
        object.serialize_field(TAG, variant)?;
        Ok(Flat(object))
    }

    nothing_but_events! {
        serialize_bool(bool); serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64);
        serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64); serialize_f32(f32);
        serialize_f64(f64); serialize_char(char); serialize_str(&str); serialize_bytes(&[u8]); serialize_none();
        serialize_unit(); serialize_unit_struct(&'static str); serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<S::Ok, S::Error> {
        only_events()
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<S::Ok, S::Error> {
        only_events()
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<S::Ok, S::Error> {
        only_events()
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        only_events()
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, S::Error> {
        only_events()
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        only_events()
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        only_events()
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        only_events()
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, S::Error> {
        only_events()
    }
}

impl<S: SerializeStruct> SerializeStructVariant for Flat<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
        self.0.serialize_field(key, value)
    }
    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        self.0.skip_field(key)
    }
    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = r#"{"event":"person-named","person":"ann","name":null}"#;

    #[test]
    fn an_event_begins_with_its_name_and_reads_as_the_same_wherever_that_stands() {
        let event: Event = serde_json::from_str(STORED).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), STORED);
        let later = r#"{"person":"ann","event":"person-named","name":null,"of a later program":[1]}"#;
        assert_eq!(serde_json::from_str::<Event>(later).unwrap(), event);
        assert_eq!(serde_json::from_value::<Event>(serde_json::to_value(&event).unwrap()).unwrap(), event);
    }

    #[test]
    fn an_object_is_one_event_or_none() {
        for bad in [
            r#"{"event":"person-named","person":"ann","name":null,"event":"person-erased"}"#,
            r#"{"event":"person-named","event":"person-erased","person":"ann"}"#,
            r#"{"person":"ann","event":"person-named","event":"person-erased"}"#,
            r#"{"event":"person-named","person":"ann","person":"bob","name":null}"#,
            r#"{"event":"person-grown","person":"ann"}"#,
            r#"{"event":7,"person":"ann"}"#,
            r#"{"person":"ann"}"#,
            r#"["person-erased","ann"]"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<Event>(bad).is_err(), "{bad} was read");
        }
    }
}
