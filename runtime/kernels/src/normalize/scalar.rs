//! The specification of [normalize](super).

/// Written so that the compiler makes vectors of it, whatever the target.
#[inline(always)]
pub(super) fn interleave<T: Copy>(planes: [&[T]; 3], out: &mut [T]) {
    let (pixels, _) = out.as_chunks_mut::<3>();
    let [a, b, c] = planes.map(|plane| &plane[..pixels.len()]);
    for (x, pixel) in pixels.iter_mut().enumerate() {
        *pixel = [a[x], b[x], c[x]];
    }
}
