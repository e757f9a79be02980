pub(super) mod neon;
