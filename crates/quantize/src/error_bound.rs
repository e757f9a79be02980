//! The error bound of rotated codes: the maximum by which a vector may be nearer than estimated.
//!
//! A code v has the angle a to its vector x. Its scale makes it exact along x; across x, its error points in a random
//! direction. An inner product with q is therefore off by |x| tan a times the component of q across x, spread over d - 1
//! dimensions: the estimate is most precise for queries near x, where precision matters. The query's own levels contribute
//! in the same way.
//!
//! The component across x is computed from the estimated product. If the estimate is too large, the bound is too small;
//! but then the distance was underestimated and lies above its lower bound anyway.

/// Standard deviations covered by a bound; 1.9 is RaBitQ's recommendation.
const EPSILON: f64 = 1.9;

/// Covers the rounding of f32 sums.
const ROUNDING: f32 = 4.0 * f32::EPSILON;

/// The stored part of a bound: two floats of 16 bits each, rounded up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ErrorBound {
    /// The tangent of the angle between vector and code; infinite if there is no bound.
    pub(crate) tangent: f32,
    pub(crate) length: f32,
}

impl ErrorBound {
    pub(crate) fn to_bits(self) -> u32 {
        let upper_half = |value: f32| (value.to_bits() + 0xFFFF) >> 16;
        upper_half(self.tangent) << 16 | upper_half(self.length)
    }

    #[inline]
    pub(crate) fn from_bits(bits: u32) -> ErrorBound {
        ErrorBound {
            tangent: f32::from_bits(bits & 0xFFFF_0000),
            length: f32::from_bits(bits << 16),
        }
    }
}

/// A query's contribution to the errors of its estimates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryErrorBound {
    squared_tangent: f32,
    /// The factor from the distance's product to the component of x along q.
    along: f32,
    /// The weight of the component of x across q.
    across: f32,
    /// An error of every distance, besides.
    constant: f32,
}

impl QueryErrorBound {
    /// For a query of this length and angle, in distances with products weighted by `weight`.
    pub(crate) fn new(error_bound: ErrorBound, weight: f32, dimensions: usize) -> QueryErrorBound {
        let directions = (dimensions.max(2) - 1) as f64;
        let along = if error_bound.length > 0.0 {
            1.0 / (weight * error_bound.length)
        } else {
            0.0
        };
        let across =
            EPSILON / directions.sqrt() * f64::from(weight) * f64::from(error_bound.length);
        QueryErrorBound {
            squared_tangent: error_bound.tangent * error_bound.tangent,
            along,
            across: across as f32,
            constant: 0.0,
        }
    }

    /// The same for a query that is known up to an error of this length in a direction at random, whose product with a vector of
    /// length `of` enters every distance.
    pub(crate) fn with_error(
        self,
        (error, of): (f64, f64),
        weight: f32,
        dimensions: usize,
    ) -> QueryErrorBound {
        let directions = (dimensions.max(2) - 1) as f64;
        let constant = EPSILON / directions.sqrt() * f64::from(weight) * error * of;
        QueryErrorBound {
            constant: constant as f32,
            ..self
        }
    }

    /// The query's length times the weight of products in distances.
    pub(crate) fn length(self) -> f32 {
        if self.along > 0.0 {
            1.0 / self.along
        } else {
            0.0
        }
    }

    /// The maximum by which a vector may be nearer than estimated, from the code's squared length and tangent, the distance's
    /// product, and the size of its other terms.
    #[inline]
    pub(crate) fn error(self, squared_length: f32, tangent: f32, product: f32, others: f32) -> f32 {
        let along = product * self.along;
        let squared_across = (squared_length - along * along).max(0.0);
        let squared_tangent = tangent * tangent;
        let of_each = (squared_tangent + self.squared_tangent) * squared_across;
        let of_both = squared_tangent * self.squared_tangent * squared_length;
        let error = self.across * (of_each + of_both).sqrt()
            + self.constant
            + ROUNDING * (others + product.abs());
        // Infinity times zero: still no bound.
        if error.is_nan() { f32::INFINITY } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_bound_is_never_rounded_down() {
        for (tangent, length) in [(0.0, 0.0), (0.1, 3.7), (1.0, 1e18), (f32::INFINITY, 1e-30)] {
            let kept = ErrorBound::from_bits(ErrorBound { tangent, length }.to_bits());
            assert!(kept.tangent >= tangent && kept.length >= length, "{kept:?}");
            assert!(
                kept.tangent <= tangent * 1.008 && kept.length <= length * 1.008,
                "{kept:?}"
            );
        }
    }

    #[test]
    fn a_query_along_the_vector_is_met_more_exactly() {
        let query = QueryErrorBound::new(
            ErrorBound {
                tangent: 0.01,
                length: 2.0,
            },
            2.0,
            100,
        );
        let error = |cosine: f32| query.error(9.0, 0.1, 2.0 * 3.0 * 2.0 * cosine, 13.0);
        assert!(error(1.0) < 0.02 * error(0.0));
        assert!(error(0.9) < error(0.5) && error(0.5) < error(0.0));
    }

    #[test]
    fn nothing_known_of_either_side_means_no_bound() {
        let known = ErrorBound {
            tangent: 0.1,
            length: 1.0,
        };
        let none = ErrorBound {
            tangent: f32::INFINITY,
            length: 0.0,
        };
        assert_eq!(
            QueryErrorBound::new(none, 2.0, 100).error(1.0, 0.1, 0.0, 1.0),
            f32::INFINITY
        );
        assert_eq!(
            QueryErrorBound::new(known, 2.0, 100).error(0.0, f32::INFINITY, 0.0, 1.0),
            f32::INFINITY
        );
    }
}
