//! Layers that drop at random while training. The masks are drawn on the host from (seed, step, place), so
//! that they are the same on every device and after a restart.

use burn::tensor::{Tensor, TensorData};
use rand::RngExt;

use super::pass::Pass;

/// `torch.nn.Dropout` (Srivastava et al., JMLR 2014) for a tensor of any rank: each number is dropped with
/// this probability (0 to 1, without 1), the others grow by 1 / (1 − probability). Nothing happens in
/// evaluation.
pub fn dropout<const D: usize>(x: Tensor<D>, probability: f64, pass: &Pass) -> Tensor<D> {
    let shape = x.dims();
    masked(x, shape, probability, pass)
}

/// Stochastic depth (Huang et al., ECCV 2016, arXiv:1603.09382), torchvision's `StochasticDepth` in mode
/// `row`: what a residual block adds, dropped for whole samples, `[B, …] -> [B, …]`; the others grow by 1 /
/// (1 − probability).
pub fn drop_path<const D: usize>(x: Tensor<D>, probability: f64, pass: &Pass) -> Tensor<D> {
    let mut shape = [1; D];
    shape[0] = x.dims()[0];
    masked(x, shape, probability, pass)
}

fn masked<const D: usize>(x: Tensor<D>, shape: [usize; D], probability: f64, pass: &Pass) -> Tensor<D> {
    if probability <= 0.0 {
        return x;
    }
    let Some(mut rng) = pass.next_rng() else { return x };
    let kept = (1.0 / (1.0 - probability)) as f32;
    let mask: Vec<f32> = (0..shape.iter().product())
        .map(|_| if rng.random::<f64>() < probability { 0.0 } else { kept })
        .collect();
    let mask = Tensor::<D>::from_data(TensorData::new(mask, shape), &x.device());
    x * mask
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::params::{Params, host_values};

    fn ones<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::ones(shape, &Device::flex())
    }

    #[test]
    fn dropout_drops_its_share_and_keeps_the_mean_in_any_rank() {
        let params = Params::init(&[], 0, false, &Device::flex());
        let pass = Pass::train(&params, 1, 2);
        let flat = host_values(dropout(ones([40, 60]), 0.25, &pass)).unwrap();
        let dropped = flat.iter().filter(|value| **value == 0.0).count();
        assert!((540..660).contains(&dropped), "{dropped} of 2400");
        assert!(flat.iter().all(|value| *value == 0.0 || (value - 4.0 / 3.0).abs() < 1e-6));
        // The bits depend on the place and the count alone, not on the rank.
        let again = Pass::train(&params, 1, 2);
        let deep = host_values(dropout(ones([4, 10, 6, 10]), 0.25, &again)).unwrap();
        assert_eq!(flat, deep);
        assert_ne!(host_values(dropout(ones([40, 60]), 0.25, &again)).unwrap(), flat, "another place");
        let eval = Pass::eval(&params);
        assert!(host_values(dropout(ones([9]), 0.5, &eval)).unwrap().iter().all(|value| *value == 1.0));
    }

    #[test]
    fn drop_path_drops_whole_samples() {
        let params = Params::init(&[], 0, false, &Device::flex());
        let rows = host_values(drop_path(ones([400, 2, 3]), 0.5, &Pass::train(&params, 3, 0))).unwrap();
        assert!(rows.chunks_exact(6).all(|row| row == [0.0; 6] || row == [2.0; 6]));
        let dropped = rows.chunks_exact(6).filter(|row| row[0] == 0.0).count();
        assert!((150..250).contains(&dropped), "{dropped} of 400");
    }
}
