//! Every key with its description, in the order of the reference recipe.

/// What a key is, for the help of its flag and for the reference recipe.
pub(crate) struct Key {
    /// The dotted key.
    pub(crate) name: &'static str,
    /// What it sets, as a phrase; the choices of an enumeration are added where they are shown.
    pub(crate) about: &'static str,
    /// A TOML value for a key without a default.
    pub(super) example: Option<&'static str>,
}

const fn key(name: &'static str, about: &'static str) -> Key {
    Key { name, about, example: None }
}

const fn optional(name: &'static str, example: &'static str, about: &'static str) -> Key {
    Key { name, about, example: Some(example) }
}

/// Every key, section by section.
pub(crate) const KEYS: &[Key] = &[
    optional(
        "data.root",
        "\"faces/\"",
        "folder, list (.csv, .jsonl) or fer2013.csv; `mien train DATA` sets it",
    ),
    key("data.dataset_type", "which images to train on"),
    optional("data.augmented", "\"DIR\"", "output of `mien augment`, if it is not the training data itself"),
    optional("data.synthetic", "\"DIR\"", "train on the synthetic images of DIR; validate and test on DATA"),
    key("data.classes", "names of the class folders; empty: all folders"),
    optional(
        "data.group_regex",
        r"'^(\d+)_'",
        "regex on file names whose first capture group identifies the person",
    ),
    key("data.split", "fractions of train, validation and test, where the data come without splits"),
    optional("data.split_seed", "42", "seed of the split; unset: train.seed"),
    key("data.resplit", "ignore existing splits and split all images again, by group"),
    key("data.drop_leaking", "leave out images whose group is also in a later split"),
    key("data.allow_leakage", "train even if groups cross splits; every report is marked"),
    key("data.max_unreadable", "fraction of unreadable files to tolerate"),
    optional("data.debug_subset", "1000", "train on N images only, a random subset stratified by class"),
    key("data.cache_mb", "memory for decoded images, in MiB"),
    key("input.size", "side of the square input, in pixels; the aspect ratio is not kept"),
    key("input.normalization.mean", "mean of each channel (R, G, B), subtracted"),
    key("input.normalization.std", "standard deviation of each channel, divided by"),
    key("model.name", "architecture"),
    key("model.width", "multiplier of all channel counts"),
    key("model.head", "head of a VGG: fc (three linear layers) or gap (average pooling, one linear layer)"),
    key("model.dropout", "dropout probability in the head; unset: the default of the model"),
    key("augment.transform.flip", "probability of a horizontal flip"),
    key("augment.transform.rotation", "largest rotation to either side, in degrees"),
    key("augment.transform.brightness", "brightness factor: drawn from 1 ± this"),
    key("augment.transform.contrast", "contrast factor: drawn from 1 ± this"),
    key("augment.transform.saturation", "saturation factor: drawn from 1 ± this"),
    key("augment.transform.hue", "largest hue shift, as a fraction of the colour circle"),
    key("augment.transform.translate", "largest shift, as a fraction of the side"),
    key("augment.mix.enabled", "apply MixUp and CutMix to training batches"),
    key("augment.mix.mixup", "probability of MixUp for a batch"),
    key("augment.mix.mixup_alpha", "both parameters of the beta distribution of MixUp"),
    key("augment.mix.cutmix", "probability of CutMix for a batch"),
    key("augment.mix.cutmix_alpha", "both parameters of the beta distribution of CutMix"),
    key("train.epochs", "passes over the training images"),
    key("train.batch_size", "images per batch"),
    key("train.accumulation", "batches whose gradients are averaged into one update"),
    key("train.learning_rate", "learning rate before the schedule"),
    key("train.weight_decay", "weight decay: L2 in sgd and adam, decoupled in adamw"),
    key("train.optimizer", "optimizer"),
    key("train.momentum", "momentum of sgd"),
    key("train.nesterov", "Nesterov momentum in sgd"),
    key("train.warmup", "epochs over which the learning rate rises linearly from 0; 0: no warm-up"),
    key("train.auto_lr", "halve the learning rate every 5 epochs if the validation loss has risen over them"),
    key("train.ema", "average the weights (exponentially) for validation and the best model"),
    key("train.ema_decay", "decay of that average, per update"),
    key("train.early_stopping", "stop when the validation loss no longer falls"),
    key("train.patience", "epochs without a lower validation loss before early stopping"),
    key("train.label_smoothing", "label smoothing: probability spread over all classes; 0: none"),
    key("train.balance", "how to treat class imbalance"),
    key("train.gradient_clip", "largest norm of the gradient; 0: no clipping"),
    key("train.monitor", "metric by which the best model is chosen"),
    key("train.save_every", "keep a checkpoint every N epochs; 0: only the best model and the last state"),
    key("train.save_minutes", "minutes between saves of the last state within an epoch; 0: at its end only"),
    key("train.weights", "initial weights: a .safetensors or .pth file, or imagenet; empty: from scratch"),
    key("train.feature_extract", "freeze the layers of the initial weights and train only the new ones"),
    key("train.seed", "seed of every random draw"),
    key("train.schedule.kind", "learning-rate schedule"),
    optional("train.schedule.every", "5", "step: epochs from one reduction to the next"),
    optional("train.schedule.factor", "0.1", "step and plateau: factor of a reduction"),
    optional("train.schedule.patience", "3", "plateau: epochs without a lower validation loss to tolerate"),
    key(
        "device.name",
        "device: auto, cpu, or if built in: cuda, cuda:N, rocm, metal, vulkan, wgpu, libtorch",
    ),
    key("device.precision", "number format of convolutions and matrix products"),
    key("device.workers", "threads that prepare batches"),
    key("device.fast_conv", "use mien's own CPU kernels for convolution, pooling and linear layers in f32"),
    key("report.page", "end with a report, RUN/report.html"),
    key("report.maps", "show class activation maps of up to N correct and N misclassified images; 0: none"),
    key("report.tensorboard", "write event files for TensorBoard to RUN/tensorboard"),
];

/// The key that an error's place names: `train.epochs`, or `train.epochs (--epochs)`.
pub(crate) fn key_at(place: &str) -> Option<&'static Key> {
    find(place.split(" (--").next().unwrap_or(place))
}

/// The key of this name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_is_a_phrase_of_its_own() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(!key.about.is_empty() && !key.about.ends_with('.'), "{}", key.name);
            let twice = KEYS[..index].iter().find(|other| other.about == key.about || other.name == key.name);
            assert!(twice.is_none(), "{} and {}", key.name, twice.unwrap().name);
        }
        assert!(find("train.epochs").is_some() && find("train").is_none());
        assert_eq!(key_at("data.split (--split)").map(|key| key.name), Some("data.split"));
    }
}
