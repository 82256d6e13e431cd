//! Randomness, passed in rather than taken, so that a test can repeat itself.

use rand::TryRng;
use rand::rngs::SysRng;

/// Gives random bytes that nobody can predict.
pub trait Entropy: Send + Sync {
    /// Fills the whole slice.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// As many random bytes as the type asks for.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        SysRng.try_fill_bytes(bytes).expect("a system without randomness cannot mint ids or secrets");
    }
}
