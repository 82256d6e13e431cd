//! One well-formed request for each operation, about objects that exist.

use device_management::domain::idempotency::{Claim, Claimed, Run, scope};
use device_management::domain::person::PartnerId;
use serde_json::{Value, json};

use crate::activation_codes::{activation_wish, delivery_event};
use crate::harness::contract::CONTRACT;
use crate::harness::{ACTIVATION_CODES, Answer, NUMBER, Phone, SMS_CHALLENGES, SmsChallenge, TestApp, TestClient};

/// A request for any client to send.
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

impl Call {
    /// Whether the operation takes an idempotency key.
    pub(crate) fn takes_idempotency_keys(&self) -> bool {
        matches!(self.method, "POST" | "PUT") && self.path.starts_with("/v1/")
    }

    pub(crate) async fn send(&self, client: &TestClient) -> Answer {
        client.send(self.method, &self.path, self.body.clone()).await
    }

    /// Claims this idempotency key for another running request of the partner, with this body.
    pub(crate) async fn claim(&self, app: &TestApp, key: &str, body: &str) {
        let acme = PartnerId::parse("acme").unwrap();
        let run = Run {
            scope: scope(&acme, "client-of-acme", self.method, &self.path, key),
            claim_id: uuid::Uuid::from_bytes(app.app.service.entropy.bytes()),
            request_id: "a-running-request".to_owned(),
        };
        let claim = Claim {
            run,
            digests: app.app.request_digests.of("", body.as_bytes()),
            partner: acme,
            person: None,
            at: app.app.service.clock.now(),
        };
        assert_eq!(app.store().claim_request(&claim).await.unwrap(), Claimed::Yes);
    }
}

/// The objects of the requests: a person with a verified number, one bound device and one pending.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) device: String,
    pub(crate) key: String,
    pub(crate) challenge: String,
    /// An open challenge of the bound device.
    pub(crate) device_challenge: String,
    /// An open SMS challenge of the person.
    pub(crate) sms_challenge: SmsChallenge,
    /// A live activation code, and an event of its delivery.
    pub(crate) activation: [String; 2],
    /// Answers the challenge.
    pub(crate) right_signature: String,
}

/// The person of a scene.
pub(crate) const PERSON: &str = "ada";

impl Scene {
    pub(crate) async fn set(app: &TestApp, client: &TestClient) -> Self {
        client.verified_person(PERSON).await;
        let bound = client.bind(PERSON, &Phone::new(1)).await;
        let sms_challenge = client.sms_challenge(PERSON).await;
        let challenge = client.ask_for_device(PERSON, &Phone::new(2)).await.id;
        let right_signature = Phone::new(2).sign(&app.outbox().last().code());
        let opened =
            client.post("/v1/mfa/challenges/devices", json!({"device_id": bound.id})).await.assert_status(201).json();
        let device_challenge = opened["id"].as_str().expect("an id").to_owned();
        let activation = client.post(ACTIVATION_CODES, activation_wish(PERSON)).await.assert_status(201).json();
        let activation = activation["id"].as_str().expect("an id").to_owned();
        let events = format!("{ACTIVATION_CODES}/{activation}/delivery_events");
        client.post(&events, delivery_event()).await.assert_status(201);
        let event = client.get(&events).await.json()[0]["id"].as_str().expect("an id").to_owned();
        let activation = [activation, event];
        Self {
            device: bound.id,
            key: bound.key_id,
            challenge,
            device_challenge,
            sms_challenge,
            activation,
            right_signature,
        }
    }

    /// A call for every operation that needs a token. Their key is new; their code and signature are wrong.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let Self { device, key, challenge, device_challenge, sms_challenge, activation: [activation, event], .. } =
            self;
        let activation = format!("{ACTIVATION_CODES}/{activation}");
        let events = format!("{activation}/delivery_events");
        let number = format!("/v1/persons/{PERSON}/mobile_number");
        let new_key = Phone::new(3).key();
        let by_stranger = json!({"signature_key_purpose": "unrestricted", "signature": Phone::new(4).sign(&new_key)});
        let call = |operation, method, path: String, body| Call { operation, method, path, body };
        let with = |operation, method, path: String, body| call(operation, method, path, Some(body));
        let calls = vec![
            with("createMobileNumber", "POST", number.clone(), json!({"number": NUMBER})),
            call("getMobileNumber", "GET", number.clone(), None),
            with("deleteMobileNumber", "DELETE", number.clone(), json!({"number": NUMBER})),
            with("authorizeMobileNumber", "POST", format!("{number}/authorize"), json!({"number": NUMBER})),
            with(
                "confirmMobileNumber",
                "POST",
                format!("{number}/confirm"),
                json!({"number": NUMBER, "token": "000000"}),
            ),
            with("createDevice", "POST", "/v1/mfa/devices".into(), device_wish(PERSON, 3)),
            call("listDevices", "GET", format!("/v1/mfa/devices?filter[person_id]={PERSON}"), None),
            call("getDevice", "GET", format!("/v1/mfa/devices/{device}"), None),
            call("deleteDevice", "DELETE", format!("/v1/mfa/devices/{device}"), None),
            call("getSignatureChallenge", "GET", format!("/v1/mfa/challenges/signatures/{challenge}"), None),
            with(
                "verifySignatureChallenge",
                "PUT",
                format!("/v1/mfa/challenges/signatures/{challenge}"),
                json!({"signature": Phone::new(2).sign("wrong")}),
            ),
            with("createDeviceChallenge", "POST", "/v1/mfa/challenges/devices".into(), json!({"device_id": device})),
            call("getDeviceChallenge", "GET", format!("/v1/mfa/challenges/devices/{device_challenge}"), None),
            with(
                "verifyDeviceChallenge",
                "PUT",
                format!("/v1/mfa/challenges/devices/{device_challenge}"),
                json!({"signature": Phone::new(1).sign("wrong")}),
            ),
            with("createSmsChallenge", "POST", SMS_CHALLENGES.into(), json!({"person_id": PERSON})),
            call("getSmsChallenge", "GET", format!("{SMS_CHALLENGES}/{}", sms_challenge.id), None),
            with(
                "verifySmsChallenge",
                "PUT",
                format!("{SMS_CHALLENGES}/{}", sms_challenge.id),
                json!({"code": sms_challenge.wrong_code()}),
            ),
            with("createActivationCode", "POST", ACTIVATION_CODES.into(), activation_wish(PERSON)),
            call("listActivationCodes", "GET", format!("{ACTIVATION_CODES}?filter[person_id]={PERSON}"), None),
            call("getActivationCode", "GET", activation.clone(), None),
            call("deleteActivationCode", "DELETE", activation, None),
            with("createDeliveryEvent", "POST", events.clone(), delivery_event()),
            call("listDeliveryEvents", "GET", events.clone(), None),
            call("getDeliveryEvent", "GET", format!("{events}/{event}"), None),
            with(
                "addKey",
                "POST",
                format!("/v1/mfa/devices/{device}/keys"),
                json!({"key": new_key, "key_type": "ecdsa-p256", "device_signature": by_stranger}),
            ),
            call("listKeys", "GET", format!("/v1/mfa/devices/{device}/keys"), None),
            call("getKey", "GET", format!("/v1/mfa/devices/{device}/keys/{key}"), None),
            call("listSandboxMessages", "GET", "/sandbox/messages".into(), None),
            call("getSandboxClock", "GET", "/sandbox/clock".into(), None),
            with("advanceSandboxClock", "POST", "/sandbox/clock".into(), json!({"advance_seconds": 1})),
        ];
        let mut secured: Vec<&str> = CONTRACT
            .operations()
            .iter()
            .filter(|operation| operation.secured)
            .map(|operation| &*operation.id)
            .collect();
        let mut called: Vec<&str> = calls.iter().map(|call| call.operation).collect();
        secured.sort_unstable();
        called.sort_unstable();
        assert_eq!(called, secured, "one call for each operation of openapi.yaml that needs a token");
        calls
    }

    /// All that the partner of the scene can read, without the messages and the time of the sandbox.
    pub(crate) async fn state(&self, client: &TestClient) -> Vec<Value> {
        let mut state = Vec::new();
        let calls = self.calls();
        for call in calls.iter().filter(|call| call.method == "GET" && !call.path.starts_with("/sandbox/")) {
            state.push(call.send(client).await.assert_status(200).json());
        }
        let everything = client.get("/v1/mfa/devices?filter[include_deleted]=true&page[size]=1000").await;
        state.push(everything.json());
        state
    }
}

/// The body that requests a device with the key of this phone.
pub(crate) fn device_wish(person: &str, phone: u32) -> Value {
    json!({"person_id": person, "key_type": "ecdsa-p256", "key": Phone::new(phone).key()})
}
