//! Every case of every operation: finite-difference gradients in f64, and single against double precision.

use descant::ops::all_cases;

/// Central differences with step 1e-5 leave about 1e-9 of truncation and rounding on smooth functions of size 1.
const GRADIENT_TOLERANCE: f64 = 2e-7;
/// f32 sums of a few hundred terms.
const SINGLE_TOLERANCE: f64 = 2e-5;

#[test]
fn gradients_match_finite_differences() {
    for case in all_cases() {
        let error = case.gradient_error().unwrap();
        assert!(error < GRADIENT_TOLERANCE, "{}: gradient error {error:.2e}", case.name);
    }
}

#[test]
fn single_precision_follows_double() {
    for case in all_cases() {
        let error = case.single_precision_error().unwrap();
        assert!(error < SINGLE_TOLERANCE, "{}: f32 against f64 {error:.2e}", case.name);
    }
}
