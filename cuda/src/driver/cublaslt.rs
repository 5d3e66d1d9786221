//! cuBLASLt: the vendor's matrix products, where its library is on the machine.
//!
//! The library counts columns first. Rows that lie one after another are columns to it, so it is asked for
//! `resultᵀ = W·xᵀ`: its A is W, transposed; its B is x; its rows are our columns.

use super::library::Library;
use crate::gpu::{GpuError, PRODUCT_WORKSPACE, Product, ProductShape};
use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use cudarc::driver::sys::CUstream;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_void};
use std::rc::Rc;
use std::sync::OnceLock;

const CUBLASLT: Library = Library {
    what: "the library of matrix products (cuBLASLt)",
    name: "libcublasLt",
    variable: "MONOLENS_CUBLASLT",
    packages: ["cu13/lib", "cublas/lib"],
    is_found: sys::is_culib_present,
};

/// Shapes whose kernels are remembered; prompts of any length come by.
const REMEMBERED: usize = 256;
/// What x is aligned to at least: terms of it lie behind one another.
const X_ALIGNMENT: u32 = 64;
/// `CUBLAS_OP_T` of `cublasOperation_t`, which cudarc has in another library's bindings only.
const TRANSPOSED: i32 = 1;
/// In place of a bias while a kernel is looked for, which only its alignment matters to.
const ANY_BIAS: u64 = 1 << 20;

/// Finds and loads cuBLASLt where [`super::find_compiler`] looks for NVRTC, first in the folder that `MONOLENS_CUBLASLT`
/// names; gives its version.
///
/// # Errors
/// Where it was looked for.
pub fn find_cublaslt() -> Result<String, String> {
    static FOUND: OnceLock<Result<String, String>> = OnceLock::new();
    let find = || {
        CUBLASLT.load()?;
        // SAFETY: the library is loaded.
        let version = unsafe { sys::cublasLtGetVersion() };
        // 12.9.1 is 120901.
        Ok(format!("{}.{}", version / 10_000, version % 10_000 / 100))
    };
    FOUND.get_or_init(find).clone()
}

/// The library on a device.
#[derive(Debug)]
pub(super) struct Products {
    handle: sys::cublasLtHandle_t,
    kernels: RefCell<BTreeMap<ProductShape, Option<Rc<Kernel>>>>,
}

/// A product of some shape, and what the library chose to do it with.
#[derive(Debug)]
struct Kernel {
    description: Description,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Products {
    /// Of the device whose context is that of this thread.
    pub fn new() -> Result<Self, String> {
        find_cublaslt()?;
        let handle = result::create_handle().map_err(|e| format!("cuBLASLt does not start: {}", text(e)))?;
        Ok(Self { handle, kernels: RefCell::default() })
    }

    /// What does products of this shape; none where the library has nothing.
    fn kernel(&self, shape: &ProductShape) -> Option<Rc<Kernel>> {
        let mut kernels = self.kernels.borrow_mut();
        if let Some(known) = kernels.get(shape) {
            return known.clone();
        }
        if kernels.len() == REMEMBERED {
            kernels.clear();
        }
        let found = self.choose(shape);
        if let Err(error) = &found {
            log::warn!("cuBLASLt has nothing for {shape:?}: {}", text(*error));
        }
        let found = found.ok().map(Rc::new);
        kernels.insert(*shape, found.clone());
        found
    }

    fn choose(&self, shape: &ProductShape) -> Result<Kernel, CublasError> {
        use sys::cublasLtMatmulPreferenceAttributes_t::{
            CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        };
        let description = Description::new(shape)?;
        if shape.biased {
            description.set_bias(ANY_BIAS)?;
        }
        let [weight, x, y] = description.layouts;
        let preference = result::create_matmul_pref()?;
        let set = |which, value: *const c_void, bytes| {
            // SAFETY: the preference was just made, and the value has so many bytes.
            unsafe { result::set_matmul_pref_attribute(preference, which, value, bytes) }
        };
        let (workspace, alignment) = (PRODUCT_WORKSPACE, X_ALIGNMENT);
        let found = set(
            CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            (&raw const workspace).cast(),
            size_of_val(&workspace),
        )
        .and_then(|()| {
            set(
                CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                (&raw const alignment).cast(),
                size_of_val(&alignment),
            )
        })
        .and_then(|()| {
            // SAFETY: all of these were made and not destroyed.
            unsafe {
                result::get_matmul_algo_heuristic(
                    self.handle,
                    description.matmul,
                    weight,
                    x,
                    y,
                    y,
                    preference,
                )
            }
        });
        // SAFETY: it is not used again.
        let destroyed = unsafe { result::destroy_matmul_pref(preference) };
        let found = found?;
        destroyed?;
        Ok(Kernel { description, algorithm: found.algo })
    }

    /// Whether the library has something for products of this shape.
    pub fn has(&self, shape: &ProductShape) -> bool {
        self.kernel(shape).is_some()
    }

    /// Begins a product on a stream.
    pub fn launch(&self, product: &Product, stream: CUstream) -> Result<(), GpuError> {
        let shape = &product.shape;
        let refused = |why: String| {
            let variable = crate::Gemm::VARIABLE;
            GpuError::Other(format!(
                "cuBLASLt, {} x {} x {}: {why}; {variable}=own does without it",
                shape.rows, shape.columns, shape.inner
            ))
        };
        let kernel = self.kernel(shape);
        let kernel = kernel.ok_or_else(|| refused("it has no kernel for it".into()))?;
        let description = &kernel.description;
        if shape.biased {
            description.set_bias(product.bias).map_err(|e| refused(text(e)))?;
        }
        let [weight, x, y] = description.layouts;
        let (one, added) = (1.0_f32, if product.added == 0 { 0.0_f32 } else { 1.0 });
        let from = if product.added == 0 { product.result } else { product.added };
        // SAFETY: buffers are as large as their owners say, and the library reads the factors before it returns.
        let begun = unsafe {
            result::matmul(
                self.handle,
                description.matmul,
                (&raw const one).cast(),
                (&raw const added).cast(),
                product.weight as *const c_void,
                weight,
                product.x as *const c_void,
                x,
                from as *const c_void,
                y,
                product.result as *mut c_void,
                y,
                &kernel.algorithm,
                product.workspace as *mut c_void,
                PRODUCT_WORKSPACE,
                stream.cast(),
            )
        };
        begun.map_err(|e| refused(text(e)))
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        // SAFETY: it is not used again. A failure is of a device that is lost.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// A product as the library knows it: what is transposed and added, and how W, x and the result lie.
#[derive(Debug)]
struct Description {
    matmul: sys::cublasLtMatmulDesc_t,
    layouts: [sys::cublasLtMatrixLayout_t; 3],
}

impl Description {
    fn new(shape: &ProductShape) -> Result<Self, CublasError> {
        use sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        use sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
        use sys::cublasLtMatmulDescAttributes_t::{
            CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_MATMUL_DESC_TRANSA,
        };
        use sys::cudaDataType_t::{CUDA_R_16BF, CUDA_R_32F};
        let [rows, columns, inner] = [shape.rows, shape.columns, shape.inner].map(u64::from);
        let mut made = Self {
            matmul: result::create_matmul_desc(CUBLAS_COMPUTE_32F, CUDA_R_32F)?,
            layouts: [std::ptr::null_mut(); 3],
        };
        // From here on it destroys what there is of it.
        made.layouts[0] =
            result::create_matrix_layout(CUDA_R_16BF, inner, columns, shape.weight_stride.into())?;
        made.layouts[1] = result::create_matrix_layout(CUDA_R_16BF, inner, rows, shape.x_stride.into())?;
        made.layouts[2] = result::create_matrix_layout(CUDA_R_32F, columns, rows, shape.columns.into())?;
        made.set(CUBLASLT_MATMUL_DESC_TRANSA, &TRANSPOSED)?;
        if shape.biased {
            made.set(CUBLASLT_MATMUL_DESC_EPILOGUE, &CUBLASLT_EPILOGUE_BIAS)?;
        }
        Ok(made)
    }

    /// Says where the bias is; the library reads it when a product is begun.
    fn set_bias(&self, address: u64) -> Result<(), CublasError> {
        self.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &address)
    }

    fn set<T>(&self, which: sys::cublasLtMatmulDescAttributes_t, value: &T) -> Result<(), CublasError> {
        // SAFETY: the description was made, and the attribute is of this type.
        unsafe {
            result::set_matmul_desc_attribute(self.matmul, which, (value as *const T).cast(), size_of::<T>())
        }
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: they are not used again. Nothing can be done about a failure.
        unsafe {
            for layout in self.layouts.into_iter().filter(|layout| !layout.is_null()) {
                let _ = result::destroy_matrix_layout(layout);
            }
            let _ = result::destroy_matmul_desc(self.matmul);
        }
    }
}

/// What the library says of an error.
fn text(error: CublasError) -> String {
    // SAFETY: the library is loaded, and gives a text that stays.
    let words = unsafe {
        let words = sys::cublasLtGetStatusString(error.0);
        (!words.is_null()).then(|| CStr::from_ptr(words))
    };
    words.map_or_else(|| error.to_string(), |words| words.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ProductShape =
        ProductShape { rows: 70, columns: 33, inner: 48, x_stride: 64, weight_stride: 56, biased: true };

    /// Whether the library is there; where it is not, that is said.
    fn is_here() -> bool {
        match find_cublaslt() {
            Ok(version) => {
                println!("cuBLASLt {version}");
                true
            }
            Err(reason) => {
                println!("SKIPPED: {reason}");
                assert!(std::env::var_os("MONOLENS_REQUIRE_CUBLASLT").is_none(), "{reason}");
                false
            }
        }
    }

    /// What the library keeps needs no GPU to be read back.
    #[test]
    fn the_library_is_told_what_is_meant() {
        use sys::cublasLtMatrixLayoutAttribute_t as L;
        if !is_here() {
            return;
        }
        let made = Description::new(&SHAPE).unwrap();
        made.set_bias(0x1234_5600).unwrap();
        let of_layout = |at: usize, which, bytes: usize| {
            let (mut value, mut written) = (0_u64, 0);
            // SAFETY: the layout was made, and the value has room for every attribute that is asked for.
            let got = unsafe {
                let value = (&raw mut value).cast();
                sys::cublasLtMatrixLayoutGetAttribute(made.layouts[at], which, value, bytes, &mut written)
            };
            assert_eq!((got, written), (sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS, bytes));
            value
        };
        let layout = |at| {
            let kind = of_layout(at, L::CUBLASLT_MATRIX_LAYOUT_TYPE, 4);
            let size = [
                L::CUBLASLT_MATRIX_LAYOUT_ROWS,
                L::CUBLASLT_MATRIX_LAYOUT_COLS,
                L::CUBLASLT_MATRIX_LAYOUT_LD,
            ];
            (kind, size.map(|which| of_layout(at, which, 8)))
        };
        let (bf16, f32) = (sys::cudaDataType_t::CUDA_R_16BF as u64, sys::cudaDataType_t::CUDA_R_32F as u64);
        assert_eq!(layout(0), (bf16, [48, 33, 56]), "W");
        assert_eq!(layout(1), (bf16, [48, 70, 64]), "x");
        assert_eq!(layout(2), (f32, [33, 70, 33]), "the result");
        use sys::cublasLtMatmulDescAttributes_t as D;
        let of_matmul = |which, bytes: usize| {
            let (mut value, mut written) = (0_u64, 0);
            // SAFETY: as above.
            let got = unsafe {
                let value = (&raw mut value).cast();
                sys::cublasLtMatmulDescGetAttribute(made.matmul, which, value, bytes, &mut written)
            };
            assert_eq!((got, written), (sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS, bytes));
            value
        };
        assert_eq!(of_matmul(D::CUBLASLT_MATMUL_DESC_TRANSA, 4), TRANSPOSED as u64);
        assert_eq!(of_matmul(D::CUBLASLT_MATMUL_DESC_TRANSB, 4), 0);
        let bias = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS as u64;
        assert_eq!(of_matmul(D::CUBLASLT_MATMUL_DESC_EPILOGUE, 4), bias);
        assert_eq!(of_matmul(D::CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8), 0x1234_5600);
    }

    /// Without a GPU the library does not start: an error in words. With one it has a kernel for the shape.
    #[test]
    fn it_starts_or_says_why_not() {
        if !is_here() {
            return;
        }
        match Products::new() {
            Ok(products) => assert!(products.has(&SHAPE)),
            Err(reason) => assert!(reason.starts_with("cuBLASLt does not start: "), "{reason}"),
        }
    }
}
