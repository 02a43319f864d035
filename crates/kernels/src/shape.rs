//! The shapes of what the kernels read and write, and the check that slices have them.

/// A square convolution of `f32` images, in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images of the batch; 0 is nothing to do.
    pub batch: usize,
    /// Channels of the input, over which each output is summed.
    pub in_channels: usize,
    /// Channels of the output: one filter each.
    pub out_channels: usize,
    /// Rows of the input, in pixels, without the padding.
    pub height: usize,
    /// Columns of the input, in pixels, without the padding.
    pub width: usize,
    /// Side of the square kernel, in pixels; at least 1.
    pub kernel: usize,
    /// Pixels from one output's window to the next, in both directions; at least 1.
    pub stride: usize,
    /// Rows and columns of zeros on each of the four sides.
    pub padding: usize,
}

impl ConvShape {
    /// Height and width of the output, in pixels; 0 where the kernel is larger than the padded input.
    pub fn output(&self) -> (usize, usize) {
        let side = |size: usize| windows(size, self.kernel, self.stride, self.padding);
        (side(self.height), side(self.width))
    }

    /// Elements of the input, `[batch, in_channels, height, width]`.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.height * self.width
    }

    /// Elements of the output, `[batch, out_channels, …]` of [`ConvShape::output`].
    pub fn output_len(&self) -> usize {
        let (height, width) = self.output();
        self.batch * self.out_channels * height * width
    }

    /// Elements of the weights, `[out_channels, in_channels, kernel, kernel]`.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * self.kernel * self.kernel
    }

    /// Whether there is nothing to compute: an empty input or output.
    pub(crate) fn is_empty(&self) -> bool {
        self.input_len() == 0 || self.output_len() == 0
    }
}

/// A square max-pool of `f32` planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolShape {
    /// Images times channels; each plane is pooled by itself.
    pub planes: usize,
    /// Rows of the input, in pixels.
    pub height: usize,
    /// Columns of the input, in pixels.
    pub width: usize,
    /// Side of the square window, in pixels; 1 to 16.
    pub kernel: usize,
    /// Pixels from one window to the next, in both directions; at least 1.
    pub stride: usize,
    /// Pixels that the windows may reach over the edge; at most half the window.
    pub padding: usize,
}

impl PoolShape {
    /// Height and width of the output, in pixels; 0 where the window is larger than the padded input.
    pub fn output(&self) -> (usize, usize) {
        let side = |size: usize| windows(size, self.kernel, self.stride, self.padding);
        (side(self.height), side(self.width))
    }

    /// Elements of the input, `[planes, height, width]`.
    pub fn input_len(&self) -> usize {
        self.planes * self.height * self.width
    }

    /// Elements of the output, `[planes, …]` of [`PoolShape::output`].
    pub fn output_len(&self) -> usize {
        let (height, width) = self.output();
        self.planes * height * width
    }
}

/// Windows along a side of `size` pixels that is padded at both ends.
fn windows(size: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    (size + 2 * padding).checked_sub(kernel).map_or(0, |rest| rest / stride + 1)
}

/// A linear layer: input `[rows, inputs]`, weight `[outputs, inputs]`, output `[rows, outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinearShape {
    /// Rows of the input and the output: one for each image.
    pub rows: usize,
    /// Features of a row that go in.
    pub inputs: usize,
    /// Features of a row that come out.
    pub outputs: usize,
}

impl LinearShape {
    /// Elements of the input, `[rows, inputs]`.
    pub fn input_len(&self) -> usize {
        self.rows * self.inputs
    }

    /// Elements of the output, `[rows, outputs]`.
    pub fn output_len(&self) -> usize {
        self.rows * self.outputs
    }

    /// Elements of the weights, `[outputs, inputs]`.
    pub fn weight_len(&self) -> usize {
        self.outputs * self.inputs
    }
}

/// A matrix product: c `[rows, columns]` = a `[rows, inner]` · b `[inner, columns]`, all row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulShape {
    /// Rows of a and c.
    pub rows: usize,
    /// Columns of a, which are the rows of b: the terms of each sum.
    pub inner: usize,
    /// Columns of b and c.
    pub columns: usize,
    /// Whether a is stored as its transpose, `[inner, rows]`.
    pub a_transposed: bool,
    /// Whether b is stored as its transpose, `[columns, inner]`.
    pub b_transposed: bool,
}

/// The images that a batch norm works on, `[batch, channels, pixels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NormShape {
    /// Images of the batch.
    pub batch: usize,
    /// Channels, each with statistics of its own.
    pub channels: usize,
    /// Pixels of a channel's plane: height times width.
    pub pixels: usize,
}

impl NormShape {
    /// Elements of the input and of the output, `[batch, channels, pixels]`.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.pixels
    }

    /// Whether input and output have no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values that a channel's statistics are taken over.
    pub(crate) fn count(&self) -> f64 {
        (self.batch * self.pixels) as f64
    }

    /// Where the plane of an image's channel begins.
    pub(crate) fn plane(&self, image: usize, channel: usize) -> usize {
        (image * self.channels + channel) * self.pixels
    }
}

/// Panics with a message that says which slice of which function is wrong, if its length is.
pub(crate) fn check_len(name: &str, slice: &str, found: usize, expected: usize) {
    assert!(found == expected, "{name}: {slice} has {found} elements, the shape says {expected}");
}
