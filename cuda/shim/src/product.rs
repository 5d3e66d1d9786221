//! The vendor's matrix products, computed plainly.

use crate::memory::Memory;
use monolens_cuda::gpu::{GpuError, PRODUCT_WORKSPACE, Product, ProductShape};

/// What of the workspace is overwritten, so that nobody keeps anything in it.
const SPOILT: u64 = 4096;

/// `result = x·Wᵀ (+ bias) (+ added)`, each sum in f32 and in order.
pub(crate) fn run(memory: &mut Memory, product: &Product) -> Result<(), GpuError> {
    let ProductShape { rows, columns, inner, x_stride, weight_stride, biased } = product.shape;
    let [rows, columns, inner, x_stride, weight_stride] =
        [rows, columns, inner, x_stride, weight_stride].map(|n| n as usize);
    // What the library's tensor-core kernels ask for.
    let addresses = [product.x, product.weight, product.result, product.added, product.bias];
    if addresses.iter().any(|address| address % 16 != 0) || x_stride % 8 != 0 || weight_stride % 8 != 0 {
        return Err(GpuError::Other(format!("a product that is not aligned to 16 bytes: {product:?}")));
    }
    if inner > x_stride || inner > weight_stride || biased != (product.bias != 0) {
        return Err(GpuError::Other(format!("a product that contradicts itself: {product:?}")));
    }
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    memory.slice(product.workspace, PRODUCT_WORKSPACE as u64)?[..SPOILT as usize].fill(0xff);
    let x = halves(memory, product.x, (rows - 1) * x_stride + inner)?;
    let weight = halves(memory, product.weight, (columns - 1) * weight_stride + inner)?;
    let bias = if biased { floats(memory, product.bias, columns)? } else { vec![0.0; columns] };
    let mut result = match product.added {
        0 => vec![0.0; rows * columns],
        added => floats(memory, added, rows * columns)?,
    };
    for (row, x) in result.chunks_exact_mut(columns).zip(x.chunks(x_stride)) {
        for ((y, weight), bias) in row.iter_mut().zip(weight.chunks(weight_stride)).zip(&bias) {
            let sum: f32 = x[..inner].iter().zip(&weight[..inner]).map(|(a, b)| a * b).sum();
            *y += sum + bias;
        }
    }
    let bytes: Vec<u8> = result.iter().flat_map(|y| y.to_le_bytes()).collect();
    memory.slice(product.result, bytes.len() as u64)?.copy_from_slice(&bytes);
    Ok(())
}

/// Numbers in bf16, widened.
fn halves(memory: &mut Memory, address: u64, count: usize) -> Result<Vec<f32>, GpuError> {
    let pairs = memory.slice(address, 2 * count as u64)?.chunks_exact(2);
    Ok(pairs.map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16)).collect())
}

fn floats(memory: &mut Memory, address: u64, count: usize) -> Result<Vec<f32>, GpuError> {
    let fours = memory.slice(address, 4 * count as u64)?.chunks_exact(4);
    Ok(fours.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(memory: &mut Memory, bytes: &[u8]) -> u64 {
        let address = memory.allocate(bytes.len() as u64).unwrap();
        memory.slice(address, bytes.len() as u64).unwrap().copy_from_slice(bytes);
        address
    }

    fn as_halves(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect()
    }

    fn as_floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// Two rows, two columns; what lies between rows of x and of W counts for nothing.
    #[test]
    fn rows_are_multiplied_with_rows_of_the_weight() {
        let mut memory = Memory::new(1 << 30);
        let wide = |rows: [[f32; 2]; 2]| {
            let row = |r: [f32; 2]| [r[0], r[1], 9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
            as_halves(&rows.map(row).concat())
        };
        let x = put(&mut memory, &wide([[1.0, 2.0], [3.0, 4.0]]));
        let weight = put(&mut memory, &wide([[1.0, 0.5], [2.0, -1.0]]));
        let bias = put(&mut memory, &as_floats(&[10.0, 20.0, 0.0, 0.0]));
        let added = put(&mut memory, &as_floats(&[100.0, 200.0, 300.0, 400.0]));
        let result = put(&mut memory, &[0xff; 16]);
        let workspace = memory.allocate(PRODUCT_WORKSPACE as u64).unwrap();
        let shape =
            ProductShape { rows: 2, columns: 2, inner: 2, x_stride: 8, weight_stride: 8, biased: false };
        let product = Product { shape, x, weight, bias: 0, added: 0, result, workspace };
        run(&mut memory, &product).unwrap();
        assert_eq!(floats(&mut memory, result, 4).unwrap(), [2.0, 0.0, 5.0, 2.0]);
        let shape = ProductShape { biased: true, ..shape };
        run(&mut memory, &Product { shape, bias, added, ..product.clone() }).unwrap();
        assert_eq!(floats(&mut memory, result, 4).unwrap(), [112.0, 220.0, 315.0, 422.0]);
        run(&mut memory, &Product { added: result, ..product.clone() }).unwrap();
        assert_eq!(floats(&mut memory, result, 4).unwrap(), [114.0, 220.0, 320.0, 424.0], "on top of itself");
        let odd = Product { x: x + 2, ..product.clone() };
        assert!(run(&mut memory, &odd).unwrap_err().to_string().contains("not aligned"));
        let beyond = Product { shape: ProductShape { rows: 3, ..product.shape }, ..product };
        assert!(run(&mut memory, &beyond).unwrap_err().to_string().contains("no memory of the device"));
    }
}
