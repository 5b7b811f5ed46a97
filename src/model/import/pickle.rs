//! Plain PyTorch state dicts: a zip of `data.pkl` and one file a storage, as `torch.save(model.state_dict(), path)` writes
//! them since PyTorch 1.6.
//!
//! A pickle is a program. This reads the few instructions that state dicts consist of and knows the handful of names they
//! mention; nothing else is looked up, let alone called. Objects are kept once and referred to by number, so that a small
//! file can neither unfold into a large one nor nest too deeply.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};

use candle_core::{DType, Device, Tensor};
use zip::{CompressionMethod, ZipArchive};

/// What a pickle of a whole module, rather than its state dict, is answered with.
const WHOLE_MODULE: &str = "is a whole pickled module, which could only be read by running its code. Where it was trained, \
                            save the state dict instead: torch.save(torch.load(PATH).state_dict(), 'weights.pt'); or take \
                            its ONNX file";
const OLD_FORMAT: &str = "is in the format of PyTorch before 1.6, or a pickle of something else. Save it again with a newer \
                          PyTorch: torch.save(torch.load(PATH), PATH)";
/// `data.pkl` of a network with hundreds of layers has less than a megabyte.
const LARGEST_PROGRAM: u64 = 16 << 20;

/// Objects that a program may make, keep on its stack or in its memo. A state dict has some twenty a tensor, and the largest
/// network read here has 700 tensors.
const MOST_OBJECTS: usize = 1 << 17;

const MOST_DIMENSIONS: usize = 8;
/// Storages are numbered, and a tensor's name is a path of modules.
const LONGEST_NAME: usize = 1024;

/// The tensors of the state dict in `bytes`, by name.
///
/// # Errors
/// What is in the file instead, or what is wrong with it, to stand behind the file's name.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    if !bytes.starts_with(b"PK") {
        let is_pickle = bytes.first() == Some(&0x80);
        return Err(if is_pickle { OLD_FORMAT } else { "is not a PyTorch checkpoint" }.into());
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| format!("is not a sound zip file: {e}"))?;
    let names: Vec<String> =
        (0..archive.len()).filter_map(|i| Some(archive.by_index_raw(i).ok()?.name().ok()?.into_owned())).collect();
    let program_name = names.into_iter().find(|name| name.ends_with("/data.pkl"));
    let program_name = program_name.ok_or("holds no data.pkl, so it is not a PyTorch checkpoint")?;
    let folder = program_name.trim_end_matches("data.pkl");
    let program = read_entry(&mut archive, &program_name, LARGEST_PROGRAM)?;
    let mut storages: HashMap<String, Vec<u8>> = HashMap::new();
    let mut tensors = BTreeMap::new();
    let mut left = 2 * bytes.len();
    for (name, stored) in Machine::run(&program)?.state_dict()? {
        let fault = |reason: String| format!("tensor '{name}': {reason}");
        if !storages.contains_key(&stored.key) {
            let entry = format!("{folder}data/{}", stored.key);
            let content = read_entry(&mut archive, &entry, bytes.len() as u64).map_err(fault)?;
            storages.insert(stored.key.clone(), content);
        }
        let tensor = stored.tensor(&storages[&stored.key]).map_err(fault)?;
        // Tensors may share what is stored, but not so often that a small file fills the memory.
        let size = tensor.elem_count() * tensor.dtype().size_in_bytes();
        left = left.checked_sub(size).ok_or_else(|| fault("the tensors are larger than the file".into()))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

fn read_entry(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let entry = archive.by_name(name).map_err(|e| format!("'{name}' in the zip file: {e}"))?;
    if entry.compression() != CompressionMethod::Stored || entry.size() > most {
        return Err(format!("'{name}' in the zip file is not stored as torch.save stores it"));
    }
    let mut content = Vec::new();
    entry.take(most).read_to_end(&mut content).map_err(|e| format!("'{name}' in the zip file: {e}"))?;
    Ok(content)
}

/// Where a tensor's numbers lie.
#[derive(Clone)]
struct Stored {
    key: String,
    dtype: DType,
    offset: usize,
    shape: Vec<usize>,
    stride: Vec<usize>,
}

impl Stored {
    fn tensor(&self, storage: &[u8]) -> Result<Tensor, String> {
        let size = self.dtype.size_in_bytes();
        let available = storage.len() / size;
        let count = self.shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        let count = count.filter(|count| *count <= available).ok_or("it is larger than what is stored of it")?;
        let last = self.shape.iter().zip(&self.stride).try_fold(self.offset, |offset, (side, stride)| {
            offset.checked_add(side.saturating_sub(1).checked_mul(*stride)?)
        });
        if self.shape.len() != self.stride.len() || (count > 0 && last.is_none_or(|last| last >= available)) {
            return Err("it reaches beyond what is stored of it".into());
        }
        let mut bytes = Vec::with_capacity(count * size);
        let mut position = vec![0; self.shape.len()];
        for _ in 0..count {
            let at = self.offset + position.iter().zip(&self.stride).map(|(p, s)| p * s).sum::<usize>();
            bytes.extend_from_slice(&storage[at * size..][..size]);
            for axis in (0..position.len()).rev() {
                position[axis] += 1;
                if position[axis] < self.shape[axis] {
                    break;
                }
                position[axis] = 0;
            }
        }
        Tensor::from_raw_buffer(&bytes, self.dtype, &self.shape, &Device::Cpu).map_err(|e| e.to_string())
    }
}

/// An object's index among [`Machine::objects`].
type Id = usize;

enum Object {
    Nothing,
    Number(i64),
    Text(String),
    /// A class or function, by name only.
    Name(String),
    Tuple(Vec<Id>),
    List,
    Dict(Vec<(Id, Id)>),
    Storage {
        key: String,
        dtype: DType,
    },
    Tensor(Stored),
}

/// The stack machine of pickle protocol 2 (`pickletools` in Python's library lists the instructions).
struct Machine<'a> {
    program: &'a [u8],
    objects: Vec<Object>,
    /// `None` is a mark.
    stack: Vec<Option<Id>>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(program: &'a [u8]) -> Result<Self, String> {
        let mut machine = Self { program, objects: Vec::new(), stack: Vec::new(), memo: HashMap::new() };
        loop {
            match machine.take(1)?[0] {
                b'.' => return Ok(machine),
                instruction => machine.step(instruction)?,
            }
            if [machine.objects.len(), machine.stack.len(), machine.memo.len()].into_iter().max() > Some(MOST_OBJECTS) {
                return Err(broken("it makes more objects than any network's"));
            }
        }
    }

    /// The named tensors of what the program made: a dict of tensors, or such a dict in a training checkpoint.
    fn state_dict(mut self) -> Result<Vec<(String, Stored)>, String> {
        let mut id = self.pop()?;
        let Object::Dict(whole) = &self.objects[id] else { return Err(WHOLE_MODULE.into()) };
        for (key, value) in whole {
            if let (Object::Text(name), Object::Dict(_)) = (&self.objects[*key], &self.objects[*value])
                && ["state_dict", "model_state_dict", "model"].contains(&name.as_str())
            {
                id = *value;
            }
        }
        let Object::Dict(dict) = &self.objects[id] else { return Err(WHOLE_MODULE.into()) };
        let named = |(key, value): &(Id, Id)| match (&self.objects[*key], &self.objects[*value]) {
            (Object::Text(name), Object::Tensor(stored)) if name.len() <= LONGEST_NAME => Some((name, stored)),
            _ => None,
        };
        // A name may stand there often; the last one counts, as in Python.
        let tensors: BTreeMap<&String, &Stored> = dict.iter().filter_map(named).collect();
        match tensors.is_empty() {
            true => Err("holds no tensors by name, so it is not a state dict".into()),
            false => Ok(tensors.into_iter().map(|(name, stored)| (name.clone(), stored.clone())).collect()),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.program.split_at_checked(count).ok_or_else(|| broken("it is cut off"))?;
        self.program = rest;
        Ok(taken)
    }

    /// A little-endian number of `count` bytes, at most 8.
    fn number(&mut self, count: usize) -> Result<i64, String> {
        let mut bytes = [0; 8];
        bytes[..count].copy_from_slice(self.take(count)?);
        Ok(i64::from_le_bytes(bytes))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.program.iter().position(|byte| *byte == b'\n').ok_or_else(|| broken("it is cut off"))?;
        std::str::from_utf8(&self.take(end + 1)?[..end]).map_err(|e| broken(&e.to_string()))
    }

    fn push(&mut self, object: Object) {
        self.stack.push(Some(self.objects.len()));
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().flatten().ok_or_else(|| broken("an object is missing"))
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().flatten().ok_or_else(|| broken("an object is missing"))
    }

    /// What was put on the stack since the last mark.
    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.stack.iter().rposition(Option::is_none).ok_or_else(|| broken("a mark is missing"))?;
        let objects = self.stack.split_off(mark).into_iter().flatten().collect();
        Ok(objects)
    }

    fn step(&mut self, instruction: u8) -> Result<(), String> {
        let object = match instruction {
            0x80 => return self.take(1).map(drop),
            b'(' => {
                self.stack.push(None);
                return Ok(());
            }
            b'N' => Object::Nothing,
            0x88 | 0x89 => Object::Number(i64::from(instruction == 0x88)),
            b'K' => Object::Number(self.number(1)?),
            b'M' => Object::Number(self.number(2)?),
            b'J' => Object::Number(i64::from(self.number(4)? as i32)),
            0x8a => match self.number(1)? as usize {
                0 => Object::Number(0),
                count @ 1..=8 => {
                    let unused = 64 - 8 * count as u32;
                    Object::Number((self.number(count)? << unused) >> unused)
                }
                _ => return Err(broken("a number has more than 64 bits")),
            },
            // A float: no part of a tensor is one, but other entries may be.
            b'G' => {
                self.take(8)?;
                Object::Nothing
            }
            b'X' => {
                let count = self.number(4)? as usize;
                let text = std::str::from_utf8(self.take(count)?).map_err(|e| broken(&e.to_string()))?;
                Object::Text(text.into())
            }
            b'c' => Object::Name(format!("{}.{}", self.line()?, self.line()?)),
            b')' => Object::Tuple(Vec::new()),
            0x85..=0x87 => {
                let items: Result<Vec<Id>, String> = (0x85..=instruction).map(|_| self.pop()).collect();
                Object::Tuple(items?.into_iter().rev().collect())
            }
            b't' => Object::Tuple(self.since_mark()?),
            b']' => Object::List,
            // Lists are of no use here: what is put into them is dropped.
            b'a' => return self.pop().map(drop),
            b'e' => return self.since_mark().map(drop),
            b'}' => Object::Dict(Vec::new()),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                return self.insert(&[key, value]);
            }
            b'u' => {
                let items = self.since_mark()?;
                return self.insert(&items);
            }
            b'q' | b'r' => {
                let id = self.number(if instruction == b'q' { 1 } else { 4 })? as u32;
                self.memo.insert(id, self.top()?);
                return Ok(());
            }
            b'h' | b'j' => {
                let id = self.number(if instruction == b'h' { 1 } else { 4 })? as u32;
                let known = self.memo.get(&id).ok_or_else(|| broken("an object is used before it is made"))?;
                self.stack.push(Some(*known));
                return Ok(());
            }
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)?
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)?
            }
            // Attributes, such as a state dict's `_metadata`.
            b'b' => {
                self.pop()?;
                let is_dict = matches!(self.objects[self.top()?], Object::Dict(_));
                return if is_dict { Ok(()) } else { Err(WHOLE_MODULE.into()) };
            }
            0x81 => return Err(WHOLE_MODULE.into()),
            other => return Err(broken(&format!("instruction {other:#04x}"))),
        };
        self.push(object);
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        let Object::Dict(dict) = &mut self.objects[top] else { return Err(WHOLE_MODULE.into()) };
        if dict.len() + items.len() > MOST_OBJECTS {
            return Err(broken("a dict has more entries than any network's"));
        }
        dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    /// What the functions that state dicts mention give.
    fn call(&self, function: Id, arguments: Id) -> Result<Object, String> {
        let (Object::Name(name), Object::Tuple(arguments)) = (&self.objects[function], &self.objects[arguments]) else {
            return Err(WHOLE_MODULE.into());
        };
        let arguments: Vec<&Object> = arguments.iter().map(|id| &self.objects[*id]).collect();
        match (name.as_str(), &arguments[..]) {
            ("collections.OrderedDict", _) => Ok(Object::Dict(Vec::new())),
            ("torch._utils._rebuild_parameter", [Object::Tensor(stored), ..]) => Ok(Object::Tensor(stored.clone())),
            (
                "torch._utils._rebuild_tensor_v2",
                [
                    Object::Storage { key, dtype },
                    Object::Number(offset),
                    Object::Tuple(shape),
                    Object::Tuple(stride),
                    ..,
                ],
            ) => Ok(Object::Tensor(Stored {
                key: key.clone(),
                dtype: *dtype,
                offset: usize::try_from(*offset).map_err(|_| broken("an offset is negative"))?,
                shape: self.sizes(shape)?,
                stride: self.sizes(stride)?,
            })),
            _ => Err(format!("{WHOLE_MODULE} (it asks for {name})")),
        }
    }

    fn sizes(&self, tuple: &[Id]) -> Result<Vec<usize>, String> {
        if tuple.len() > MOST_DIMENSIONS {
            return Err(broken("a tensor has more dimensions than any"));
        }
        let size = |id: &Id| match self.objects[*id] {
            Object::Number(number) => usize::try_from(number).map_err(|_| broken("a size is negative")),
            _ => Err(broken("a size is not a number")),
        };
        tuple.iter().map(size).collect()
    }

    fn storage(&self, id: Id) -> Result<Object, String> {
        let Object::Tuple(parts) = &self.objects[id] else { return Err(broken("a storage has no name")) };
        let parts: Vec<&Object> = parts.iter().map(|id| &self.objects[*id]).collect();
        let [Object::Text(_), Object::Name(class), Object::Text(key), ..] = &parts[..] else {
            return Err(broken("a storage has no name"));
        };
        if key.len() > LONGEST_NAME {
            return Err(broken("a storage's name is too long"));
        }
        let dtype = match class.as_str() {
            "torch.FloatStorage" => DType::F32,
            "torch.HalfStorage" => DType::F16,
            "torch.BFloat16Storage" => DType::BF16,
            "torch.DoubleStorage" => DType::F64,
            // `num_batches_tracked`.
            "torch.LongStorage" => DType::I64,
            other => return Err(format!("stores numbers as {other}, which no network here has")),
        };
        Ok(Object::Storage { key: key.clone(), dtype })
    }
}

fn broken(what: &str) -> String {
    format!("has a list of tensors that torch.save does not write: {what}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_module_is_refused_with_what_to_do() {
        // torch.save(torch.nn.Linear(1, 1)), to its first class.
        let program =
            b"\x80\x02ctorch.nn.modules.linear\nLinear\nq\x00)\x81q\x01}q\x02X\x08\x00\x00\x00trainingq\x03\x88sb.";
        let Err(message) = Machine::run(program) else { panic!("it was read") };
        assert!(message.contains("state_dict"), "{message}");
    }

    #[test]
    fn a_call_to_the_system_is_refused_by_name() {
        let program = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00echo\x85R.";
        let Err(message) = Machine::run(program) else { panic!("it was read") };
        assert!(message.contains("posix.system"), "{message}");
    }

    #[test]
    fn a_tensor_beyond_its_storage_is_refused() {
        let stored = |offset, shape: &[usize], stride: &[usize]| Stored {
            key: "0".into(),
            dtype: DType::F32,
            offset,
            shape: shape.into(),
            stride: stride.into(),
        };
        let storage = [0; 24];
        assert!(stored(0, &[2, 3], &[3, 1]).tensor(&storage).is_ok());
        assert!(stored(1, &[2, 3], &[3, 1]).tensor(&storage).is_err());
        assert!(stored(0, &[usize::MAX, 3], &[3, 1]).tensor(&storage).is_err());
        assert!(stored(0, &[2], &[usize::MAX]).tensor(&storage).is_err());
        assert!(stored(0, &[2], &[]).tensor(&storage).is_err());
    }

    #[test]
    fn a_program_of_millions_of_objects_is_refused_before_it_has_made_them() {
        let refused = |program: Vec<u8>| {
            let Err(message) = Machine::run(&program) else { panic!("it was read") };
            assert!(message.contains("than any network's"), "{message}");
        };
        let many = |part: &[u8]| part.repeat(1 << 18);
        // Objects; marks; one object often; entries of a dict.
        for part in [&b"N"[..], b"(", b"h\0"] {
            refused([b"\x80\x02Nq\0}", &many(part)[..], b"."].concat());
        }
        refused([b"\x80\x02Nq\0}", &many(b"h\0h\0s")[..], b"."].concat());
        let memo: Vec<u8> = (0..1u32 << 18).flat_map(|id| [&b"r"[..], &id.to_le_bytes()].concat()).collect();
        refused([b"\x80\x02N", &memo[..], b"."].concat());
    }

    proptest! {
        #[test]
        fn no_program_panics_or_grows(program in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Machine::run(&program);
        }

        #[test]
        fn instructions_in_any_order_do_not_panic(
            instructions in prop::collection::vec(
                prop::sample::select(b"(Nt)]}aesuqhQRb\x81\x85\x86\x87\x88K\x01.".to_vec()), 0..200,
            ),
        ) {
            let _ = Machine::run(&instructions);
        }
    }
}
