//! The validation battery (paper, section 5): what a trained model does with its descriptors, how alike its encoders are, what it is
//! sensitive to; every figure beside the paper's, its interval, and what chance gives.

pub mod figure;
pub mod findings;
