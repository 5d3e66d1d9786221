//! A safe face of the `gemm` crate for f32.

/// A matrix to read: `data[row·row_stride + column·column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// Elements.
    pub data: &'a [f32],
    /// Distance of two rows.
    pub row_stride: usize,
    /// Distance of two columns.
    pub column_stride: usize,
}

/// A matrix to write, columns one apart.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    /// Elements.
    pub data: &'a mut [f32],
    /// Distance of two rows, at least the number of columns.
    pub row_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after another.
    pub fn rows(data: &'a [f32], row_stride: usize) -> Self {
        Self { data, row_stride, column_stride: 1 }
    }

    /// The same elements with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { data: self.data, row_stride: self.column_stride, column_stride: self.row_stride }
    }
}

fn needed(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
}

/// `out = a·b`, or `out += a·b` with `add`, on this thread; `a` is m × k, `b` k × n.
///
/// # Panics
/// When a matrix has too few elements.
pub fn gemm(m: usize, n: usize, k: usize, out: MatrixMut<'_>, add: bool, a: Matrix<'_>, b: Matrix<'_>) {
    assert!(a.data.len() >= needed(m, k, a.row_stride, a.column_stride), "a is m x k");
    assert!(b.data.len() >= needed(k, n, b.row_stride, b.column_stride), "b is k x n");
    assert!(out.data.len() >= needed(m, n, out.row_stride, 1), "out is m x n");
    assert!(out.row_stride >= n || m <= 1, "rows of out do not overlap");
    if m == 0 || n == 0 {
        return;
    }
    let beta = 1.0;
    // SAFETY: all three matrices lie inside their slices, as just checked; `out` is borrowed uniquely and its elements
    // are distinct. `alpha` scales what was in `out` and is only read with `read_dst`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
            add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0_f32,
            beta,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
