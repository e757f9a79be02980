//! In how few bits: codes, estimators and their error bounds.
