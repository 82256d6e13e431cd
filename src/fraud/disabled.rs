//! The fraud check when no provider is configured: nothing is assessed, nothing is refused.

use async_trait::async_trait;

use super::{Assessment, FraudCheck, FraudError, FraudQuery};

/// Assesses nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disabled;

#[async_trait]
impl FraudCheck for Disabled {
    async fn assess(&self, _query: &FraudQuery<'_>) -> Result<Option<Assessment>, FraudError> {
        Ok(None)
    }
}
