//! Sums over the images for the gradients by the weights, in an order that depends on the shape alone: a
//! thread that joins or leaves changes no bit.
//!
//! The images are cut into blocks of pixels. A block is packed (both operands, with the pixels outermost) and
//! multiplied, which adds to the sums. Where the sums are small, some blocks in a row make a group with sums
//! of its own, and the threads share the groups; where they are large, all threads work on one block after
//! another.

use crate::parallel::for_each;
use crate::scratch::{Pointer, Shared, with_local};

/// Sums, or packed blocks, of more bytes than this are kept once, for all threads.
const LARGE_SUMS: usize = 6 << 20;
const LARGE_BLOCK: usize = 14 << 20;
/// Groups, at most, and what their results may take up in all (bytes).
const GROUPS: usize = 16;
const PARTIAL: usize = 32 << 20;

/// The scratch of a block, with lengths of [`Lengths`].
#[derive(Clone, Copy)]
pub(crate) struct Places {
    pub(crate) inputs: Pointer,
    pub(crate) gradients: Pointer,
    pub(crate) sums: Pointer,
    /// The gradient's sums, channel by channel.
    pub(crate) bias: Pointer,
}

/// Floats that a block needs.
#[derive(Clone, Copy)]
pub(crate) struct Lengths {
    pub(crate) inputs: usize,
    pub(crate) gradients: usize,
    pub(crate) sums: usize,
    /// Output channels, rounded up to whole vectors.
    pub(crate) bias: usize,
    /// What one task of packing needs for itself.
    pub(crate) packing: usize,
}

/// A block of pixels of those that a set of sums is made of.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) index: usize,
    /// Whether it begins the sums; the others add to them.
    pub(crate) first: bool,
}

/// A gradient by weights, cut into blocks.
pub(crate) trait Blocks: Sync {
    fn lengths(&self) -> Lengths;
    fn blocks(&self) -> usize;
    /// Tasks of packing and of multiplying a block.
    fn tasks(&self) -> (usize, usize);
    /// Operations of a block.
    fn work(&self) -> f64;
    fn out_channels(&self) -> usize;
    /// Whether the sums lie as the weights do, and need no finish.
    fn plain(&self) -> bool {
        false
    }

    /// Packs a part of a block, and begins the bias's sums or adds to them.
    ///
    /// # Safety
    /// The places must have the lengths asked for. Different tasks write different places.
    unsafe fn pack(&self, places: &Places, task: usize, block: Block, packing: *mut f32);
    /// Begins the sums with a part of the block's products, or adds it to them.
    ///
    /// # Safety
    /// As above, and the block must have been packed.
    unsafe fn multiply(&self, places: &Places, task: usize, block: Block);
    /// Writes one output channel's weights.
    ///
    /// # Safety
    /// As above, and `to` must be good for all weights.
    unsafe fn finish(&self, places: &Places, out_channel: usize, to: *mut f32);
}

/// Whether groups with sums of their own are better than one for all.
pub(crate) fn grouped(of: &impl Blocks, weights: usize) -> bool {
    let Lengths { inputs, gradients, sums, .. } = of.lengths();
    let bytes = |len: usize| len * size_of::<f32>();
    bytes(sums) <= LARGE_SUMS && bytes(inputs + gradients) <= LARGE_BLOCK && groups(of.blocks(), weights) >= 8
}

fn groups(blocks: usize, weights: usize) -> usize {
    GROUPS.min(blocks).min(PARTIAL / (weights * size_of::<f32>()))
}

/// Sums all blocks; `weight` and `bias` are overwritten.
pub(crate) fn sum(of: &impl Blocks, weight: &mut [f32], bias: Option<&mut [f32]>) {
    if grouped(of, weight.len()) { sum_groups(of, weight, bias) } else { sum_together(of, weight, bias) }
}

/// All threads on one block after another.
fn sum_together(of: &impl Blocks, weight: &mut [f32], bias: Option<&mut [f32]>) {
    let lengths = of.lengths();
    let buffers = [lengths.inputs, lengths.gradients, lengths.sums, lengths.bias].map(Shared::take);
    let [inputs, gradients, sums, bias_sums] = buffers.each_ref().map(Shared::pointer);
    let places = Places { inputs, gradients, sums, bias: bias_sums };
    let (packings, products) = of.tasks();
    for index in 0..of.blocks() {
        let block = Block { index, first: index == 0 };
        for_each(packings, of.work(), |task| {
            // SAFETY: the places have the lengths asked for.
            with_local(lengths.packing, |packing| unsafe { of.pack(&places, task, block, packing) });
        });
        for_each(products, of.work(), |task| {
            // SAFETY: as above, and the block is packed.
            unsafe { of.multiply(&places, task, block) };
        });
    }
    let to = Pointer::to(weight);
    for_each(of.out_channels(), (lengths.sums * 4) as f64, |k| {
        // SAFETY: as above; each channel's weights are written by one task.
        unsafe { of.finish(&places, k, to.get()) };
    });
    if let Some(bias) = bias {
        // SAFETY: packing has written all channels' sums.
        bias.copy_from_slice(unsafe { std::slice::from_raw_parts(bias_sums.get(), bias.len()) });
    }
}

/// Each thread on groups of its own; then the groups' results are added up.
fn sum_groups(of: &impl Blocks, weight: &mut [f32], bias: Option<&mut [f32]>) {
    let lengths = of.lengths();
    let groups = groups(of.blocks(), weight.len());
    let result = weight.len() + lengths.bias;
    let results = Shared::take(groups * result);
    let to = results.pointer();
    let (packings, products) = of.tasks();
    for_each(groups, of.work() * of.blocks() as f64, |group| {
        let scratch = lengths.inputs + lengths.gradients + lengths.sums + lengths.packing;
        // SAFETY: the scratch has room for all places, each group has a result of its own, and a block is
        // packed before it is multiplied.
        with_local(scratch, |inputs| unsafe {
            let gradients = inputs.add(lengths.inputs);
            let sums = gradients.add(lengths.gradients);
            let packing = sums.add(lengths.sums);
            let result = to.get().add(group * result);
            let sums = if of.plain() { result } else { sums };
            let [inputs, gradients, sums, bias] =
                [inputs, gradients, sums, result.add(weight.len())].map(Pointer::new);
            let places = Places { inputs, gradients, sums, bias };
            let blocks = of.blocks() * group / groups..of.blocks() * (group + 1) / groups;
            for index in blocks.clone() {
                let block = Block { index, first: index == blocks.start };
                (0..packings).for_each(|task| of.pack(&places, task, block, packing));
                (0..products).for_each(|task| of.multiply(&places, task, block));
            }
            if !of.plain() {
                (0..of.out_channels()).for_each(|k| of.finish(&places, k, result));
            }
        });
    });
    // SAFETY: all groups have written their results.
    let results: Vec<&[f32]> = (0..groups)
        .map(|g| unsafe { std::slice::from_raw_parts(to.get().add(g * result), result) })
        .collect();
    let weights = weight.len();
    add_up(&results, 0, weight);
    if let Some(bias) = bias {
        add_up(&results, weights, bias);
    }
}

/// to = the sum of the parts, from `offset` on, in their order.
fn add_up(parts: &[&[f32]], offset: usize, to: &mut [f32]) {
    const CHUNK: usize = 4096;
    let (len, to) = (to.len(), Pointer::to(to));
    for_each(len.div_ceil(CHUNK), (len * parts.len()) as f64, |chunk| {
        let range = chunk * CHUNK..len.min((chunk + 1) * CHUNK);
        // SAFETY: the chunks lie inside the slice and do not overlap.
        let to = unsafe { std::slice::from_raw_parts_mut(to.get().add(range.start), range.len()) };
        to.fill(0.0);
        for part in parts {
            for (sum, value) in to.iter_mut().zip(&part[offset + range.start..]) {
                *sum += value;
            }
        }
    });
}
