//! Fewer points for the same image: a run of 50,000 batches would make an SVG of megabytes.
//!
//! Written here because simplification of lines (Douglas and Peucker, as in `geo`) knows no pixel columns:
//! the extremes of each column must be kept exactly.

/// At most four points per pixel column (first, lowest, highest, last, in their order): the polyline through
/// them covers the same pixels. `points` are in pixels with x not decreasing.
pub(crate) fn by_column(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    for column in points.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        if column.len() <= 4 {
            kept.extend_from_slice(column);
            continue;
        }
        let by_y = |index: &usize, other: &usize| column[*index].1.total_cmp(&column[*other].1);
        let lowest = (0..column.len()).min_by(by_y).unwrap_or(0);
        let highest = (0..column.len()).max_by(by_y).unwrap_or(0);
        let mut chosen = [0, lowest, highest, column.len() - 1];
        chosen.sort_unstable();
        for (place, &index) in chosen.iter().enumerate() {
            if place == 0 || chosen[place - 1] != index {
                kept.push(column[index]);
            }
        }
    }
    kept
}

/// Leaves points out that lie within `tolerance` of the line through those kept (Douglas and Peucker, 1973).
pub(crate) fn simplify(points: &[(f64, f64)], tolerance: f64) -> Vec<(f64, f64)> {
    if points.len() < 3 {
        return points.to_vec();
    }
    let mut keep = vec![false; points.len()];
    keep[0] = true;
    keep[points.len() - 1] = true;
    let mut open = vec![(0, points.len() - 1)];
    while let Some((from, to)) = open.pop() {
        let farthest = (from + 1..to)
            .map(|index| (index, distance(points[index], points[from], points[to])))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((index, far)) = farthest
            && far > tolerance
        {
            keep[index] = true;
            open.push((from, index));
            open.push((index, to));
        }
    }
    points.iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| *point).collect()
}

/// The lowest and highest value and the mean of each of `columns` equal parts: (position of the part's middle
/// in `values`, lowest, mean, highest). Parts without a finite value are left out.
pub(crate) fn envelope(values: &[f64], columns: usize) -> Vec<(f64, f64, f64, f64)> {
    let columns = columns.clamp(1, values.len().max(1));
    (0..columns)
        .filter_map(|column| {
            let (from, to) = (column * values.len() / columns, (column + 1) * values.len() / columns);
            let part: Vec<f64> =
                values[from..to].iter().copied().filter(|&value| super::scale::drawable(value)).collect();
            let (low, high) = super::scale::bounds(part.iter().copied())?;
            Some(((from + to - 1) as f64 / 2.0, low, part.iter().sum::<f64>() / part.len() as f64, high))
        })
        .collect()
}

/// Distance of `point` from the segment between `a` and `b`.
fn distance(point: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 {
        (((point.0 - a.0) * dx + (point.1 - a.1) * dy) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    ((point.0 - a.0 - along * dx).powi(2) + (point.1 - a.1 - along * dy).powi(2)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_keep_extremes_and_ends() {
        let points: Vec<_> =
            (0..50_000).map(|k| (f64::from(k) / 100.0, (f64::from(k) * 0.37).sin() * 50.0)).collect();
        let mut spiky = points.clone();
        spiky[12_345].1 = 1000.0;
        let kept = by_column(&spiky);
        assert!(kept.len() <= 4 * 500, "{}", kept.len());
        assert!(kept.contains(&spiky[12_345]) && kept[0] == spiky[0] && kept.last() == spiky.last());
        for column in 0..500 {
            let of = |points: &[(f64, f64)]| {
                super::super::scale::bounds(
                    points.iter().filter(|p| p.0.floor() == f64::from(column)).map(|p| p.1),
                )
            };
            assert_eq!(of(&kept), of(&spiky), "{column}");
        }
    }

    #[test]
    fn simplifying_stays_within_the_tolerance() {
        let staircase: Vec<_> =
            (0..20_000).map(|k| (f64::from(k / 2) * 0.03, f64::from((k + 1) / 2) * 0.02)).collect();
        let kept = simplify(&staircase, 0.2);
        assert!(kept.len() < 300, "{}", kept.len());
        for point in &staircase {
            let near =
                kept.windows(2).map(|pair| distance(*point, pair[0], pair[1])).fold(f64::INFINITY, f64::min);
            assert!(near <= 0.2 + 1e-9);
        }
        assert_eq!(simplify(&[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)], 0.1), [(0.0, 0.0), (2.0, 2.0)]);
        assert_eq!(simplify(&[], 0.1), []);
    }

    #[test]
    fn envelopes_hold_every_value() {
        let values: Vec<f64> = (0..1003).map(|k| f64::from((k * 7919) % 1009)).collect();
        let envelope = envelope(&values, 50);
        assert_eq!(envelope.len(), 50);
        let (low, high) = super::super::scale::bounds(values.iter().copied()).unwrap();
        assert_eq!(envelope.iter().map(|part| part.1).fold(f64::INFINITY, f64::min), low);
        assert_eq!(envelope.iter().map(|part| part.3).fold(0.0, f64::max), high);
        assert!(super::envelope(&[f64::NAN; 5], 3).is_empty() && super::envelope(&[], 3).is_empty());
    }
}
