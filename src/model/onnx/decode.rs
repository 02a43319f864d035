//! Reads written models back, for tests.

use std::collections::BTreeMap;

/// A field as it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field<'a> {
    Int(u64),
    Float(f32),
    Bytes(&'a [u8]),
}

pub(super) fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().expect("a varint ends");
        *bytes = rest;
        value |= u64::from(first & 127) << shift;
        if *first < 128 {
            return value;
        }
        shift += 7;
    }
}

/// The values of every field `number` of a message.
pub(super) fn fields(mut bytes: &[u8], number: u64) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Int(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value)
            }
            5 => {
                let (value, rest) = bytes.split_first_chunk().expect("four bytes");
                bytes = rest;
                Field::Float(f32::from_le_bytes(*value))
            }
            other => panic!("wire type {other}"),
        };
        if key >> 3 == number {
            found.push(field);
        }
    }
    found
}

pub(super) fn messages(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let bytes_of = |field| match field {
        Field::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    fields(bytes, number).into_iter().map(bytes_of).collect()
}

pub(super) fn texts(bytes: &[u8], number: u64) -> Vec<&str> {
    messages(bytes, number).into_iter().map(|text| std::str::from_utf8(text).unwrap()).collect()
}

pub(super) fn numbers(bytes: &[u8], number: u64) -> Vec<i64> {
    let number_of = |field| match field {
        Field::Int(value) => value as i64,
        other => panic!("{other:?}"),
    };
    fields(bytes, number).into_iter().map(number_of).collect()
}

/// An operator's type, inputs, outputs and attributes by name.
pub(super) type Node<'a> = (&'a str, Vec<&'a str>, Vec<&'a str>, BTreeMap<&'a str, Vec<i64>>);

pub(super) fn nodes(model: &[u8]) -> Vec<Node<'_>> {
    let graph = messages(model, 7)[0];
    let attribute = |bytes| {
        let values = match numbers(bytes, 20)[0] {
            1 => vec![match fields(bytes, 2)[0] {
                Field::Float(value) => i64::from(value.to_bits()),
                ref other => panic!("{other:?}"),
            }],
            2 => numbers(bytes, 3),
            7 => numbers(bytes, 8),
            other => panic!("attribute type {other}"),
        };
        (texts(bytes, 1)[0], values)
    };
    let node = |bytes| {
        (
            texts(bytes, 4)[0],
            texts(bytes, 1),
            texts(bytes, 2),
            messages(bytes, 5).into_iter().map(attribute).collect(),
        )
    };
    messages(graph, 1).into_iter().map(node).collect()
}
