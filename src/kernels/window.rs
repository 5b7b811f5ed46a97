//! The geometry of a sliding window.

/// A `kernel` x `kernel` window that moves over `height` x `width` pixels in steps of `stride`, with TensorFlow's
/// "SAME" padding: the output has `ceil(size / stride)` pixels, and an odd padding pixel goes to the bottom and right.
///
/// For even sizes, 3x3 and stride 2, this equals Keras-MobileNet's explicit padding at the bottom and right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Side of the window.
    pub kernel: usize,
    /// Step, at least 1.
    pub stride: usize,
}

impl Window {
    /// Rows of the output.
    pub fn out_height(&self) -> usize {
        self.height.div_ceil(self.stride)
    }

    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        self.width.div_ceil(self.stride)
    }

    /// Rows of padding above the picture.
    pub fn top(&self) -> usize {
        self.padding_before(self.height, self.out_height())
    }

    /// Columns of padding to the left of the picture.
    pub fn left(&self) -> usize {
        self.padding_before(self.width, self.out_width())
    }

    fn padding_before(&self, size: usize, out: usize) -> usize {
        ((out - 1) * self.stride + self.kernel).saturating_sub(size) / 2
    }

    /// The pairs (input row, kernel row) under output row `out_row` that lie inside the input.
    #[inline(always)]
    pub fn rows(&self, out_row: usize) -> impl Iterator<Item = (usize, usize)> {
        taps(self.height, self.top(), self.kernel, out_row * self.stride)
    }

    /// As [`rows`](Self::rows), for columns.
    #[inline(always)]
    pub fn columns(&self, out_column: usize) -> impl Iterator<Item = (usize, usize)> {
        taps(self.width, self.left(), self.kernel, out_column * self.stride)
    }

    /// [`rows`](Self::rows) for every output row.
    pub fn row_taps(&self) -> Taps {
        Taps((0..self.out_height()).map(|row| self.rows(row).collect()).collect())
    }

    /// [`columns`](Self::columns) for every output column.
    pub fn column_taps(&self) -> Taps {
        Taps((0..self.out_width()).map(|column| self.columns(column).collect()).collect())
    }
}

/// For each output index along one side, the pairs (input index, kernel index) that it sums over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps(Vec<Vec<(usize, usize)>>);

impl Taps {
    /// Number of output indices.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no output.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs of one output index.
    pub fn of(&self, index: usize) -> &[(usize, usize)] {
        &self.0[index]
    }

    /// For each of `size` input indices, the pairs (output index, kernel index) to which it contributes.
    pub fn reversed(&self, size: usize) -> Self {
        let mut reversed = vec![Vec::new(); size];
        for (output, taps) in self.0.iter().enumerate() {
            for (input, kernel) in taps {
                reversed[*input].push((output, *kernel));
            }
        }
        Self(reversed)
    }
}

/// Pairs (input index, kernel index) for a window whose padded start is `start`.
#[inline(always)]
fn taps(size: usize, before: usize, kernel: usize, start: usize) -> impl Iterator<Item = (usize, usize)> {
    let first = before.saturating_sub(start);
    let last = kernel.min((size + before).saturating_sub(start));
    (first..last.max(first)).map(move |k| (start + k - before, k))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_follows_the_published_table() {
        // (size, kernel, stride) -> padding before, from timm's Conv2dSame at 224 and 260 pixels.
        for (size, kernel, stride, before) in
            [(224, 3, 2, 0), (56, 5, 2, 1), (14, 5, 2, 1), (260, 3, 2, 0), (65, 5, 2, 2), (33, 3, 2, 1), (17, 5, 2, 2)]
        {
            let window = Window { height: size, width: size, kernel, stride };
            assert_eq!(window.padding_before(size, window.out_height()), before, "{size} {kernel} {stride}");
        }
    }

    #[test]
    fn reversed_taps_name_the_same_products() {
        for size in 1..9 {
            for (kernel, stride) in [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2), (7, 3)] {
                let taps = Window { height: size, width: 1, kernel, stride }.row_taps();
                let products = |taps: &Taps, swap: bool| -> std::collections::BTreeSet<[usize; 3]> {
                    (0..taps.len())
                        .flat_map(|index| taps.of(index).iter().map(move |(other, kernel)| (index, *other, *kernel)))
                        .map(|(a, b, kernel)| if swap { [b, a, kernel] } else { [a, b, kernel] })
                        .collect()
                };
                assert_eq!(products(&taps, false), products(&taps.reversed(size), true));
            }
        }
    }

    #[test]
    fn taps_stay_inside_the_picture() {
        for size in 1..9 {
            for kernel in [1, 3, 5] {
                for stride in [1, 2] {
                    let window = Window { height: size, width: 1, kernel, stride };
                    for row in 0..window.out_height() {
                        let taps: Vec<_> = window.rows(row).collect();
                        assert!(!taps.is_empty());
                        assert!(taps.iter().all(|&(input, k)| input < size && k < kernel));
                    }
                }
            }
        }
    }
}
