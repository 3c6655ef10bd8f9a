//! [`View`]: how a value lies in a buffer.

/// Shape, strides and offset of a value, in elements. A transposition, a slice and most reshapes of a value are views of the same
/// buffer and cost nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) offset: usize,
}

/// Equally spaced rows of `width` adjacent elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) count: usize,
    pub(super) width: usize,
    pub(super) stride: usize,
    pub(super) offset: usize,
}

impl Rows {
    /// Copies the first `width` elements of each row, side by side.
    pub(super) fn gather(&self, source: &[f32], width: usize, out: &mut [f32]) {
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            out.copy_from_slice(&source[self.offset + row * self.stride..][..width]);
        }
    }
}

impl View {
    /// Row-major, from the start of the buffer.
    pub(super) fn contiguous(shape: &[usize]) -> Self {
        let mut strides = vec![1; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = strides[i] * shape[i];
        }
        View { shape: shape.to_vec(), strides, offset: 0 }
    }

    /// An image `[n, c, h, w]` that lies with its channels last, from the start of the buffer.
    pub(super) fn channels_last(shape: [usize; 4]) -> Self {
        let [n, c, h, w] = shape;
        View::contiguous(&[n, h, w, c]).permuted(&[0, 3, 1, 2])
    }

    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn permuted(&self, perm: &[usize]) -> Self {
        let pick = |from: &[usize]| perm.iter().map(|&axis| from[axis]).collect();
        View { shape: pick(&self.shape), strides: pick(&self.strides), offset: self.offset }
    }

    pub(super) fn sliced(&self, axis: usize, start: usize, end: usize) -> Self {
        let mut out = self.clone();
        out.shape[axis] = end - start;
        // Nothing has no place, which might lie beyond the buffer.
        if end > start {
            out.offset += start * out.strides[axis];
        }
        out
    }

    /// Whether the elements are those of a matrix that lies by columns: the number of its rows and columns, and from column to column.
    pub(super) fn transposed(&self) -> Option<(usize, usize, usize)> {
        match self.groups().as_slice() {
            &[(rows, 1), (columns, stride)] if stride >= rows => Some((rows, columns, stride)),
            _ => None,
        }
    }

    /// Planes that the last dimension chooses among and the others fill, without gaps, in any order: as the matrix whose rows are the
    /// elements of all planes at one place, in the order in which they lie.
    pub(super) fn planes(&self) -> Option<Self> {
        let (&size, lead) = self.shape.split_last()?;
        let plane: usize = lead.iter().product();
        if plane == 0 {
            return None;
        }
        let reach: usize = lead.iter().zip(&self.strides).map(|(size, stride)| (size - 1) * stride).sum();
        let fits = size > 1 && plane > 1 && self.strides[lead.len()] == plane && reach + 1 == plane;
        fits.then(|| View { shape: vec![plane, size], strides: vec![1, plane], offset: self.offset })
    }

    /// This view of [`planes`](Self::planes) that lie with all elements of a place side by side.
    pub(super) fn of_pixels(&self) -> Self {
        let mut out = self.clone();
        if let (Some(last), Some(&size)) = (out.strides.last_mut(), self.shape.last()) {
            *last = 1;
            let lead = out.strides.len() - 1;
            out.strides[..lead].iter_mut().for_each(|stride| *stride *= size);
        }
        out.offset = 0;
        out
    }

    /// Strides over a larger shape, zero along the dimensions that this view repeats in.
    pub(super) fn broadcast(&self, shape: &[usize]) -> Vec<usize> {
        let missing = shape.len() - self.shape.len();
        (0..shape.len())
            .map(|i| if i < missing || self.shape[i - missing] == 1 { 0 } else { self.strides[i - missing] })
            .collect()
    }

    /// The dimensions larger than one, each group of them that is evenly spaced as one: `(size, stride)`.
    fn groups(&self) -> Vec<(usize, usize)> {
        let mut out: Vec<(usize, usize)> = Vec::new();
        for (&size, &stride) in self.shape.iter().zip(&self.strides).filter(|(size, _)| **size != 1) {
            match out.last_mut() {
                Some(last) if last.1 == size * stride => *last = (last.0 * size, stride),
                _ => out.push((size, stride)),
            }
        }
        out
    }

    /// Whether the elements lie row-major without gaps.
    pub(super) fn is_contiguous(&self) -> bool {
        matches!(self.groups().as_slice(), [] | [(_, 1)])
    }

    /// The same elements in another shape, if no copy is needed.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        let mut groups = self.groups().into_iter();
        let mut strides = vec![0; shape.len()];
        let mut at = 0;
        while at < shape.len() {
            if shape[at] == 1 {
                at += 1;
                continue;
            }
            // The dimensions that make up the next group: their product must be its size.
            let (size, stride) = groups.next()?;
            let (start, mut product) = (at, 1);
            while product < size {
                product *= shape.get(at)?;
                at += 1;
            }
            if product != size {
                return None;
            }
            let mut step = stride;
            for i in (start..at).rev() {
                strides[i] = step;
                step *= shape[i];
            }
        }
        groups.next().is_none().then(|| View { shape: shape.to_vec(), strides, offset: self.offset })
    }

    /// The value as rows along its last dimension; `None` unless these are adjacent elements, evenly spaced.
    pub(super) fn rows(&self) -> Option<Rows> {
        let (&width, lead) = self.shape.split_last()?;
        let count = lead.iter().product();
        if width > 1 && self.strides[lead.len()] != 1 {
            return None;
        }
        let lead = View { shape: lead.to_vec(), strides: self.strides[..lead.len()].to_vec(), offset: 0 };
        match lead.groups().as_slice() {
            [] => Some(Rows { count, width, stride: width, offset: self.offset }),
            [(_, stride)] => Some(Rows { count, width, stride: *stride, offset: self.offset }),
            _ => None,
        }
    }

    /// An image `[1, c, h, w]` as `h * w` rows of `c` channels; `None` unless its channels lie last.
    pub(super) fn pixels(&self) -> Option<Rows> {
        match self.shape.as_slice() {
            [1, _, _, _] => self.permuted(&[0, 2, 3, 1]).rows(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_that_need_no_copy_are_views() {
        let v = View::contiguous(&[2, 3, 4]);
        assert_eq!(v.reshaped(&[6, 4]), Some(View::contiguous(&[6, 4])));
        let t = v.permuted(&[0, 2, 1]);
        assert_eq!(t.strides, [12, 1, 4]);
        assert_eq!(t.reshaped(&[8, 3]), None);
        assert_eq!(t.reshaped(&[2, 2, 2, 1, 3]).unwrap().strides, [12, 2, 1, 0, 4]);
        // A split of the last of two heads.
        let s = View::contiguous(&[5, 8]).sliced(1, 4, 8);
        assert_eq!((s.reshaped(&[5, 2, 2]).unwrap().strides, s.offset), (vec![8, 2, 1], 4));
        assert_eq!(s.reshaped(&[20]), None);
    }

    #[test]
    fn planes_are_pixels_in_two_steps() {
        // Quarters of the cells of an image of 6 planes of 4 x 8.
        let v = View::contiguous(&[6, 4, 8])
            .permuted(&[1, 2, 0])
            .reshaped(&[2, 2, 4, 2, 6])
            .unwrap()
            .permuted(&[0, 2, 1, 3, 4]);
        let planes = v.planes().unwrap();
        assert_eq!((planes.transposed(), v.transposed()), (Some((32, 6, 32)), None));
        // Pixels that lie side by side, in the same order.
        assert_eq!(v.of_pixels(), View::contiguous(&[2, 2, 4, 2, 6]).permuted(&[0, 2, 1, 3, 4]));
        assert_eq!(View::contiguous(&[4, 8, 6]).planes(), None);
        assert_eq!(View::contiguous(&[6, 4, 8]).permuted(&[1, 2, 0]).sliced(1, 0, 7).planes(), None);
    }

    #[test]
    fn rows_are_even_and_adjacent() {
        let v = View::channels_last([1, 8, 3, 5]);
        assert_eq!(v.pixels(), Some(Rows { count: 15, width: 8, stride: 8, offset: 0 }));
        assert_eq!(v.rows(), None);
        let narrow = View::contiguous(&[3, 5, 8]).sliced(2, 2, 6);
        assert_eq!(narrow.rows(), Some(Rows { count: 15, width: 4, stride: 8, offset: 2 }));
        assert_eq!(View::contiguous(&[3, 5, 8]).sliced(1, 1, 4).rows(), None);
        assert!(View::contiguous(&[3, 1, 8]).permuted(&[1, 0, 2]).is_contiguous());
    }
}
