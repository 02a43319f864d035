//! What is done to sums before they are first written, and how they are written.

use crate::scratch::Pointer;
use crate::simd::Simd;

/// What follows a convolution's sums: `relu(sum + bias + residual)`, each part where it is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One value for each output channel, `[out_channels]`, added to all of its pixels.
    pub bias: Option<&'a [f32]>,
    /// One value for each output, of the output's shape, added before the ReLU.
    pub residual: Option<&'a [f32]>,
    /// Whether negative results become zero; NaN stays NaN.
    pub relu: bool,
}

/// Outputs of more bytes than this do not stay in the cache anyway and are written past it.
const STREAM: usize = 16 << 20;

/// The outputs of a convolution: what is done to them, where they go and whether past the caches.
#[derive(Clone, Copy)]
pub(crate) struct Outputs<'a> {
    pub(crate) epilogue: Epilogue<'a>,
    to: Pointer,
    stream: bool,
}

impl<'a> Outputs<'a> {
    /// All of `output` is going to be written.
    pub(crate) fn new(epilogue: Epilogue<'a>, output: &mut [f32]) -> Self {
        Self { epilogue, stream: size_of_val(output) > STREAM, to: Pointer::to(output) }
    }

    /// Those of one output channel, whose bias there is if there is one.
    #[inline(always)]
    pub(crate) fn channel<S: Simd>(&self, s: S, channel: usize) -> Channel<'a, S> {
        let Epilogue { bias, residual, relu } = self.epilogue;
        let bias = s.splat(bias.map_or(0.0, |bias| bias[channel]));
        Channel { bias, floor: s.floor(relu), residual, to: self.to, stream: self.stream }
    }

    /// Waits until all is written.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(&self, s: S) {
        if self.stream {
            s.fence();
        }
    }
}

/// The outputs of one channel.
#[derive(Clone, Copy)]
pub(crate) struct Channel<'a, S: Simd> {
    bias: S::V,
    floor: S::V,
    residual: Option<&'a [f32]>,
    to: Pointer,
    stream: bool,
}

impl<S: Simd> Channel<'_, S> {
    /// Lanes from the element `at` of all outputs to the next place that a whole vector can be streamed to.
    #[inline(always)]
    pub(crate) fn lanes_to_line(&self, at: usize) -> usize {
        let to = self.to.get().wrapping_add(at);
        S::LANES - to as usize / size_of::<f32>() % S::LANES
    }

    /// Finishes sums and writes the masked ones to the element `at` of all outputs, and further on; `whole`
    /// says that the mask has all lanes.
    ///
    /// # Safety
    /// The masked places lie inside the output and are this task's.
    #[inline(always)]
    pub(crate) unsafe fn write(&self, s: S, at: usize, (mask, whole): (S::Mask, bool), sums: S::V) {
        // SAFETY: a residual is as long as the output.
        unsafe {
            let to = self.to.get().add(at);
            let mut value = s.add(sums, self.bias);
            if let Some(residual) = self.residual {
                value = s.add(value, s.load_masked(residual.as_ptr().add(at), mask));
            }
            let value = s.at_least(self.floor, value);
            match (whole, self.stream) {
                (true, true) => s.stream(to, value),
                (true, false) => s.store(to, value),
                (false, _) => s.store_masked(to, mask, value),
            }
        }
    }
}
