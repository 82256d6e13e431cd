//! Opens a binding for an activation code that the partner has delivered. Nothing is sent and no number is needed.

use crate::domain::challenges::BindingCode;
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::answer::TRIES;
use crate::service::challenges::binding::{BindDevice, Challenge};
use crate::service::{NotDone, Refusal, Service};
use crate::store::Written;

impl Service {
    /// Opens the binding and ends the attempt: one read and one write, with the fraud check between them.
    pub(super) async fn bind_by_code(
        &self,
        wish: &BindDevice,
        challenge: Challenge,
        mut attempt: AuditScope<'_>,
    ) -> Result<Challenge, NotDone> {
        let settled = self.open_by_code(wish, challenge, &mut attempt).await;
        self.end(&attempt, settled).await
    }

    async fn open_by_code(
        &self,
        wish: &BindDevice,
        challenge: Challenge,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<Challenge>, NotDone> {
        for _ in 0..TRIES {
            let found = self.store.code_prospects(attempt.partner, &wish.person_id, &wish.key).await?;
            let found = found.filter(|found| found.activation.is_live(self.clock.now()));
            let found = found.ok_or(Refusal::NoActivation)?;
            self.admit_device(found.bound_devices, found.key_is_taken)?;
            if let Some(cooling) = self.pause(found.failures) {
                return Err(self.cooling_off(cooling).into());
            }
            if !self.passes(wish.to_assess(&challenge), attempt).await {
                return Err(Refusal::Declined.into());
            }
            let code = found.activation;
            let binding = wish.binding(&challenge, BindingCode::Activation(code.id), code.otp_version);
            let record = attempt.done(&challenge);
            if self.store.open_binding(attempt.partner, &binding, None, &record).await? == Written::Done(()) {
                tracing::info!(target: "audit", { challenge.id = %challenge.id }, "device binding requested");
                return Ok(Settled::Done(challenge));
            }
        }
        Ok(Settled::Overtaken)
    }
}
