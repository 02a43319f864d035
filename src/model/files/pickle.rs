//! A small machine for the pickles in PyTorch's files. It knows dictionaries, lists and how torch describes a
//! tensor. Every other object, whatever its class, becomes a name with nothing behind it.
//!
//! The opcodes are those of Python's pickletools, the descriptions of tensors those of `torch/_utils.py`.
//!
//! **Invariant:** nothing that a file names is ever looked up or run, and memory is bounded by the file's
//! size and by [`MAX_OPCODES`].

use std::collections::HashMap;

/// The most opcodes that are run, which bounds the machine's memory: enough for 30,000 tensors.
pub(super) const MAX_OPCODES: usize = 2 << 20;
/// The most dimensions of a tensor, and the most bytes of a storage's key, which torch counts up from 0.
pub(super) const MAX_DIMENSIONS: usize = 8;
pub(super) const MAX_KEY: usize = 64;
/// The most values of a tensor that has more values than its storage, as `expand` makes them.
pub(super) const MAX_EXPANDED: usize = 1 << 20;
pub(super) const TOO_MANY: &str = "its description has too many parts";

/// A tensor as a pickle describes it: numbers of a storage, within which they all lie.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) kind: Kind,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// A storage as a pickle describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) kind: Kind,
    /// How many numbers it holds.
    pub(super) count: usize,
}

/// The types of numbers, under the names of torch's storages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Double,
    Half,
    BFloat16,
    Long,
    Int,
    Short,
    Char,
    Byte,
    Bool,
}

impl Kind {
    fn of_storage(name: &str) -> Option<Self> {
        Some(match name.strip_suffix("Storage")? {
            "Float" => Self::Float,
            "Double" => Self::Double,
            "Half" => Self::Half,
            "BFloat16" => Self::BFloat16,
            "Long" => Self::Long,
            "Int" => Self::Int,
            "Short" => Self::Short,
            "Char" => Self::Char,
            "Byte" => Self::Byte,
            "Bool" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Double | Self::Long => 8,
            Self::Float | Self::Int => 4,
            Self::Half | Self::BFloat16 | Self::Short => 2,
            Self::Char | Self::Byte | Self::Bool => 1,
        }
    }
}

impl View {
    /// The view, if it lies within its storage.
    fn new(storage: &Storage, offset: usize, shape: Vec<usize>, mut strides: Vec<usize>) -> Option<Self> {
        storage.count.checked_mul(storage.kind.size())?;
        if shape.len() != strides.len() {
            return None;
        }
        // A single step is never taken, so its length may be anything in the file.
        shape.iter().zip(&mut strides).filter(|(dim, _)| **dim == 1).for_each(|(_, stride)| *stride = 0);
        let count = shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim))?;
        let mut end = offset;
        if count > 0 {
            for (&dim, &stride) in shape.iter().zip(&strides) {
                end = end.checked_add((dim - 1).checked_mul(stride)?)?;
            }
            end = end.checked_add(1)?;
        }
        let fits = end <= storage.count && count <= storage.count.max(MAX_EXPANDED);
        fits.then_some(Self { kind: storage.kind, offset, shape, strides })
    }
}

/// A tensor with its name.
pub(super) type Named<'m> = (&'m str, Storage<'m>, &'m View);

/// A value of a pickle. Values refer to each other by their numbers, so that they may be shared and nested to
/// any depth.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// Nothing that matters here: None, a float, bytes.
    Other,
    Bool(bool),
    Int(i64),
    /// A whole number of more than 64 bits.
    Long(&'a [u8]),
    Text(&'a str),
    /// A class or function by its module and name. It is never looked up.
    Global(&'a str, &'a str),
    Tuple(Vec<u32>),
    List(Vec<u32>),
    Dict(Vec<(u32, u32)>),
    Storage(Storage<'a>),
    Tensor(Storage<'a>, View),
    Object(Object<'a>),
}

/// What a call or a class would have made.
#[derive(Debug)]
pub(super) struct Object<'a> {
    class: (&'a str, &'a str),
    pub(super) state: Option<u32>,
    /// The items of a class that is a dictionary.
    items: Vec<(u32, u32)>,
}

impl Object<'_> {
    pub(super) fn class(&self) -> String {
        short(&format!("{}.{}", self.class.0, self.class.1))
    }

    /// Whether it is a tensor of a kind that is not read: sparse, quantized, nested, or one that does not fit
    /// its storage.
    pub(super) fn is_tensor(&self) -> bool {
        self.class.0 == "torch._utils" && self.class.1.starts_with("_rebuild_")
    }
}

/// The machine that a pickle is a program for.
#[derive(Debug, Default)]
pub(super) struct Machine<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    stack: Vec<u32>,
    marks: Vec<usize>,
    memo: HashMap<u32, u32>,
    /// How many items were copied from lists; each could be copied many times.
    copied: usize,
    pub(super) root: u32,
}

impl<'a> Machine<'a> {
    /// Runs one pickle and leaves `bytes` behind it.
    pub(super) fn run(bytes: &mut &'a [u8]) -> Result<Self, String> {
        let mut machine = Self::default();
        for _ in 0..MAX_OPCODES {
            let opcode = take(bytes, 1)?[0];
            if opcode == b'.' {
                machine.root = machine.pop()?;
                return Ok(machine);
            }
            machine.step(opcode, bytes)?;
        }
        Err(TOO_MANY.into())
    }

    fn step(&mut self, opcode: u8, bytes: &mut &'a [u8]) -> Result<(), String> {
        match opcode {
            0x80 => drop(take(bytes, 1)?), // PROTO
            0x95 => drop(take(bytes, 8)?), // FRAME
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::Other),
            0x88 | 0x89 => self.push(Node::Bool(opcode == 0x88)),
            b'K' | b'M' => {
                let value = number(bytes, if opcode == b'K' { 1 } else { 2 })?;
                self.push(Node::Int(value as i64));
            }
            b'J' => {
                let value = number(bytes, 4)? as u32 as i32;
                self.push(Node::Int(value.into()));
            }
            0x8a | 0x8b => {
                let length = number(bytes, if opcode == 0x8a { 1 } else { 4 })?;
                let digits = take(bytes, length)?;
                self.push(long(digits));
            }
            b'G' => {
                take(bytes, 8)?;
                self.push(Node::Other);
            }
            // Strings; those of Python 2 (T and U) may hold any bytes.
            b'X' | 0x8c | 0x8d | b'T' | b'U' => {
                let width = match opcode {
                    0x8d => 8,
                    b'X' | b'T' => 4,
                    _ => 1,
                };
                let length = number(bytes, width)?;
                let text = std::str::from_utf8(take(bytes, length)?);
                self.push(text.map_or(Node::Other, Node::Text));
            }
            // Bytes.
            b'C' | b'B' | 0x8e | 0x96 => {
                let width = match opcode {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                };
                let length = number(bytes, width)?;
                take(bytes, length)?;
                self.push(Node::Other);
            }
            b')' => self.push(Node::Tuple(Vec::new())),
            b']' | 0x8f => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            0x85..=0x87 => {
                let length = usize::from(opcode - 0x84);
                let items = self.pop_many(length)?;
                self.push(Node::Tuple(items));
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Node::Tuple(items));
            }
            b'l' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Node::List(items));
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Node::Dict(pairs(&items)));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' | b'r' => {
                let place = number(bytes, if opcode == b'q' { 1 } else { 4 })? as u32;
                let top = self.top()?;
                self.memo.insert(place, top);
            }
            0x94 => {
                let top = self.top()?;
                self.memo.insert(self.memo.len() as u32, top);
            }
            b'h' | b'j' => {
                let place = number(bytes, if opcode == b'h' { 1 } else { 4 })? as u32;
                let value = *self.memo.get(&place).ok_or("it refers to what is not there")?;
                self.stack.push(value);
            }
            b'c' => {
                let (module, name) = (line(bytes)?, line(bytes)?);
                self.push(Node::Global(module, name));
            }
            0x93 => {
                let names = self.pop_many(2)?;
                let name = |id| self.text(id).ok_or("a class has no name");
                let global = Node::Global(name(names[0])?, name(names[1])?);
                self.push(global);
            }
            b'Q' => {
                let id = self.pop()?;
                let found = self.persistent(id);
                self.push(found);
            }
            b'R' | 0x81 => {
                let call = self.pop_many(2)?;
                let result = if opcode == b'R' { self.call(call[0], call[1])? } else { self.object(call[0]) };
                self.push(result);
            }
            0x92 => {
                let call = self.pop_many(3)?;
                let object = self.object(call[0]);
                self.push(object);
            }
            b'b' => {
                let value = self.pop()?;
                let top = self.top()?;
                if let Node::Object(object) = &mut self.nodes[top as usize] {
                    object.state = Some(value);
                }
            }
            other => return Err(format!("its description has an unknown part, {other:#04x}")),
        }
        Ok(())
    }

    /// What `callable(*arguments)` gives, for the few functions that torch describes tensors with; any other
    /// gives an object.
    fn call(&mut self, callable: u32, arguments: u32) -> Result<Node<'a>, String> {
        let (&Node::Global(module, name), Node::Tuple(items)) =
            (&self.nodes[callable as usize], &self.nodes[arguments as usize])
        else {
            return Ok(self.object(callable));
        };
        let tensor = match (module, name) {
            ("collections", "OrderedDict") => {
                let pairs = self.ordered(items);
                self.copied += pairs.len();
                return if self.copied <= MAX_OPCODES { Ok(Node::Dict(pairs)) } else { Err(TOO_MANY.into()) };
            }
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => self.tensor(items),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                items.first().and_then(|&data| match &self.nodes[data as usize] {
                    Node::Tensor(storage, view) => Some((*storage, view.clone())),
                    _ => None,
                })
            }
            // A subclass of Tensor: (function, class, arguments, state).
            ("torch._tensor", "_rebuild_from_type_v2") => match items[..] {
                [function, _, inner, _] => {
                    match (&self.nodes[function as usize], &self.nodes[inner as usize]) {
                        (Node::Global("torch._utils", "_rebuild_tensor_v2"), Node::Tuple(inner)) => {
                            self.tensor(inner)
                        }
                        _ => None,
                    }
                }
                _ => None,
            },
            _ => None,
        };
        Ok(tensor.map_or_else(|| self.object(callable), |(storage, view)| Node::Tensor(storage, view)))
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`
    fn tensor(&self, arguments: &[u32]) -> Option<(Storage<'a>, View)> {
        let [storage, offset, shape, strides, ..] = arguments else { return None };
        let Node::Storage(storage) = &self.nodes[*storage as usize] else { return None };
        let sizes = |id: u32| match &self.nodes[id as usize] {
            Node::Tuple(items) | Node::List(items) if items.len() <= MAX_DIMENSIONS => {
                items.iter().map(|&item| self.size(item)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        Some((*storage, View::new(storage, self.size(*offset)?, sizes(*shape)?, sizes(*strides)?)?))
    }

    /// `("storage", class, key, device, count)`, or in legacy files of whole modules `("module", class, file,
    /// source)`.
    fn persistent(&self, id: u32) -> Node<'a> {
        let Node::Tuple(items) = &self.nodes[id as usize] else { return Node::Other };
        let [tag, class, key, _, rest @ ..] = &items[..] else { return Node::Other };
        let &Node::Global(module, name) = &self.nodes[*class as usize] else { return Node::Other };
        let storage = || {
            let key = self.text(*key).filter(|key| key.len() <= MAX_KEY)?;
            let [count, view @ ..] = rest else { return None };
            // The oldest files describe views of storages here.
            let is_whole = view.iter().all(|&view| matches!(self.nodes[view as usize], Node::Other));
            let is_torchs = module == "torch" && self.text(*tag)? == "storage";
            let kind = Kind::of_storage(name)?;
            (is_whole && is_torchs).then_some(Storage { key, kind, count: self.size(*count)? })
        };
        storage().map_or(Node::Global(module, name), Node::Storage)
    }

    fn object(&self, class: u32) -> Node<'a> {
        let class = match self.nodes[class as usize] {
            Node::Global(module, name) => (module, name),
            _ => ("", ""),
        };
        Node::Object(Object { class, state: None, items: Vec::new() })
    }

    /// The items of `OrderedDict()` or `OrderedDict([(key, value), ...])`.
    fn ordered(&self, arguments: &[u32]) -> Vec<(u32, u32)> {
        let Some(Node::List(items)) = arguments.first().map(|&list| &self.nodes[list as usize]) else {
            return Vec::new();
        };
        let pair = |&item: &u32| match &self.nodes[item as usize] {
            Node::Tuple(pair) | Node::List(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
            _ => None,
        };
        items.iter().filter_map(pair).collect()
    }

    fn append(&mut self, new: &[u32]) -> Result<(), String> {
        let top = self.top()?;
        if let Node::List(items) = &mut self.nodes[top as usize] {
            items.extend(new);
        }
        Ok(())
    }

    fn set_items(&mut self, new: &[u32]) -> Result<(), String> {
        let top = self.top()?;
        if let Node::Dict(items) | Node::Object(Object { items, .. }) = &mut self.nodes[top as usize] {
            items.extend(pairs(new));
        }
        Ok(())
    }

    fn push(&mut self, node: Node<'a>) {
        // No more values than opcodes, and those are fewer than 2^32.
        self.stack.push(self.nodes.len() as u32);
        self.nodes.push(node);
    }

    /// The value on top of the stack, above the last mark.
    fn top(&self) -> Result<u32, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack
            .get(floor..)
            .and_then(|values| values.last().copied())
            .ok_or_else(|| "its description is damaged".into())
    }

    fn pop(&mut self) -> Result<u32, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<u32>, String> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        values.reverse();
        Ok(values)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<u32>, String> {
        let mark =
            self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or("its description is damaged")?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn root(&self) -> &Node<'a> {
        &self.nodes[self.root as usize]
    }

    pub(super) fn text(&self, id: u32) -> Option<&'a str> {
        match self.nodes[id as usize] {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    fn size(&self, id: u32) -> Option<usize> {
        match self.nodes[id as usize] {
            Node::Int(value) => usize::try_from(value).ok(),
            _ => None,
        }
    }

    /// The items of a dictionary, or of an object of a class that is one.
    pub(super) fn items(&self, id: u32) -> &[(u32, u32)] {
        match &self.nodes[id as usize] {
            Node::Dict(items) | Node::Object(Object { items, .. }) => items,
            _ => &[],
        }
    }

    /// The value under `key`; the last where there are several.
    pub(super) fn entry_id(&self, dict: u32, key: &str) -> Option<u32> {
        self.items(dict).iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }

    pub(super) fn entry(&self, dict: u32, key: &str) -> Option<&Node<'a>> {
        Some(&self.nodes[self.entry_id(dict, key)? as usize])
    }

    /// The tensors of a dictionary with their names.
    pub(super) fn tensors(&self, dict: u32) -> impl Iterator<Item = Named<'_>> {
        let tensor = |&(name, value): &(u32, u32)| match &self.nodes[value as usize] {
            Node::Tensor(storage, view) => Some((self.text(name)?, *storage, view)),
            _ => None,
        };
        self.items(dict).iter().filter_map(tensor)
    }
}

fn pairs(items: &[u32]) -> Vec<(u32, u32)> {
    items.as_chunks().0.iter().map(|&[key, value]| (key, value)).collect()
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Result<&'a [u8], String> {
    let split = usize::try_from(count).ok().and_then(|count| bytes.split_at_checked(count));
    let (taken, rest) = split.ok_or("its description ends early")?;
    *bytes = rest;
    Ok(taken)
}

/// A little-endian number of at most eight bytes.
fn number(bytes: &mut &[u8], width: u64) -> Result<u64, String> {
    Ok(take(bytes, width)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// A text that ends with its line.
fn line<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, String> {
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or("its description ends early")?;
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "a name in it is no text")?;
    *bytes = &bytes[end + 1..];
    Ok(text)
}

/// A whole number in two's complement of any length.
fn long<'a>(digits: &'a [u8]) -> Node<'a> {
    if digits.len() > 8 {
        return Node::Long(digits);
    }
    let negative = digits.last().is_some_and(|last| last & 0x80 != 0);
    let mut value = if negative { [0xff; 8] } else { [0; 8] };
    value[..digits.len()].copy_from_slice(digits);
    Node::Int(i64::from_le_bytes(value))
}

/// A name out of a file for a message: one short line.
pub(super) fn short(name: &str) -> String {
    let start: String = name.chars().take(80).collect();
    format!("'{}'", start.escape_debug())
}
