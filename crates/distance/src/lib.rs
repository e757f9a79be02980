//! How far: exact distance kernels.
