//! Recall over some queries, as numbers to read: mean, interval, worst.

/// The shares of the nearest rows found by some queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recall {
    /// The mean over the queries.
    pub mean: f64,
    /// The bounds of the interval that holds the recall of all queries with a probability of 95 %.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// The share of the worst query.
    pub worst: f64,
    /// The mean share of the worst 1 % of the queries, one at least.
    pub worst_percent: f64,
    /// The share of queries that found less than half.
    pub below_half: f64,
}

/// The standard deviations of a normal distribution around 95 % of it.
const DEVIATIONS: f64 = 1.96;

impl Recall {
    /// Summarizes one share for each query, each of up to `rows` rows; `None` without queries.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    pub fn of(shares: &[f64], rows: usize) -> Option<Recall> {
        if shares.is_empty() {
            return None;
        }
        let count = shares.len() as f64;
        let mean = shares.iter().sum::<f64>() / count;
        let squares: f64 = shares.iter().map(|share| (share - mean).powi(2)).sum();
        let variance = squares / (count - 1.0).max(1.0);
        let (low, high) = interval(mean, independent(mean, variance, count, rows as f64));
        let below_half = shares.iter().filter(|&&share| share < 0.5).count();
        let mut ascending = shares.to_vec();
        ascending.sort_unstable_by(f64::total_cmp);
        ascending.truncate(shares.len().div_ceil(100));
        Some(Recall {
            mean,
            low,
            high,
            worst: ascending[0],
            worst_percent: ascending.iter().sum::<f64>() / ascending.len() as f64,
            below_half: below_half as f64 / count,
        })
    }
}

/// The number of independent rows that would vary as much as the queries do (Kish's effective sample size): a query's rows
/// are found or missed together. At least one for each query, where all found the same share.
fn independent(mean: f64, variance: f64, queries: f64, rows: f64) -> f64 {
    let alike = queries * mean * (1.0 - mean) / variance;
    if alike.is_finite() {
        alike.clamp(queries, queries * rows.max(1.0))
    } else {
        queries
    }
}

/// Wilson's interval of a share: it is never empty and never leaves 0 to 1, as the usual one does near 1.
fn interval(mean: f64, count: f64) -> (f64, f64) {
    let square = DEVIATIONS * DEVIATIONS;
    let middle = mean + square / (2.0 * count);
    let half = DEVIATIONS * (mean * (1.0 - mean) / count + square / (4.0 * count * count)).sqrt();
    let scale = 1.0 + square / count;
    let low = ((middle - half) / scale).max(0.0);
    let high = ((middle + half) / scale).min(1.0);
    (low.min(mean), high.max(mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shares: &[f64], rows: usize) -> Recall {
        Recall::of(shares, rows).expect("there are queries")
    }

    #[test]
    fn nothing_asked_has_no_recall() {
        assert_eq!(Recall::of(&[], 10), None);
    }

    #[test]
    fn mean_worst_and_bad_queries_are_counted() {
        let recall = of(&[1.0, 0.4, 0.5, 0.9], 10);
        assert!((recall.mean - 0.7).abs() < 1e-9, "{recall:?}");
        assert!((recall.worst - 0.4).abs() < 1e-9, "{recall:?}");
        assert!((recall.below_half - 0.25).abs() < 1e-9, "{recall:?}");
    }

    #[test]
    fn the_worst_percent_is_one_query_of_a_hundred() {
        let mut shares = vec![1.0; 200];
        shares[7] = 0.2;
        shares[99] = 0.4;
        assert!((of(&shares, 10).worst_percent - 0.3).abs() < 1e-9);
        assert!((of(&shares[..100], 10).worst_percent - 0.2).abs() < 1e-9);
    }

    #[test]
    fn an_interval_holds_the_mean_and_stays_within_0_and_1() {
        let cases: [&[f64]; 6] = [
            &[1.0],
            &[0.0],
            &[0.3],
            &[0.0, 1.0],
            &[1.0, 1.0, 0.9],
            &[0.5; 1000],
        ];
        for shares in cases {
            for rows in [0, 1, 10, 100] {
                let Recall {
                    mean, low, high, ..
                } = of(shares, rows);
                assert!(0.0 <= low && low <= mean, "{low} {mean} {shares:?}");
                assert!(mean <= high && high <= 1.0, "{high} {mean} {shares:?}");
            }
        }
    }

    #[test]
    fn an_interval_of_perfect_queries_says_how_many_they_are() {
        let [few, many] = [10, 1000].map(|count| of(&vec![1.0; count], 10).low);
        assert!((0.70..0.75).contains(&few), "{few}");
        assert!((0.996..1.0).contains(&many), "{many}");
    }

    #[test]
    fn an_interval_is_narrower_the_more_queries_and_the_less_they_differ() {
        let width = |recall: Recall| recall.high - recall.low;
        let pattern = |count: usize, low: f64| -> Vec<f64> {
            (0..count)
                .map(|at| if at % 2 == 0 { 1.0 } else { low })
                .collect()
        };
        let widths = [(10, 0.6), (100, 0.6), (1000, 0.6), (1000, 0.8)];
        let widths = widths.map(|(count, low)| width(of(&pattern(count, low), 10)));
        assert!(widths.is_sorted_by(|a, b| a > b), "{widths:?}");
        // As many as the queries' own standard error says.
        let standard = 2.0 * 1.96 * 0.2 / 1000_f64.sqrt();
        assert!((widths[2] / standard - 1.0).abs() < 0.05, "{widths:?}");
    }
}
