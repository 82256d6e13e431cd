//! The audit trail against the tables: each change has exactly one event, no event lacks its change, and the chain of
//! seals verifies.

use device_management::service::AuditCheckpoints;

use crate::audit::verdicts;
use crate::harness::{TestApp, TestDatabase, books};

/// Inconsistencies, each with the query that counts it. Valid while no event is sealed.
const FAULTS: [(&str, &str); 10] = [
    (
        "a bound device does not have exactly one event",
        "select count(*) from device d
          where (select count(*) from audit_pending a
                  where a.partner_id = d.partner_id and a.object_id = d.device_id
                    and a.action = 'binding.answered' and a.outcome = 'accepted') <> 1",
    ),
    (
        "an event of an accepted binding has no device",
        "select count(*) from audit_pending a
          where a.action = 'binding.answered' and a.outcome = 'accepted'
            and not exists (select 1 from device d where d.partner_id = a.partner_id and d.device_id = a.object_id)",
    ),
    (
        "a key does not have exactly one event, or an event has no key",
        "select count(*) from (select partner_id, key_id from device_key
                                union
                               select partner_id, key_id from audit_pending
                                where action = 'key.added' and outcome = 'accepted') k
          where (select count(*) from device_key d where d.partner_id = k.partner_id and d.key_id = k.key_id) <> 1
             or (select count(*) from audit_pending a
                  where a.partner_id = k.partner_id and a.key_id = k.key_id
                    and a.action in ('binding.answered', 'key.added') and a.outcome = 'accepted') <> 1",
    ),
    (
        "a deleted device does not have exactly one event, or a device that exists has such an event",
        "select count(*) from device d
          where (select count(*) from audit_pending a
                  where a.partner_id = d.partner_id and a.object_id = d.device_id
                    and a.action = 'device.deleted' and a.outcome = 'accepted')
             <> case when d.deleted_at is null then 0 else 1 end",
    ),
    (
        "a challenge does not have exactly one event",
        "select count(*) from person p
          where p.binding_id is not null
            and (select count(*) from audit_pending a
                  where a.partner_id = p.partner_id and a.object_id = p.binding_id
                    and a.action = 'binding.asked' and a.outcome = 'accepted') <> 1",
    ),
    (
        "the events of a person's number do not add up to the number that is there",
        "select count(*) from (select distinct partner_id, person_id from audit_pending where action like 'number.%') p
          where (select count(*) from mobile_number n where n.partner_id = p.partner_id and n.person_id = p.person_id)
             <> (select coalesce(sum(case when a.action = 'number.deleted' then -1 else 1 end), 0)
                   from audit_pending a
                  where a.partner_id = p.partner_id and a.person_id = p.person_id and a.outcome = 'accepted'
                    and a.action in ('number.created', 'number.asserted', 'number.deleted'))",
    ),
    (
        "the events of a device challenge are not its opening, its wrong answers and its answer",
        "select count(*)
           from device_challenge c
           left join (select partner_id, object_id
                           , count(case when action = 'device_challenge.asked' and outcome = 'accepted' then 1 end)
                             as opened
                           , count(case when action = 'device_challenge.answered' and outcome = 'wrong' then 1 end)
                             as wrong
                           , count(case when action = 'device_challenge.answered' and outcome = 'accepted' then 1 end)
                             as answered
                        from audit_pending
                       group by partner_id, object_id) e on e.partner_id = c.partner_id and e.object_id = c.challenge_id
          where coalesce(e.opened, 0) <> 1
             or coalesce(e.wrong, 0) <> c.wrong_answers
             or coalesce(e.answered, 0) <> case when c.decision is null then 0 else 1 end",
    ),
    (
        "an event opened a device challenge that is missing, although no device of the person was deleted",
        "select count(*) from audit_pending a
          where a.action = 'device_challenge.asked' and a.outcome = 'accepted'
            and not exists (select 1 from device_challenge c
                             where c.partner_id = a.partner_id and c.challenge_id = a.object_id)
            and not exists (select 1 from device d
                             where d.partner_id = a.partner_id and d.person_id = a.person_id
                               and d.deleted_at is not null)",
    ),
    (
        "the text of an approval was not kept with its answer, or was kept without one",
        "select count(*) from (select partner_id, event_id from approval_text
                                union
                               select a.partner_id, a.event_id
                                 from audit_pending a
                                 join device_challenge c on c.partner_id = a.partner_id and c.challenge_id = a.object_id
                                where a.action = 'device_challenge.answered' and a.outcome = 'accepted'
                                  and c.approval is not null) t
          where not exists (select 1 from approval_text k where k.partner_id = t.partner_id and k.event_id = t.event_id)
             or not exists (select 1 from audit_pending a
                             where a.partner_id = t.partner_id and a.event_id = t.event_id)",
    ),
    (
        "an activation code does not have exactly one event, or was used without a device",
        "select count(*) from activation_code c
          where (select count(*) from audit_pending a
                  where a.partner_id = c.partner_id and a.object_id = c.code_id
                    and a.action = 'activation_code.asked' and a.outcome = 'accepted') <> 1
             or (c.used_at is not null
                 and not exists (select 1 from device d
                                  where d.partner_id = c.partner_id and d.person_id = c.person_id))",
    ),
];

/// Compares the events with the tables.
pub(crate) async fn assert_complete(database: &TestDatabase) {
    for (meaning, statement) in FAULTS {
        assert_eq!(books::count(database, statement).await, 0, "{meaning}");
    }
}

/// Seals all events and verifies the chain.
pub(super) async fn assert_verifies(app: &TestApp) {
    let waiting = books::count(&app.database, "select count(*) from audit_pending").await;
    app.app.service.seal_audit_trail().await.unwrap();
    let verdicts = verdicts(app.store(), &AuditCheckpoints::default()).await;
    let [verdict] = &verdicts[..] else { panic!("expected the chain of one partner: {verdicts:#?}") };
    assert_eq!((&verdict.faults[..], verdict.events, verdict.waiting), (&[][..], waiting, 0));
}
