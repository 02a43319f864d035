//! Splits by group, stratified by class: which group goes to train, validation or test.
//!
//! The result depends on the seed and on the groups' contents alone: not on file names, on the names of the
//! groups or on the order in which a file system lists them.

use std::str::FromStr;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::random::{Purpose, rng};

/// What a sample is used for.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The samples that the weights are fitted on.
    Train,
    /// Evaluated after each epoch, to choose the best epoch, lower the learning rate and stop early.
    Valid,
    /// Evaluated once, at the end.
    Test,
}

impl Split {
    /// Train, valid, test: `Split::ALL[split as usize] == split`.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// `train`, `valid` or `test`, as in files and folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    /// Reads `train`, `valid` (`val`, `validation`) and `test` in any case.
    fn from_str(text: &str) -> Result<Self> {
        split_of(text).ok_or_else(|| {
            Error::input("split", format!("unknown split `{text}`")).expected("train, valid or test")
        })
    }
}

/// The split that a folder's name or a list's cell stands for.
pub(crate) fn split_of(name: &str) -> Option<Split> {
    match name.to_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "valid" | "val" | "validation" => Some(Split::Valid),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

/// A group as the splitter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSizes {
    /// Identifies the group: the smallest content hash among its members.
    pub id: [u8; 32],
    /// Number of its images per class.
    pub per_class: Vec<usize>,
}

/// Assigns every group to one split so that each class's images are divided by `shares` (the fractions of
/// train, validation and test; sum 1). Returns the split of each group.
///
/// Groups are placed one by one, larger ones first (by powers of two; in seeded order within a power), each
/// where it lessens `Σ (placed − wanted)² / wanted` most, summed over its classes, each class weighted by the
/// inverse of its size. With single images that is the Sainte-Laguë method: no split is off by more than
/// about one image. Since each size is divided in proportion, test does not end up with small groups only.
///
/// Afterwards a split without a class gets one of its groups, where the class has enough groups for all
/// splits and moving one takes no class away from the split it leaves.
pub fn assign(groups: &[GroupSizes], shares: [f64; 3], seed: u64) -> Vec<Split> {
    let classes = groups.iter().map(|group| group.per_class.len()).max().unwrap_or(0);
    let mut state = State::new(groups, classes, shares);
    let mut order: Vec<(u32, u64, &[u8; 32], usize)> = groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            let size = group.per_class.iter().sum::<usize>().max(1);
            (u32::MAX - size.ilog2(), draw(seed, &group.id), &group.id, index)
        })
        .collect();
    order.sort_unstable();

    let active: Vec<usize> = (0..3).filter(|&split| shares[split] > 0.0).collect();
    let mut placed = vec![active.first().copied().unwrap_or(0); groups.len()];
    for &(.., index) in &order {
        let counts = &groups[index].per_class;
        let best = active
            .iter()
            .copied()
            .min_by(|&a, &b| state.cost_of_adding(a, counts).total_cmp(&state.cost_of_adding(b, counts)));
        if let Some(split) = best {
            placed[index] = split;
            state.add(split, counts);
        }
    }
    let order: Vec<usize> = order.into_iter().map(|(.., index)| index).collect();
    cover(groups, &order, &active, &mut placed, &mut state);
    placed.into_iter().map(|split| Split::ALL[split]).collect()
}

/// A number drawn for one group, whatever the other groups are.
fn draw(seed: u64, id: &[u8; 32]) -> u64 {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| id[at + byte]));
    rng(seed, Purpose::Split, word(0), word(8)).next_u64()
}

/// How far the placing has come.
struct State {
    totals: Vec<f64>,            // [class] images
    wanted: [Vec<f64>; 3],       // [split][class] images
    images: [Vec<f64>; 3],       // [split][class] placed
    groups: [Vec<usize>; 3],     // [split][class] groups that hold the class
    groups_of_class: Vec<usize>, // [class]
}

impl State {
    fn new(groups: &[GroupSizes], classes: usize, shares: [f64; 3]) -> Self {
        let mut totals = vec![0.0; classes];
        let mut groups_of_class = vec![0; classes];
        for group in groups {
            for (class, &count) in group.per_class.iter().enumerate() {
                totals[class] += count as f64;
                groups_of_class[class] += usize::from(count > 0);
            }
        }
        let wanted = shares.map(|share| totals.iter().map(|total| total * share).collect());
        Self {
            totals,
            wanted,
            images: std::array::from_fn(|_| vec![0.0; classes]),
            groups: std::array::from_fn(|_| vec![0; classes]),
            groups_of_class,
        }
    }

    /// By how much the cost grows when a group joins a split: `Σ g (2 (placed − wanted) + g) / (wanted ·
    /// total)`.
    fn cost_of_adding(&self, split: usize, counts: &[usize]) -> f64 {
        let cost = |class: usize, count: f64| {
            let (placed, wanted) = (self.images[split][class], self.wanted[split][class]);
            count * (2.0 * (placed - wanted) + count) / (wanted * self.totals[class])
        };
        counts
            .iter()
            .enumerate()
            .filter(|&(_, &count)| count > 0)
            .map(|(class, &count)| cost(class, count as f64))
            .sum()
    }

    fn add(&mut self, split: usize, counts: &[usize]) {
        for (class, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            self.images[split][class] += count as f64;
            self.groups[split][class] += 1;
        }
    }

    fn remove(&mut self, split: usize, counts: &[usize]) {
        for (class, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            self.images[split][class] -= count as f64;
            self.groups[split][class] -= 1;
        }
    }
}

/// Moves groups until every split has every class that has groups enough, as far as single moves can. Train
/// comes first and must have every class. Each move adds a class to a split and takes none away, so it ends.
fn cover(groups: &[GroupSizes], order: &[usize], active: &[usize], placed: &mut [usize], state: &mut State) {
    for &split in active {
        for class in 0..state.totals.len() {
            let enough = state.groups_of_class[class] >= if split == active[0] { 1 } else { active.len() };
            if !enough || state.groups[split][class] > 0 {
                continue;
            }
            let cost = |&index: &usize| {
                let (counts, from) = (&groups[index].per_class, placed[index]);
                let spare = counts
                    .iter()
                    .enumerate()
                    .all(|(other, &count)| count == 0 || state.groups[from][other] > 1);
                let movable = from != split && counts.get(class).is_some_and(|&count| count > 0) && spare;
                movable.then(|| (index, state.cost_of_adding(split, counts)))
            };
            let best = order.iter().filter_map(cost).min_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((index, _)) = best {
                state.remove(placed[index], &groups[index].per_class);
                state.add(split, &groups[index].per_class);
                placed[index] = split;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    const SHARES: [f64; 3] = [0.8, 0.1, 0.1];

    #[test]
    fn splits_are_read_under_their_usual_names() {
        for (text, split) in [
            ("train", Split::Train),
            ("VAL", Split::Valid),
            ("validation", Split::Valid),
            ("Test", Split::Test),
        ] {
            assert_eq!(text.parse::<Split>().unwrap(), split);
        }
        assert!("dev".parse::<Split>().is_err());
        assert_eq!(serde_json::to_string(&Split::Valid).unwrap(), "\"valid\"");
    }

    fn group(number: u64, per_class: Vec<usize>) -> GroupSizes {
        GroupSizes { id: *blake3::hash(&number.to_le_bytes()).as_bytes(), per_class }
    }

    /// `[split][class]` images.
    fn totals(groups: &[GroupSizes], splits: &[Split], classes: usize) -> [Vec<usize>; 3] {
        let mut totals = std::array::from_fn(|_| vec![0; classes]);
        for (group, split) in groups.iter().zip(splits) {
            for (class, count) in group.per_class.iter().enumerate() {
                totals[*split as usize][class] += count;
            }
        }
        totals
    }

    /// Groups of 1 to 9 images; some hold two classes.
    fn random_groups(seed: u64) -> Vec<GroupSizes> {
        let mut random = rng(seed, Purpose::Draw, 0, 0);
        (0..400)
            .map(|number| {
                let mut counts = vec![0; 4];
                let class = usize::min(random.random_range(0..7), 3);
                counts[class] = random.random_range(1..=6);
                if random.random_bool(0.3) {
                    counts[random.random_range(0..4)] += random.random_range(1..=3);
                }
                group(seed * 1000 + number, counts)
            })
            .collect()
    }

    #[test]
    fn single_images_are_divided_exactly() {
        let groups: Vec<_> =
            (0..1000).map(|n| group(n, if n < 900 { vec![1, 0] } else { vec![0, 1] })).collect();
        let splits = assign(&groups, SHARES, 1);
        assert_eq!(totals(&groups, &splits, 2), [vec![720, 80], vec![90, 10], vec![90, 10]]);
    }

    #[test]
    fn every_class_is_divided_to_within_the_size_of_a_group() {
        for seed in 0..20 {
            let groups = random_groups(seed);
            let totals = totals(&groups, &assign(&groups, SHARES, seed), 4);
            for class in 0..4 {
                let all: usize = totals.iter().map(|split| split[class]).sum();
                for split in 0..3 {
                    let off = (totals[split][class] as f64 - SHARES[split] * all as f64).abs();
                    assert!(off <= 9.0, "seed {seed}, class {class}, split {split}: off by {off} of {all}");
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_input_changes_nothing_and_the_seed_does() {
        for seed in 0..10 {
            let groups = random_groups(seed);
            let splits = assign(&groups, SHARES, seed);
            assert_eq!(splits, assign(&groups, SHARES, seed));
            let mut reversed: Vec<_> = groups.clone();
            reversed.reverse();
            let mut back = assign(&reversed, SHARES, seed);
            back.reverse();
            assert_eq!(splits, back);
            assert_ne!(splits, assign(&groups, SHARES, seed + 100));
        }
    }

    #[test]
    fn three_groups_of_a_class_reach_three_splits() {
        let mut groups: Vec<_> = (0..50).map(|n| group(n, vec![2, 0, 0])).collect();
        groups.extend((50..53).map(|n| group(n, vec![0, 1, 0])));
        groups.extend((53..57).map(|n| group(n, vec![0, 0, 7])));
        for seed in 0..20 {
            let totals = totals(&groups, &assign(&groups, SHARES, seed), 3);
            assert!(totals.iter().flatten().all(|&count| count > 0), "{totals:?}");
        }
    }

    #[test]
    fn a_class_with_one_or_two_groups_is_trained_on() {
        let mut groups: Vec<_> = (0..50).map(|n| group(n, vec![1, 0])).collect();
        groups.push(group(50, vec![3, 1]));
        groups.push(group(51, vec![0, 2]));
        for seed in 0..20 {
            assert!(totals(&groups, &assign(&groups, SHARES, seed), 2)[0][1] > 0);
        }
    }

    #[test]
    fn large_groups_are_spread_over_all_splits() {
        let groups: Vec<_> = (0..300).map(|n| group(n, vec![if n < 100 { 16 } else { 1 }])).collect();
        let splits = assign(&groups, SHARES, 3);
        let large = |split| (0..100).filter(|&n| splits[n] == split).count();
        assert!(
            large(Split::Valid) >= 5 && large(Split::Test) >= 5,
            "{} {}",
            large(Split::Valid),
            large(Split::Test)
        );
    }

    #[test]
    fn a_split_with_a_fraction_of_zero_gets_nothing() {
        let groups: Vec<_> = (0..30).map(|n| group(n, vec![1, 1])).collect();
        let splits = assign(&groups, [0.9, 0.0, 0.1], 1);
        assert!(splits.iter().all(|&split| split != Split::Valid));
        assert_eq!(splits.iter().filter(|&&split| split == Split::Test).count(), 3);
        assert!(assign(&groups, [0.0, 0.0, 1.0], 1).iter().all(|&split| split == Split::Test));
        assert!(assign(&[], SHARES, 1).is_empty());
    }
}
