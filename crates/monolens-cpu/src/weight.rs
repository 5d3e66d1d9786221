//! Weights as they are stored in the checkpoint.

use half::{bf16, f16};
use monolens_graph::{BackendError, DType, WeightSpec};

/// Floats of any of the three types.
#[derive(Clone, Debug)]
pub(crate) enum Floats {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
}

/// Stored floats, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// f32.
    F32(&'a [f32]),
    /// IEEE half.
    F16(&'a [f16]),
    /// bfloat16.
    BF16(&'a [bf16]),
}

fn zeros<T: Clone + Default>(len: usize) -> Option<Vec<T>> {
    let mut v = Vec::new();
    v.try_reserve_exact(len).ok()?;
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
            DType::U32 => return None,
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
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Elements `from..to`.
    #[must_use]
    pub fn part(self, from: usize, to: usize) -> Self {
        match self {
            Self::F32(v) => Self::F32(&v[from..to]),
            Self::F16(v) => Self::F16(&v[from..to]),
            Self::BF16(v) => Self::BF16(&v[from..to]),
        }
    }

    /// The elements as f32; `out` has as many.
    pub fn widen(self, out: &mut [f32]) {
        use half::slice::HalfFloatSliceExt;
        match self {
            Self::F32(v) => out.copy_from_slice(v),
            Self::F16(v) => v.convert_to_f32_slice(out),
            Self::BF16(v) => widen_bf16(v, out),
        }
    }
}

fn widen_bf16(v: &[bf16], out: &mut [f32]) {
    #[inline(always)]
    fn plain(v: &[bf16], out: &mut [f32]) {
        out.iter_mut().zip(v).for_each(|(y, x)| *y = f32::from_bits(u32::from(x.to_bits()) << 16));
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(v: &[bf16], out: &mut [f32]) {
            plain(v, out);
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: just found.
            return unsafe { avx2(v, out) };
        }
    }
    plain(v, out);
}

/// A loaded weight.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Floats,
}

impl Weight {
    /// A vector's elements; vectors are always held in f32.
    pub(crate) fn vector(&self) -> &[f32] {
        match &self.data {
            Floats::F32(v) => v,
            _ => &[],
        }
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
    data: Floats,
    written: usize,
}

impl Upload {
    pub(crate) fn new(
        spec: &WeightSpec,
        dtype: DType,
        device: &str,
        used: u64,
    ) -> Result<Self, BackendError> {
        if !dtype.is_float() {
            return Err(spec_error(&spec.name, "f32, f16 or bf16", dtype.to_string()));
        }
        let len = spec.shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        let len = len.filter(|n| n.checked_mul(4).is_some());
        let Some(len) = len else {
            return Err(spec_error(&spec.name, "a shape that memory can hold", format!("{:?}", spec.shape)));
        };
        let data = Floats::zeros(dtype, len).ok_or_else(|| BackendError::OutOfMemory {
            device: device.into(),
            what: format!("weight {}", spec.name),
            requested: (len * dtype.bytes()) as u64,
            used,
        })?;
        Ok(Self { name: spec.name.clone(), shape: spec.shape.clone(), data, written: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        let (at, total) = (self.written, self.data.bytes().len());
        if bytes.len() > total - at {
            let got = format!("at least {} bytes", at as u64 + bytes.len() as u64);
            return Err(spec_error(&self.name, format!("{total} bytes"), got));
        }
        self.data.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
        Ok(())
    }

    pub(crate) fn end(self) -> Result<(String, Weight), BackendError> {
        let total = self.data.bytes().len();
        if self.written != total {
            return Err(spec_error(&self.name, format!("{total} bytes"), format!("{} bytes", self.written)));
        }
        let mut data = self.data;
        if is_vector(&self.shape) && data.dtype() != DType::F32 {
            let mut wide = vec![0.0; data.view().len()];
            data.view().widen(&mut wide);
            data = Floats::F32(wide);
        }
        Ok((self.name, Weight { shape: self.shape, data }))
    }
}

fn spec_error(name: &str, expected: impl Into<String>, got: impl Into<String>) -> BackendError {
    BackendError::Weight { name: name.into(), expected: expected.into(), got: got.into() }
}
