//! Tensors in host memory, put together from pieces.

use crate::EngineError;
use crate::kv::PageId;
use half::{bf16, f16};
use monolens_graph::backend::HostTensor;
use monolens_graph::batch::PAGE_SIZE;
use monolens_graph::{DType, eight};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Appends a tensor's rows (its first dimension) to the one of the same name.
pub(crate) fn append_rows(
    tensors: &mut BTreeMap<String, HostTensor>,
    name: String,
    tensor: HostTensor,
) -> Result<(), EngineError> {
    match tensors.entry(name) {
        Entry::Vacant(place) => {
            place.insert(tensor);
        }
        Entry::Occupied(mut place) => {
            let all = place.get_mut();
            if all.dtype != tensor.dtype || all.shape.get(1..) != tensor.shape.get(1..) {
                return Err(EngineError::Internal("pieces of a tensor do not fit one another"));
            }
            all.shape[0] += tensor.shape[0];
            all.bytes.extend_from_slice(&tensor.bytes);
        }
    }
    Ok(())
}

/// A matrix with zeros appended to each row, up to `columns`.
pub(crate) fn pad_columns(tensor: &HostTensor, columns: usize) -> HostTensor {
    let size = tensor.dtype.bytes();
    let width = tensor.shape.last().copied().unwrap_or(0);
    let mut bytes = Vec::new();
    for row in tensor.bytes.chunks_exact((width * size).max(1)) {
        let start = bytes.len();
        bytes.extend_from_slice(row);
        bytes.resize(start + columns.max(width) * size, 0);
    }
    HostTensor { dtype: tensor.dtype, shape: vec![tensor.shape[0], columns.max(width)], bytes }
}

/// The first `tokens` tokens on these pages of a cache of so many heads in a slot, as f32 [heads, tokens, size].
pub(crate) fn cache_tensor(
    cache: &HostTensor,
    pages: &[PageId],
    tokens: usize,
    heads: usize,
    size: usize,
) -> Result<HostTensor, EngineError> {
    let values = widen(cache, size).ok_or(EngineError::Internal("a cache that holds no floats"))?;
    let mut out = Vec::with_capacity(heads * tokens * size);
    for head in 0..heads {
        for token in 0..tokens {
            let page = pages.get(token / PAGE_SIZE).copied().unwrap_or_default() as usize;
            let at = ((page * PAGE_SIZE + token % PAGE_SIZE) * heads + head) * size;
            let row = values.get(at..at + size);
            out.extend_from_slice(row.ok_or(EngineError::Internal("a page beyond the cache"))?);
        }
    }
    let bytes = bytemuck::cast_slice(&out).to_vec();
    Ok(HostTensor { dtype: DType::F32, shape: vec![heads, tokens, size], bytes })
}

/// A cache as f32 [slots, heads·size].
fn widen(tensor: &HostTensor, size: usize) -> Option<Vec<f32>> {
    let halves = || tensor.bytes.as_chunks::<2>().0.iter();
    match tensor.dtype {
        DType::F32 => Some(tensor.bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        DType::F16 => Some(halves().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        DType::BF16 => Some(halves().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()),
        DType::I8 => {
            let records = tensor.bytes.chunks_exact(eight::bytes(size));
            let mut values = vec![0.0; records.len() * size];
            records.zip(values.chunks_mut(size)).for_each(|(record, head)| eight::widen(record, head));
            Some(values)
        }
        DType::U32 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(shape: [usize; 2], values: &[f32]) -> HostTensor {
        HostTensor { dtype: DType::F32, shape: shape.to_vec(), bytes: bytemuck::cast_slice(values).to_vec() }
    }

    #[test]
    fn pieces_of_rows_become_one_tensor() {
        let mut all = BTreeMap::new();
        append_rows(&mut all, "x".into(), matrix([1, 2], &[1.0, 2.0])).unwrap();
        append_rows(&mut all, "x".into(), matrix([2, 2], &[3.0, 4.0, 5.0, 6.0])).unwrap();
        assert_eq!(all["x"], matrix([3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert!(append_rows(&mut all, "x".into(), matrix([1, 1], &[1.0])).is_err());
    }

    #[test]
    fn rows_are_padded_with_zeros() {
        let padded = pad_columns(&matrix([2, 1], &[1.0, 2.0]), 3);
        assert_eq!(padded, matrix([2, 3], &[1.0, 0.0, 0.0, 2.0, 0.0, 0.0]));
    }

    #[test]
    fn a_cache_is_read_through_its_pages() {
        let values: Vec<f32> = (0..3 * PAGE_SIZE * 2).map(|v| v as f32).collect();
        let cache = matrix([3 * PAGE_SIZE, 2], &values);
        let read = cache_tensor(&cache, &[2, 0], PAGE_SIZE + 1, 2, 1).unwrap();
        assert_eq!(read.shape, [2, PAGE_SIZE + 1, 1]);
        let read = read.f32s();
        let first = (2 * PAGE_SIZE * 2) as f32;
        assert_eq!((read[0], read[PAGE_SIZE], read[PAGE_SIZE + 1]), (first, 0.0, first + 1.0));
    }

    #[test]
    fn a_cache_in_8_bits_is_widened() {
        let mut bytes = vec![0; PAGE_SIZE * eight::bytes(2)];
        eight::round(&[127.0, -3.0], &mut bytes[eight::bytes(2)..][..eight::bytes(2)]);
        let cache = HostTensor { dtype: DType::I8, shape: vec![PAGE_SIZE, eight::bytes(2)], bytes };
        assert_eq!(cache_tensor(&cache, &[0], 2, 1, 2).unwrap().f32s(), [0.0, 0.0, 127.0, -3.0]);
    }
}
