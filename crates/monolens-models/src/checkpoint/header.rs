//! The safetensors header: u64 LE length, JSON, then the data (spec §2).
//!
//! Parsed here rather than by the `safetensors` crate because this parser also works on a header
//! fetched alone (range reads), refuses repeated names, and names the tensor in every error. A test
//! holds it to that crate's verdict.

use super::CheckpointError;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::Range;

/// Longest JSON header that is read, in bytes. (A checkpoint of 10,000 tensors needs about 1 MB.)
pub const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Bytes before the JSON header.
pub const PREFIX_BYTES: usize = 8;

/// Element type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum DType {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl DType {
    const ALL: [(DType, &'static str, u64); 10] = [
        (DType::F64, "F64", 8),
        (DType::F32, "F32", 4),
        (DType::F16, "F16", 2),
        (DType::BF16, "BF16", 2),
        (DType::I64, "I64", 8),
        (DType::I32, "I32", 4),
        (DType::I16, "I16", 2),
        (DType::I8, "I8", 1),
        (DType::U8, "U8", 1),
        (DType::Bool, "BOOL", 1),
    ];

    /// The name used in safetensors headers.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Bytes of an element.
    pub fn size(self) -> u64 {
        Self::ALL[self as usize].2
    }

    /// Whether weights may be stored so: F32, F16 or BF16.
    pub fn is_weight(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }

    /// The same as a weight's element type; none for what no weight is stored in.
    pub fn weight(self) -> Option<monolens_graph::DType> {
        match self {
            DType::F32 => Some(monolens_graph::DType::F32),
            DType::F16 => Some(monolens_graph::DType::F16),
            DType::BF16 => Some(monolens_graph::DType::BF16),
            _ => None,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|entry| entry.1 == name).map(|entry| entry.0)
    }
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: DType,
    /// Shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// Byte range in the file, counted from the file's start.
    pub range: Range<u64>,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.bytes() / self.dtype.size()
    }

    /// Number of bytes.
    pub fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// A parsed header: every tensor checked against the file's length and against the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The `__metadata__` entries.
    pub metadata: BTreeMap<String, String>,
}

impl Header {
    /// Length in bytes of the JSON header, from a file's first eight bytes.
    ///
    /// # Errors
    /// [`CheckpointError::Header`] if there are fewer than eight bytes, the length exceeds
    /// [`MAX_HEADER_BYTES`], or the header would reach beyond the file.
    pub fn json_length(file: &str, start: &[u8], file_bytes: u64) -> Result<u64, CheckpointError> {
        let fail =
            |expected: String, got: String| CheckpointError::Header { file: file.to_owned(), expected, got };
        let Some(prefix) = start.first_chunk::<PREFIX_BYTES>() else {
            return Err(fail("at least 8 bytes".to_owned(), format!("{} bytes", start.len())));
        };
        let length = u64::from_le_bytes(*prefix);
        if length > MAX_HEADER_BYTES {
            return Err(fail(
                format!("a header of at most {MAX_HEADER_BYTES} bytes"),
                format!("{length} bytes"),
            ));
        }
        if length + PREFIX_BYTES as u64 > file_bytes {
            return Err(fail(
                format!("a file longer than its header of {length} bytes"),
                format!("a file of {file_bytes} bytes"),
            ));
        }
        Ok(length)
    }

    /// Parses the JSON header alone, as fetched by a range read of bytes `8..8+n`.
    ///
    /// `file` is the name used in errors, `file_bytes` the whole file's length.
    ///
    /// # Errors
    /// [`CheckpointError::Header`] or [`CheckpointError::Entry`]: no JSON, unknown type, a shape
    /// that does not fill its byte range, ranges that overlap, leave gaps or leave the file.
    pub fn parse(file: &str, json: &[u8], file_bytes: u64) -> Result<Self, CheckpointError> {
        let raw: RawHeader = serde_json::from_slice(json).map_err(|error| CheckpointError::Header {
            file: file.to_owned(),
            expected: "a JSON object of tensors".to_owned(),
            got: error.to_string(),
        })?;
        let data_start = PREFIX_BYTES as u64 + json.len() as u64;
        let mut tensors = BTreeMap::new();
        for (name, entry) in raw.tensors {
            let info = entry.check(file, &name, data_start, file_bytes)?;
            tensors.insert(name, info);
        }
        check_layout(file, &tensors, data_start, file_bytes)?;
        Ok(Header { tensors, metadata: raw.metadata })
    }

    /// Parses the header at the start of a whole file.
    ///
    /// # Errors
    /// As [`Header::json_length`] and [`Header::parse`].
    pub fn of_file(file: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let file_bytes = bytes.len() as u64;
        let length = Self::json_length(file, bytes, file_bytes)? as usize;
        Self::parse(file, &bytes[PREFIX_BYTES..PREFIX_BYTES + length], file_bytes)
    }
}

/// Tensors must cover the data exactly: no overlap, no gap, nothing behind the last.
fn check_layout(
    file: &str,
    tensors: &BTreeMap<String, TensorInfo>,
    data_start: u64,
    file_bytes: u64,
) -> Result<(), CheckpointError> {
    let mut order: Vec<_> = tensors.iter().collect();
    order.sort_by_key(|(_, info)| (info.range.start, info.range.end));
    let mut end = data_start;
    for (name, info) in order {
        if info.range.start != end {
            return Err(CheckpointError::Entry {
                file: file.to_owned(),
                tensor: name.clone(),
                expected: format!("data from byte {end} on (no overlap, no gap)"),
                got: format!("data from byte {} on", info.range.start),
            });
        }
        end = info.range.end;
    }
    if end != file_bytes {
        return Err(CheckpointError::Header {
            file: file.to_owned(),
            expected: format!("a file of {end} bytes"),
            got: format!("{file_bytes} bytes (truncated or with a tail?)"),
        });
    }
    Ok(())
}

#[derive(serde::Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl RawTensor {
    fn check(
        self,
        file: &str,
        tensor: &str,
        data_start: u64,
        file_bytes: u64,
    ) -> Result<TensorInfo, CheckpointError> {
        let fail = |expected: String, got: String| CheckpointError::Entry {
            file: file.to_owned(),
            tensor: tensor.to_owned(),
            expected,
            got,
        };
        let dtype = DType::parse(&self.dtype).ok_or_else(|| {
            let known: Vec<_> = DType::ALL.iter().map(|entry| entry.1).collect();
            let got = self.dtype.chars().take(40).collect();
            fail(format!("a type of {}", known.join(", ")), got)
        })?;
        let (from, to) = self.data_offsets;
        let bytes = self.shape.iter().try_fold(dtype.size(), |bytes, &dim| bytes.checked_mul(dim));
        if from > to || bytes != Some(to - from) {
            return Err(fail(
                format!("{} of shape {:?} to fill its bytes", dtype.name(), self.shape),
                format!("bytes {from} to {to}"),
            ));
        }
        let end = to.checked_add(data_start).filter(|&end| end <= file_bytes).ok_or_else(|| {
            fail(
                format!("data within the file's {file_bytes} bytes"),
                format!("bytes {from} to {to} of the data, which starts at {data_start}"),
            )
        })?;
        let shape = self
            .shape
            .iter()
            .map(|&dim| usize::try_from(dim))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| fail("an addressable shape".to_owned(), format!("{:?}", self.shape)))?;
        Ok(TensorInfo { dtype, shape, range: from + data_start..end })
    }
}

#[derive(Default)]
struct RawHeader {
    tensors: BTreeMap<String, RawTensor>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawHeader;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.metadata =
                            map.next_value::<Option<BTreeMap<String, String>>>()?.unwrap_or_default();
                        continue;
                    }
                    match header.tensors.entry(name) {
                        Entry::Vacant(place) => place.insert(map.next_value()?),
                        Entry::Occupied(other) => {
                            let name = other.key();
                            return Err(de::Error::custom(format!("tensor `{name}` named twice")));
                        }
                    };
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
