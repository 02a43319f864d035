//! TOML values into the configuration, with errors that keep their parts: serde's own are texts, from which
//! the choices of a key could not be taken.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Unexpected, Visitor};
use toml::Value;

use crate::text::one_line;

/// What is wrong with a value.
#[derive(Debug)]
pub(super) enum Problem {
    /// It is none of these choices.
    Choice(Vec<&'static str>),
    /// The key does not go with its neighbours.
    Field,
    /// It has another type, or its number does not fit the type; what is expected in serde's words.
    Type(String),
    /// Whatever else the part's own reader says.
    Other(String),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Self::Other(one_line(text))
    }

    fn invalid_type(_: Unexpected, expected: &dyn de::Expected) -> Self {
        Self::Type(expected.to_string())
    }

    fn invalid_value(_: Unexpected, expected: &dyn de::Expected) -> Self {
        Self::Type(expected.to_string())
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::Type(expected.to_string())
    }

    fn unknown_variant(_: &str, names: &'static [&'static str]) -> Self {
        // The other spellings that are read as well, as `Real` for `real`, are no choices of their own.
        let plain = |name: &&&str| !name.contains(char::is_uppercase);
        Self::Choice(names.iter().filter(plain).copied().collect())
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self::Field
    }
}

/// A value to deserialise from.
pub(super) struct Reader<'a>(pub &'a Value);

impl<'a> IntoDeserializer<'a, Problem> for Reader<'a> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(is) => visitor.visit_bool(*is),
            Value::Datetime(_) => Err(de::Error::invalid_type(Unexpected::Other("date"), &visitor)),
            Value::Array(values) => {
                let mut seq = SeqDeserializer::new(values.iter().map(Reader));
                let read = visitor.visit_seq(&mut seq)?;
                seq.end().map(|()| read)
            }
            Value::Table(table) => visitor.visit_map(MapDeserializer::new(
                table.iter().map(|(key, value)| (key.as_str(), Reader(value))),
            )),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            // An unknown name rather than a wrong type, so that the choices are told.
            _ => visitor.visit_enum("".into_deserializer()),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}
