//! Where a sliding window lies on a picture.

/// A `kernel` x `kernel` window moved over `height` x `width` pixels in steps of `stride`, with TensorFlow's "SAME"
/// padding: the output has `ceil(size / stride)` pixels and an odd padding pixel goes to the bottom and right.
///
/// For even sizes, 3x3 and stride 2 this equals Keras-MobileNet's explicit bottom/right padding.
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

    /// Calls `visit(input_row, kernel_row)` for the rows under output row `out_row` that lie inside the input.
    #[inline(always)]
    pub fn rows(&self, out_row: usize) -> impl Iterator<Item = (usize, usize)> {
        taps(self.height, self.top(), self.kernel, out_row * self.stride)
    }

    /// As [`rows`](Self::rows), for columns.
    #[inline(always)]
    pub fn columns(&self, out_column: usize) -> impl Iterator<Item = (usize, usize)> {
        taps(self.width, self.left(), self.kernel, out_column * self.stride)
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
