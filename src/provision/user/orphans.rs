//! Settles an orphaned account before the next look.
//!
//! A run writes an intent before it creates an account or enables a former account. If it dies before it links that
//! account, the account is orphaned: no look would find it. The next run disables it and records it as a former
//! account of the user. The look that follows finds it by its name, and adopts it if the user still wants it.

use crate::anypoint::AccountChanges;
use crate::failure::Failure;
use crate::ids::OktaUserId;
use crate::provision::run::Run;
use crate::store::{Intent, Recalled, Tenure};

impl Run<'_> {
    pub(super) async fn settle(
        &mut self,
        user: &OktaUserId,
        recalled: &Recalled,
    ) -> Result<(), Failure> {
        if let (None, Some(username)) = (&self.memory.intent, &recalled.old_intent) {
            self.memory.intent = Some(Intent {
                username: username.clone(),
            });
        }
        let Some(intent) = self.memory.intent.clone() else {
            return Ok(());
        };
        if self.look.excludes_login_of(user).await? {
            return Ok(());
        }
        let ports = self.ports();
        let found = ports
            .anypoint
            .account_named(&intent.username, self.look.deadline)
            .await?
            .sure()?;
        let linked = recalled.link.as_ref().map(|link| &link.anypoint_id);
        if let Some(account) = found.filter(|account| Some(&account.id) != linked) {
            let ids = std::slice::from_ref(&account.id);
            let owner = ports.store.account_owners(ids).await?.remove(&account.id);
            let is_orphaned = owner
                .is_none_or(|owner| owner.okta_user == *user && owner.tenure == Tenure::Former);
            if is_orphaned {
                if account.is_enabled() {
                    let disable = AccountChanges::disabled();
                    let why = "a run that was cut off left the account without a link";
                    self.update((&account).into(), &disable, why).await?;
                }
                self.memory.intent = None;
                let memo = self.memory.to_memo();
                ports
                    .store
                    .record_orphan(self.lease, user, &account.id, memo)
                    .await?;
            }
        }
        // Nothing is left to find. The record's write includes the memory without the intent.
        self.drop_intent();
        if recalled.old_intent.is_some() {
            ports.store.forget_old_intent(user).await?;
        }
        Ok(())
    }
}
