//! FlatBuffers, as far as TensorFlow Lite's files need them: tables, their fields, vectors. Every offset is checked before it is
//! read, so that no file leads outside itself.
//!
//! Format: <https://flatbuffers.dev/internals/>. A table begins with the distance back to its vtable, which says where each
//! field lies; whatever a field points to lies at an offset from the field.

/// What is wrong with a file, to stand behind its name.
pub(super) type Fault = String;

/// The bytes of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    fn slice(self, at: usize, length: usize) -> Result<&'a [u8], Fault> {
        let until = at.checked_add(length);
        until.and_then(|until| self.0.get(at..until)).ok_or_else(|| "is damaged: something lies beyond its end".into())
    }

    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.slice(at, N)?);
        Ok(array)
    }

    fn u16(self, at: usize) -> Result<usize, Fault> {
        Ok(u16::from_le_bytes(self.array(at)?).into())
    }

    fn u32(self, at: usize) -> Result<usize, Fault> {
        Ok(u32::from_le_bytes(self.array(at)?) as usize)
    }

    /// Where the offset at `at` leads.
    fn follow(self, at: usize) -> Result<usize, Fault> {
        at.checked_add(self.u32(at)?).ok_or_else(|| "is damaged: an offset is too large".into())
    }

    /// The table that the file is.
    pub(super) fn root(self) -> Result<Table<'a>, Fault> {
        self.table(self.follow(0)?)
    }

    fn table(self, at: usize) -> Result<Table<'a>, Fault> {
        let back = i64::from(i32::from_le_bytes(self.array(at)?));
        let vtable = usize::try_from(at as i64 - back).map_err(|_| "is damaged: a table has no description")?;
        let length = self.u16(vtable)?;
        self.slice(vtable, length)?;
        Ok(Table { bytes: self, at, vtable, fields: length.saturating_sub(4) / 2 })
    }
}

/// A table: numbered fields, some of which may be absent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: Bytes<'a>,
    at: usize,
    vtable: usize,
    fields: usize,
}

impl<'a> Table<'a> {
    fn field(self, number: usize) -> Result<Option<usize>, Fault> {
        if number >= self.fields {
            return Ok(None);
        }
        let offset = self.bytes.u16(self.vtable + 4 + 2 * number)?;
        Ok((offset != 0).then_some(self.at + offset))
    }

    /// A byte; 0 where the field is absent.
    pub(super) fn byte(self, number: usize) -> Result<u8, Fault> {
        self.field(number)?.map_or(Ok(0), |at| Ok(self.bytes.array::<1>(at)?[0]))
    }

    /// A number of 32 bits, or the default where the field is absent.
    pub(super) fn int(self, number: usize, absent: i32) -> Result<i32, Fault> {
        self.field(number)?.map_or(Ok(absent), |at| Ok(i32::from_le_bytes(self.bytes.array(at)?)))
    }

    /// A table in a field.
    pub(super) fn table(self, number: usize) -> Result<Option<Table<'a>>, Fault> {
        self.field(number)?.map(|at| self.bytes.table(self.bytes.follow(at)?)).transpose()
    }

    /// A vector whose elements take `size` bytes: their number, and their bytes; nothing where the field is absent.
    fn vector(self, number: usize, size: usize) -> Result<(usize, usize), Fault> {
        let Some(field) = self.field(number)? else { return Ok((0, self.at)) };
        let at = self.bytes.follow(field)?;
        let count = self.bytes.u32(at)?;
        let length = count.checked_mul(size).ok_or("is damaged: a vector is too long")?;
        self.bytes.slice(at + 4, length)?;
        Ok((count, at + 4))
    }

    /// A vector of bytes, or a string's.
    pub(super) fn bytes(self, number: usize) -> Result<&'a [u8], Fault> {
        let (count, at) = self.vector(number, 1)?;
        self.bytes.slice(at, count)
    }

    /// A vector of at most `most` numbers of 32 bits.
    pub(super) fn ints(self, number: usize, most: usize) -> Result<Vec<i32>, Fault> {
        let (count, at) = self.vector(number, 4)?;
        at_most(count, most)?;
        (0..count).map(|index| Ok(i32::from_le_bytes(self.bytes.array(at + 4 * index)?))).collect()
    }

    /// A vector of at most `most` tables.
    pub(super) fn tables(self, number: usize, most: usize) -> Result<Vec<Table<'a>>, Fault> {
        let (count, at) = self.vector(number, 4)?;
        at_most(count, most)?;
        (0..count).map(|index| self.bytes.table(self.bytes.follow(at + 4 * index)?)).collect()
    }
}

fn at_most(count: usize, most: usize) -> Result<(), Fault> {
    if count > most {
        Err(format!("has {count} of something of which {most} are the most that is read"))
    } else {
        Ok(())
    }
}
