//! Pools, as torch has them.

use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Tensor, module};

use super::pass::Pass;
use crate::cpu;

/// `torch.nn.MaxPool2d`: `[B, C, H, W] -> [B, C, H', W']`
pub fn max_pool2d(x: Tensor<4>, kernel: usize, stride: usize, padding: usize, pass: &Pass) -> Tensor<4> {
    if pass.is_fast(&x) {
        return cpu::max_pool2d(x, kernel, stride, padding);
    }
    let mut options = MaxPoolOptions::new([kernel; 2]);
    options.stride = [stride; 2];
    options.padding = [(padding, padding); 2];
    module::max_pool2d(x, options)
}

/// `torch.nn.AdaptiveAvgPool2d`: `[B, C, H, W] -> [B, C, size, size]`
pub fn adaptive_avg_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if height == size && width == size {
        return x;
    }
    if height % size == 0 && width % size == 0 {
        // Equal cells: the plain average pool, which every engine has a fast kernel for.
        let cell = [height / size, width / size];
        let mut options = AvgPoolOptions::new(cell);
        options.stride = cell;
        return module::avg_pool2d(x, options);
    }
    module::adaptive_avg_pool2d(x, [size; 2])
}

/// Mean over the map: `[B, C, H, W] -> [B, C]`
pub fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
}
