//! A pickle machine that builds descriptions and runs nothing.
//!
//! It knows the opcodes that Python's pickler emits for a checkpoint with protocols 2 to 5 and no others
//! (format: `Lib/pickletools.py` of CPython). Objects live in a flat arena and refer to each other by
//! index, so that neither building nor dropping them recurses. What no tensor needs (numbers with a
//! fraction, bytes, the items of lists) is not kept.
//!
//! Every opcode takes at least one byte and none jumps, so that time is linear in the file; the
//! limits below bound memory.

use std::collections::HashMap;

use super::rebuild::{Called, Global, StorageRef, TensorRef, call, persistent};
use super::refusal::{named, opcode};
use crate::error::{Error, Result};

/// Longest pickle that is read; that of a model with 1000 tensors has about 150 kB.
const MAX_BYTES: usize = 16 << 20;
/// Most objects that a pickle may create, a tensor being about ten.
const MAX_OBJECTS: usize = 1 << 19;
/// Most objects on the stack.
const MAX_STACK: usize = 1 << 20;
/// Most objects kept for later use.
const MAX_MEMO: usize = 1 << 20;
/// Deepest nesting of unfinished containers.
const MAX_MARKS: usize = 1000;

/// Index of an object.
pub(crate) type Id = u32;

const NONE: Id = 0;
const OPAQUE: Id = 1;
const LIST: Id = 2;

/// What a pickle describes.
#[derive(Debug)]
pub(crate) enum Object<'a> {
    None,
    /// A value that no tensor needs.
    Opaque,
    /// Any list; its items are not kept.
    List,
    Int(i64),
    Str(&'a str),
    Tuple(Vec<Id>),
    Dict {
        ordered: bool,
        entries: Vec<(Id, Id)>,
    },
    Global(Global),
    Storage(Box<StorageRef<'a>>),
    Tensor(Box<TensorRef>),
}

/// A read pickle: its objects and the one that it stands for.
pub(crate) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle.
    ///
    /// # Errors
    /// `Refused` if it names anything outside the closed set or uses an opcode that constructs
    /// arbitrary objects, `Malformed` if it is damaged or beyond the limits.
    pub(crate) fn load(bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::malformed(format!("the pickle has {} bytes, more than {MAX_BYTES}", bytes.len())));
        }
        let mut machine = Machine {
            rest: bytes,
            objects: vec![Object::None, Object::Opaque, Object::List],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        loop {
            let at = bytes.len() - machine.rest.len();
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(Pickle { objects: machine.objects, root }),
                Err(Error::Malformed { what }) => {
                    return Err(Error::malformed(format!("pickle, byte {at}: {what}")));
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// The object that the pickle stands for.
    pub(crate) fn root(&self) -> Id {
        self.root
    }

    /// An object.
    pub(crate) fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id as usize]
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Stack heights at the marks; what lies below the last one is out of reach.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; gives the result at the last.
    fn step(&mut self) -> Result<Option<Id>> {
        let code = self.byte()?;
        match code {
            // PROTO, FRAME
            0x80 => {
                let version = self.byte()?;
                if !(2..=5).contains(&version) {
                    return Err(Error::malformed(format!("pickle protocol {version} is not supported")));
                }
            }
            0x95 => {
                let len = self.length::<8>()?;
                if len > self.rest.len() {
                    return Err(truncated());
                }
            }
            // STOP, MARK
            b'.' => return self.pop().map(Some),
            b'(' => {
                if self.marks.len() >= MAX_MARKS {
                    return Err(Error::malformed("containers are nested too deeply"));
                }
                self.marks.push(self.stack.len());
            }
            // NONE, NEWTRUE, NEWFALSE, BINFLOAT
            b'N' => self.push(NONE)?,
            0x88 | 0x89 => self.push(OPAQUE)?,
            b'G' => {
                self.array::<8>()?;
                self.push(OPAQUE)?;
            }
            // BININT, BININT1, BININT2, LONG1, LONG4
            b'J' => self.int(|bytes| i32::from_le_bytes(bytes).into())?,
            b'K' => self.int(|[byte]| byte.into())?,
            b'M' => self.int(|bytes| u16::from_le_bytes(bytes).into())?,
            0x8a => self.long::<1>()?,
            0x8b => self.long::<4>()?,
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
            0x8c => self.string::<1>()?,
            b'X' => self.string::<4>()?,
            0x8d => self.string::<8>()?,
            // SHORT_BINBYTES, BINBYTES, BINBYTES8
            b'C' => self.bytes::<1>()?,
            b'B' => self.bytes::<4>()?,
            0x8e => self.bytes::<8>()?,
            // EMPTY_LIST, APPEND, APPENDS
            b']' => self.push(LIST)?,
            b'a' => {
                self.pop()?;
                self.expect_list()?;
            }
            b'e' => {
                self.pop_to_mark()?;
                self.expect_list()?;
            }
            // EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3
            b')' => self.create(Object::Tuple(Vec::new()))?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.create(Object::Tuple(items))?;
            }
            0x85..=0x87 => {
                let mut items = vec![NONE; usize::from(code - 0x84)];
                for item in items.iter_mut().rev() {
                    *item = self.pop()?;
                }
                self.create(Object::Tuple(items))?;
            }
            // EMPTY_DICT, SETITEM, SETITEMS
            b'}' => self.create(Object::Dict { ordered: false, entries: Vec::new() })?,
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.extend_dict(&items)?;
            }
            // GLOBAL, STACK_GLOBAL, BINPERSID, REDUCE, BUILD
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.create(Object::Global(Global::resolve(module, name)?))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Object::Str(module), Object::Str(name)) = (self.get(module), self.get(name)) else {
                    return Err(Error::malformed("a global's name is not text"));
                };
                let global = Global::resolve(module, name)?;
                self.create(Object::Global(global))?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = persistent(&self.objects, id)?;
                self.create(storage)?;
            }
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
            b'q' => self.remember::<1>()?,
            b'r' => self.remember::<4>()?,
            0x94 => self.remember_as(self.memo.len())?,
            b'h' => self.recall::<1>()?,
            b'j' => self.recall::<4>()?,
            // INST names a class as GLOBAL does.
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                return Err(named(module, name));
            }
            other => return Err(opcode(other)),
        }
        Ok(None)
    }

    fn reduce(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Object::Global(callable) = *self.get(callable) else {
            return Err(Error::refused("the pickle calls something that is not one of the known functions"));
        };
        let Object::Tuple(arguments) = self.get(arguments) else {
            return Err(Error::malformed("a call's arguments are not a tuple"));
        };
        match call(&self.objects, callable, arguments)? {
            Called::New(object) => self.create(object),
            Called::Same(id) => self.push(id),
        }
    }

    /// Sets the attributes of an object. An OrderedDict may have some, `_metadata` of a state dict,
    /// which no tensor needs; nothing else may.
    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
        match (self.get(target), self.get(state)) {
            (Object::Dict { ordered: true, .. }, Object::Dict { .. }) => Ok(()),
            _ => Err(Error::refused("the pickle sets the state of an object (BUILD) that is not an OrderedDict")),
        }
    }

    fn extend_dict(&mut self, items: &[Id]) -> Result<()> {
        let target = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match &mut self.objects[target as usize] {
            Object::Dict { entries, .. } if rest.is_empty() => {
                entries.extend(pairs.iter().map(|[k, v]| (*k, *v)));
                Ok(())
            }
            _ => Err(Error::malformed("keys and values do not go into a dict")),
        }
    }

    fn expect_list(&self) -> Result<()> {
        if self.top()? == LIST { Ok(()) } else { Err(Error::malformed("items do not go into a list")) }
    }

    fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id as usize]
    }

    fn create(&mut self, object: Object<'a>) -> Result<()> {
        if self.objects.len() >= MAX_OBJECTS {
            return Err(Error::malformed(format!("more than {MAX_OBJECTS} objects")));
        }
        let id = self.objects.len() as Id;
        self.objects.push(object);
        self.push(id)
    }

    fn push(&mut self, id: Id) -> Result<()> {
        if self.stack.len() >= MAX_STACK {
            return Err(Error::malformed(format!("more than {MAX_STACK} objects on the stack")));
        }
        self.stack.push(id);
        Ok(())
    }

    fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(<[Id]>::last).copied().ok_or_else(|| Error::malformed("the stack is empty"))
    }

    fn pop(&mut self) -> Result<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let height = self.marks.pop().ok_or_else(|| Error::malformed("no mark on the stack"))?;
        Ok(self.stack.split_off(height))
    }

    fn remember<const N: usize>(&mut self) -> Result<()> {
        let index = self.length::<N>()?;
        self.remember_as(index)
    }

    fn remember_as(&mut self, index: usize) -> Result<()> {
        let id = self.top()?;
        if self.memo.len() >= MAX_MEMO {
            return Err(Error::malformed(format!("more than {MAX_MEMO} memo entries")));
        }
        self.memo.insert(index, id);
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> Result<()> {
        let index = self.length::<N>()?;
        let id = *self.memo.get(&index).ok_or_else(|| Error::malformed(format!("no memo entry {index}")))?;
        self.push(id)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[b]| b)
    }

    /// An unsigned length of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<usize> {
        let bytes = self.array::<N>()?;
        let value = bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        usize::try_from(value).map_err(|_| truncated())
    }

    fn int<const N: usize>(&mut self, value: impl Fn([u8; N]) -> i64) -> Result<()> {
        let n = value(self.array()?);
        self.create(Object::Int(n))
    }

    fn bytes<const N: usize>(&mut self) -> Result<()> {
        let len = self.length::<N>()?;
        self.take(len)?;
        self.push(OPAQUE)
    }

    /// A little-endian two's-complement integer; one beyond 64 bits is no size or offset.
    fn long<const N: usize>(&mut self) -> Result<()> {
        let len = self.length::<N>()?;
        let bytes = self.take(len)?;
        if len > 8 {
            return self.push(OPAQUE);
        }
        let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        wide[..len].copy_from_slice(bytes);
        self.create(Object::Int(i64::from_le_bytes(wide)))
    }

    fn string<const N: usize>(&mut self) -> Result<()> {
        let len = self.length::<N>()?;
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| Error::malformed("text is not UTF-8"))?;
        self.create(Object::Str(text))
    }

    fn line(&mut self) -> Result<&'a str> {
        let len = self.rest.iter().position(|b| *b == b'\n').ok_or_else(truncated)?;
        let line = self.take(len + 1)?;
        std::str::from_utf8(&line[..len]).map_err(|_| Error::malformed("text is not UTF-8"))
    }
}

fn truncated() -> Error {
    Error::malformed("the pickle ends too early")
}
