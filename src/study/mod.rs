//! A study: several variants, each trained with several seeds, all tested on the same real images, and
//! whether they differ.
//!
//! [`plan`] says which runs there are to be, [`compare_runs`] compares those that are finished, [`page`]
//! shows the result. Training is not done here.

mod compare;
mod figures;
mod names;
mod numbers;
pub mod page;
pub mod plan;
mod plan_file;
mod read;
pub mod results;
mod tables;
mod warnings;
mod words;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use self::names::{DATA, PAGE, PLAN, QUALITY, RESULTS, RUNS, TABLE};
use self::numbers::{RunNumbers, Side};
pub use self::plan::{Job, Plan};
use self::read::{Loaded, TestSet};
pub use self::results::Results;
use crate::error::{Error, Result};
use crate::files::{read_json, write_atomic, write_json};
use crate::page::output::Written;
use crate::stats::bootstrap::Settings;

/// Whether the run of a job is trained and tested.
pub fn is_finished(out: &Path, job: &Job) -> bool {
    names::evaluation(&job.folder(out)).is_file()
}

/// Compares the finished runs of the study in `out` and writes `study.json`, `study.csv`, `study.html`,
/// `plots/` and `tables/`, the page last. It may be called at any time, and again; unfinished runs are
/// listed.
///
/// # Errors
/// Those of [`compare_runs`]; a file cannot be written.
pub fn write(out: &Path, plan: &Plan) -> Result<(Results, Written)> {
    let results = compare_runs(out, plan, &Settings::default())?;
    write_json(&out.join(RESULTS), &results)?;
    write_atomic(&out.join(TABLE), |file| file.write_all(results.csv().as_bytes()))?;
    let written = page::write(out, &results, plan)?;
    Ok((results, written))
}

/// Reads the finished runs of the study in `out` and compares them.
///
/// # Errors
/// No run is finished; the evaluation of a finished run is damaged; two runs were tested on different images,
/// groups or classes (leaky runs aside); the settings make no sense.
pub fn compare_runs(out: &Path, plan: &Plan, settings: &Settings) -> Result<Results> {
    let mut missing = Vec::new();
    let mut test: Option<TestSet> = None;
    let mut sides = Vec::new();
    for arm in plan.arms() {
        let mut runs = Vec::new();
        for &seed in &plan.seeds {
            let name = plan::run_name(&arm.name, seed);
            let Some(run) = Loaded::read(out, name.clone(), seed)? else {
                missing.push(name);
                continue;
            };
            let test = match &mut test {
                Some(test) => {
                    test.check(&run)?;
                    test
                }
                none => none.insert(TestSet::of(&run)?),
            };
            runs.push(RunNumbers::new(run, test));
        }
        if !runs.is_empty() {
            sides.push(Side { arm, runs });
        }
    }
    let claims = if plan.leaky { read::claim_runs(out, plan, &mut missing)? } else { Vec::new() };
    let Some(test) = test else {
        return Err(Error::at(out, "no run of the study is finished")
            .expected(format!("runs with an evaluation of the test set in {RUNS}/"))
            .hint("Continue with `mien study`"));
    };

    let variants = sides.iter().map(|side| side.result(&test, settings)).collect::<Result<Vec<_>>>()?;
    let mut comparisons = Vec::new();
    if let Some(baseline) = sides.iter().find(|side| side.arm.name == plan.baseline) {
        for side in sides.iter().filter(|side| side.arm.name != plan.baseline) {
            comparisons.push(compare::compare(baseline, side, &test, settings)?);
        }
    }
    compare::correct(&mut comparisons, settings.level);
    let quality = out.join(QUALITY);
    let mut results = Results {
        classes: test.classes.clone(),
        images: test.truth.len(),
        groups: test.group_count(),
        seeds: plan.seeds.clone(),
        level: settings.level,
        replicates: settings.replicates,
        baseline: plan.baseline.clone(),
        claim: compare::claim(claims, plan, &variants),
        dose: compare::dose(plan, &variants),
        variants,
        comparisons,
        quality: if quality.exists() { Some(read_json(&quality)?) } else { None },
        missing,
        warnings: Vec::new(),
    };
    results.warnings = warnings::warnings(&results);
    Ok(results)
}
