//! The program used rightly and wrongly: its help, its recipe, what it says about wrong arguments and
//! settings, and the exit codes.

mod program;

use std::fs;
use std::path::Path;

use program::{Place, WRONG_USE, fails, fails_with, ok, output, train};

#[test]
fn help_of_every_command_is_printed_with_all_its_flags() {
    let root = mien::cli::command();
    let help = ok(&["--help"]);
    for command in root.get_subcommands() {
        let name = command.get_name();
        assert!(help.contains(&format!("\n  {name} ")), "{name}: {help}");
        let help = ok(&[name, "--help"]);
        assert!(help.starts_with(&command.get_about().unwrap().to_string()), "{help}");
        for flag in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let long = flag.get_long().map(|long| format!("--{long}"));
            let value = || flag.get_value_names().unwrap_or_default()[0].to_string();
            let shown = long.unwrap_or_else(value);
            assert!(help.contains(&shown), "{name} {shown}: {help}");
        }
    }
    assert!(ok(&["help", "train"]).starts_with("Train a model"));
    assert_eq!(ok(&["--version"]).trim(), format!("mien {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn exit_codes_tell_wrong_use_from_failures() {
    let place = Place::new();
    let code = |arguments: &[&str]| output(arguments).status.code();
    for wrong in
        [&[][..], &["trian"], &["train"], &["train", "faces", "--epoch", "3"], &["draw", "x", "--size", "a"]]
    {
        assert_eq!(code(wrong), Some(WRONG_USE), "{wrong:?}");
    }
    fails_with(WRONG_USE, &["draw", &place.text("x"), "--size", "7"], &["--size: found 7"]);
    fails_with(
        WRONG_USE,
        &["predict", "model", "x.jpg", "--top", "0"],
        &["--top: found 0; expected 1 or more"],
    );
    fails_with(1, &["info", &place.text("nowhere")], &["nowhere", "no such file or folder"]);
    fails_with(WRONG_USE, &["info", &place.text("nowhere"), "--group-regex", "("], &["--group-regex: "]);
}

#[test]
fn the_printed_recipe_trains() {
    let place = Place::new();
    let recipe = ok(&["config"]);
    assert_eq!(
        recipe,
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/reference.toml")).unwrap()
    );
    fs::write(place.path("mine.toml"), recipe.replace("epochs = 25", "epochs = 0")).unwrap();
    let mine = place.text("mine.toml");
    let key = format!("{mine}, train.epochs: found 0; expected 1 or more");
    fails_with(WRONG_USE, &["train", "faces", "--recipe", &mine], &[&key]);
    ok(&train(&place.faces(), &place.text("run"), &["--recipe", &mine, "--check", "--quiet"]));
}

#[test]
fn wrong_settings_end_in_one_line_and_exit_code_2() {
    let place = Place::new();
    let (faces, run) = (place.faces(), place.text("run"));
    let check = |more: &[&str], parts: &[&str]| fails_with(WRONG_USE, &train(&faces, &run, more), parts);
    check(&["--set", "train.epoch=3"], &["--set train.epoch: there is no such key", "train.epochs"]);
    check(&["--model", "vgg15"], &["--model (model.name)", "vgg15", "vgg16_cbam"]);
    check(&["--batch-size", "999"], &["--batch-size (train.batch_size): found 999", "at most 56"]);
    check(&["--batch-size", "0"], &["--batch-size (train.batch_size): found 0"]);
    check(&["--epochs", "many"], &["--epochs (train.epochs)", "whole number"]);
    check(&["--input-size", "16"], &["--input-size (input.size): found 16", "32"]);
    check(&["--optimizer", "lion"], &["lion", "adamw"]);
    check(&["--device", "tpu"], &["--device (device.name): found \"tpu\""]);
    check(&["--group-regex", "("], &["--group-regex (data.group_regex)"]);
    check(&["--feature-extract"], &["--feature-extract (train.feature_extract)"]);
    fails_with(
        WRONG_USE,
        &["train", "--resume", &run, "--epochs", "9"],
        &["--epochs (train.epochs): a resumed run"],
    );
    let check = |more: &[&str], parts: &[&str]| fails_with(1, &train(&faces, &run, more), parts);
    check(&["--weights", "nowhere.safetensors"], &["nowhere.safetensors", "no such file"]);
    check(&["--recipe", "nowhere.toml"], &["nowhere.toml"]);
    check(
        &["--learning-rate", "1e30", "--no-ema", "--model", "vgg16"],
        &["the loss is", "step 2", "--learning-rate"],
    );
    assert!(place.path("run").exists(), "a run that failed in training keeps its folder");

    // --check writes nothing.
    let said = ok(&train(&faces, &place.text("checked"), &["--check"]));
    assert!(said.contains("check passed") && !place.path("checked").exists(), "{said}");

    // Wrong weights: another model's, a cut file, no weights at all.
    let other = place.text("other");
    ok(&[
        "train",
        &faces,
        "--out",
        &other,
        "--model",
        "resnet18",
        "--width",
        "0.0625",
        "--input-size",
        "32",
        "--epochs",
        "1",
        "--quiet",
        "--device",
        "cpu",
    ]);
    let best = format!("{other}/best.safetensors");
    let another = place.text("another");
    let check = |more: &[&str], parts: &[&str]| fails(&train(&faces, &another, more), parts);
    check(&["--weights", &best], &["do not fit the model", "layer1.0.conv1.weight"]);
    fs::write(place.path("no.safetensors"), "no weights").unwrap();
    check(&["--weights", &place.text("no.safetensors")], &["not a complete file of weights"]);
    fails(&["predict", &place.text("no.safetensors"), &faces], &["not a complete file of weights"]);
    fails(&["eval", &faces], &["neither a run folder nor a model file"]);
    fails(&["predict", &best, &place.text("nothing*.png")], &["there are no images"]);

    // A checkpoint of another model in the run's place.
    let mine = place.text("mine");
    ok(&train(&faces, &mine, &["--quiet", "--epochs", "1"]));
    fs::copy(format!("{other}/checkpoints/last.safetensors"), format!("{mine}/checkpoints/last.safetensors"))
        .unwrap();
    fails(&["train", "--resume", &mine], &["do not fit the model"]);
    fails(&["train", "--resume", &faces], &["there is no config.toml"]);
}
