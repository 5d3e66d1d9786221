//! Weights as they are stored in the checkpoint.

use crate::grouped::GroupedView;
use crate::pages::prefer_large;
use half::{bf16, f16};
use monolens_graph::{BackendError, DType, Grouped, WeightFormat, WeightSpec};

/// Floats of any of the three types.
#[derive(Clone, Debug)]
pub(crate) enum Floats {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
}

/// A weight as it is stored, or a part of it, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// f32.
    F32(&'a [f32]),
    /// IEEE half.
    F16(&'a [f16]),
    /// bfloat16.
    BF16(&'a [bf16]),
    /// Integers in groups.
    Grouped(GroupedView<'a>),
    /// Integers with one factor: a head of a key or value in 8 bits.
    Scaled(&'a [i8], f32),
}

/// As many zeros, if there is memory for them.
pub(crate) fn zeros<T: Clone + Default>(len: usize) -> Option<Vec<T>> {
    let mut v = Vec::new();
    v.try_reserve_exact(len).ok()?;
    prefer_large(v.spare_capacity_mut());
    v.resize(len, T::default());
    Some(v)
}

impl Floats {
    /// `len` zeros of a type; `None` for a type that holds no floats or when there is no memory for them.
    pub(crate) fn zeros(dtype: DType, len: usize) -> Option<Self> {
        Some(match dtype {
            DType::F32 => Self::F32(zeros(len)?),
            DType::F16 => Self::F16(zeros(len)?),
            DType::BF16 => Self::BF16(zeros(len)?),
            DType::U32 | DType::I8 => return None,
        })
    }

    pub(crate) fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F16(_) => DType::F16,
            Self::BF16(_) => DType::BF16,
        }
    }

    pub(crate) fn view(&self) -> View<'_> {
        match self {
            Self::F32(v) => View::F32(v),
            Self::F16(v) => View::F16(v),
            Self::BF16(v) => View::BF16(v),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(v) => bytemuck::cast_slice(v),
            Self::F16(v) => bytemuck::cast_slice(v),
            Self::BF16(v) => bytemuck::cast_slice(v),
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::F32(v) => bytemuck::cast_slice_mut(v),
            Self::F16(v) => bytemuck::cast_slice_mut(v),
            Self::BF16(v) => bytemuck::cast_slice_mut(v),
        }
    }

    /// Writes `values` from element `at` on, rounding to the type.
    pub(crate) fn write(&mut self, at: usize, values: &[f32]) {
        let to = at..at + values.len();
        match self {
            Self::F32(v) => v[to].copy_from_slice(values),
            Self::F16(v) => v[to].iter_mut().zip(values).for_each(|(y, &x)| *y = f16::from_f32(x)),
            Self::BF16(v) => v[to].iter_mut().zip(values).for_each(|(y, &x)| *y = bf16::from_f32(x)),
        }
    }
}

impl<'a> View<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F16(v) => v.len(),
            Self::BF16(v) => v.len(),
            Self::Grouped(v) => v.len(),
            Self::Scaled(v, _) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Elements `from..to`; of integers in groups, both at the border of a group.
    #[must_use]
    pub fn part(self, from: usize, to: usize) -> Self {
        match self {
            Self::F32(v) => Self::F32(&v[from..to]),
            Self::F16(v) => Self::F16(&v[from..to]),
            Self::BF16(v) => Self::BF16(&v[from..to]),
            Self::Grouped(v) => Self::Grouped(v.part(from, to)),
            Self::Scaled(v, scale) => Self::Scaled(&v[from..to], scale),
        }
    }

    /// The elements as f32; `out` has as many.
    pub fn widen(self, out: &mut [f32]) {
        use half::slice::HalfFloatSliceExt;
        match self {
            Self::F32(v) => out.copy_from_slice(v),
            Self::F16(v) => v.convert_to_f32_slice(out),
            Self::Grouped(v) => v.widen(out),
            Self::BF16(_) | Self::Scaled(..) => widen_here(self, out),
        }
    }
}

/// bf16, and integers with one factor: plain loops, which compilers turn into vectors.
fn widen_here(view: View<'_>, out: &mut [f32]) {
    #[inline(always)]
    fn plain(view: View<'_>, out: &mut [f32]) {
        match view {
            View::BF16(v) => {
                out.iter_mut().zip(v).for_each(|(y, x)| *y = f32::from_bits(u32::from(x.to_bits()) << 16));
            }
            View::Scaled(v, scale) => out.iter_mut().zip(v).for_each(|(y, &q)| *y = scale * f32::from(q)),
            _ => {}
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(view: View<'_>, out: &mut [f32]) {
            plain(view, out);
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: just found.
            return unsafe { avx2(view, out) };
        }
    }
    plain(view, out);
}

/// A weight's elements.
#[derive(Clone, Debug)]
pub(crate) enum Elements {
    Floats(Floats),
    Grouped { words: Vec<u32>, scales: Vec<f32>, format: Grouped },
}

/// A loaded weight.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    pub(crate) shape: Vec<usize>,
    pub(crate) elements: Elements,
}

impl Weight {
    /// The elements.
    pub(crate) fn view(&self) -> View<'_> {
        match &self.elements {
            Elements::Floats(floats) => floats.view(),
            Elements::Grouped { words, scales, format } => {
                View::Grouped(GroupedView { words, scales, bits: format.bits, group: format.group })
            }
        }
    }

    /// A vector's elements; vectors are always held in f32.
    pub(crate) fn vector(&self) -> &[f32] {
        match &self.elements {
            Elements::Floats(Floats::F32(v)) => v,
            _ => &[],
        }
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        (match &self.elements {
            Elements::Floats(floats) => floats.bytes().len(),
            Elements::Grouped { words, scales, .. } => 4 * (words.len() + scales.len()),
        }) as u64
    }
}

/// Whether a shape is that of a vector: norms, biases, scales and the class token.
fn is_vector(shape: &[usize]) -> bool {
    shape.split_last().is_some_and(|(_, rest)| rest.iter().all(|&n| n == 1))
}

/// A weight that is being uploaded.
#[derive(Debug)]
pub(crate) struct Upload {
    name: String,
    shape: Vec<usize>,
    format: WeightFormat,
    /// Words of integers in groups, which come first.
    words: Vec<u32>,
    /// Elements, or the scales of the groups.
    floats: Floats,
    written: usize,
}

impl Upload {
    pub(crate) fn new(
        spec: &WeightSpec,
        format: WeightFormat,
        device: &str,
        used: u64,
    ) -> Result<Self, BackendError> {
        let misfit = |(expected, got): (String, String)| spec_error(&spec.name, expected, got);
        format.check(&spec.shape).map_err(misfit)?;
        let Some(bytes) = format.bytes(&spec.shape) else {
            return Err(spec_error(&spec.name, "a shape that memory can hold", format!("{:?}", spec.shape)));
        };
        let len: usize = spec.shape.iter().product();
        let memory = match format {
            WeightFormat::Plain(dtype) => Floats::zeros(dtype, len).map(|floats| (Vec::new(), floats)),
            WeightFormat::Grouped(g) => {
                zeros(len / g.bits.per_word()).zip(Floats::zeros(g.scale, len / g.group))
            }
        };
        let (words, floats) = memory.ok_or_else(|| BackendError::OutOfMemory {
            device: device.into(),
            what: format!("weight {}", spec.name),
            requested: bytes as u64,
            used,
        })?;
        Ok(Self { name: spec.name.clone(), shape: spec.shape.clone(), format, words, floats, written: 0 })
    }

    fn total(&self) -> usize {
        4 * self.words.len() + self.floats.bytes().len()
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), BackendError> {
        let (mut at, total) = (self.written, self.total());
        if bytes.len() > total - at {
            let got = format!("at least {} bytes", at as u64 + bytes.len() as u64);
            return Err(spec_error(&self.name, format!("{total} bytes"), got));
        }
        self.written += bytes.len();
        for part in [bytemuck::cast_slice_mut(&mut self.words), self.floats.bytes_mut()] {
            if at < part.len() {
                let (here, rest) = bytes.split_at(bytes.len().min(part.len() - at));
                part[at..at + here.len()].copy_from_slice(here);
                (at, bytes) = (0, rest);
            } else {
                at -= part.len();
            }
        }
        Ok(())
    }

    pub(crate) fn end(self) -> Result<(String, Weight), BackendError> {
        let total = self.total();
        if self.written != total {
            return Err(spec_error(&self.name, format!("{total} bytes"), format!("{} bytes", self.written)));
        }
        let widened = |floats: &Floats| {
            let mut wide = vec![0.0; floats.view().len()];
            floats.view().widen(&mut wide);
            wide
        };
        let elements = match self.format {
            WeightFormat::Grouped(format) => {
                Elements::Grouped { words: self.words, scales: widened(&self.floats), format }
            }
            WeightFormat::Plain(dtype) if is_vector(&self.shape) && dtype != DType::F32 => {
                Elements::Floats(Floats::F32(widened(&self.floats)))
            }
            WeightFormat::Plain(_) => Elements::Floats(self.floats),
        };
        Ok((self.name, Weight { shape: self.shape, elements }))
    }
}

fn spec_error(name: &str, expected: impl Into<String>, got: impl Into<String>) -> BackendError {
    BackendError::Weight { name: name.into(), expected: expected.into(), got: got.into() }
}
