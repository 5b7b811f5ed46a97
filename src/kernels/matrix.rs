//! The single-threaded matrix product of training. Callers split their work into pieces of fixed size and run the
//! pieces in parallel, so that sums do not depend on the number of threads.

use gemm::Parallelism;

/// A view of a slice as a matrix, stored row by row, or the transpose of one.
#[derive(Debug, Clone, Copy)]
pub struct MatrixView<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Distance between rows and between columns, in values.
    strides: [isize; 2],
}

impl<'a> MatrixView<'a> {
    /// A matrix of `columns` columns; its rows follow each other in `values`.
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, rows: values.len() / columns, columns, strides: [columns as isize, 1] }
    }

    /// Swaps rows and columns without moving any value.
    pub fn transposed(self) -> Self {
        let [row, column] = self.strides;
        Self { rows: self.columns, columns: self.rows, strides: [column, row], ..self }
    }
}

/// `c = a * b`, or `c += a * b` if `add` is set; `c` is stored row by row.
pub fn multiply(a: MatrixView<'_>, b: MatrixView<'_>, c: &mut [f32], add: bool) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "a matrix of {k} columns met one of {} rows", b.rows);
    assert_eq!(c.len(), m * n);
    assert!(a.values.len() >= m * k && b.values.len() >= k * n);
    let alpha = if add { 1.0 } else { 0.0 };
    // SAFETY: `gemm` reads m * k values of `a` and k * n of `b` at the view's strides; the assertions above keep all of
    // them inside the slices. It writes the m * n values of `c`, which is borrowed exclusively.
    #[expect(unsafe_code, reason = "gemm takes raw pointers")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.values.as_ptr(),
            a.strides[1],
            a.strides[0],
            b.values.as_ptr(),
            b.strides[1],
            b.strides[0],
            alpha,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::seeded;

    proptest! {
        #[test]
        fn a_product_is_the_sums_of_products(
            m in 1usize..20, n in 1usize..20, k in 1usize..20, seed: u64, add: bool, a_turned: bool, b_turned: bool,
        ) {
            let mut random = seeded(seed, "matrices");
            let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
            let (a, b, start) = (values(m * k), values(k * n), values(m * n));
            let view = |values, rows, columns, turned: bool| match turned {
                true => MatrixView::new(values, rows).transposed(),
                false => MatrixView::new(values, columns),
            };
            let mut c = start.clone();
            multiply(view(&a, m, k, a_turned), view(&b, k, n, b_turned), &mut c, add);
            for row in 0..m {
                for column in 0..n {
                    let sum: f32 = (0..k)
                        .map(|i| {
                            let a = if a_turned { a[i * m + row] } else { a[row * k + i] };
                            let b = if b_turned { b[column * k + i] } else { b[i * n + column] };
                            a * b
                        })
                        .sum();
                    let expected = if add { start[row * n + column] + sum } else { sum };
                    prop_assert!((c[row * n + column] - expected).abs() < 1e-4);
                }
            }
        }
    }
}
