//! Which bytes: checked views over index pages.
#![forbid(unsafe_code)]
