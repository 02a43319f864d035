//! Protobuf's wire format, as much of it as a model takes.

/// Protobuf's wire format (<https://protobuf.dev/programming-guides/encoding/>): fields of a number, a wire
/// type and a value.
#[derive(Clone, Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn int(&mut self, field: u64, value: u64) {
        self.varint(field << 3); // wire type 0: varint
        self.varint(value);
    }

    pub(super) fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5); // wire type 5: four bytes
        self.0.extend(value.to_le_bytes());
    }

    /// The head of a field of `length` bytes, which follow.
    pub(super) fn begin(&mut self, field: u64, length: u64) {
        self.varint(field << 3 | 2); // wire type 2: a length and bytes
        self.varint(length);
    }

    pub(super) fn string(&mut self, field: u64, text: &str) {
        self.begin(field, text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    pub(super) fn message(&mut self, field: u64, message: &Self) {
        self.begin(field, message.len());
        self.0.extend(&message.0);
    }
}

/// What a field of `length` bytes takes with its head.
pub(super) fn field_length(field: u64, length: u64) -> u64 {
    let mut head = Message::default();
    head.begin(field, length);
    head.len() + length
}
