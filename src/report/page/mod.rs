//! The page of the validation battery.
