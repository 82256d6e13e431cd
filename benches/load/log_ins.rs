//! Requests about challenges of bound devices: opening, reading, answering, and both steps of a log-in.

use std::cell::RefCell;
use std::rc::Rc;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::callers::{Ask, Errand};
use crate::orders::is_no_content;
use crate::phones::Phone;

/// Challenges of a device that one order leaves open: fewer than `LIMIT_OPEN_DEVICE_CHALLENGES`.
const OPEN_MAX: usize = 15;

/// A device of a person, and its phone.
#[derive(Clone)]
pub(crate) struct BoundDevice {
    pub(crate) number: u64,
    pub(crate) id: Uuid,
    pub(crate) phone: Phone,
}

impl BoundDevice {
    fn challenge(&self) -> Ask {
        let body = json!({ "device_id": self.id.to_string() }).to_string();
        Ask { number: self.number, method: Method::POST, path: "/v1/mfa/challenges/devices".to_owned(), body }
    }

    fn approval(&self, opened: &Opened) -> anyhow::Result<Ask> {
        let path = format!("/v1/mfa/challenges/devices/{}", opened.id);
        let body = json!({ "signature": self.phone.sign(&opened.string_to_sign)? }).to_string();
        Ok(Ask { number: self.number, method: Method::PUT, path, body })
    }
}

/// The fields of an open challenge that are used.
#[derive(Deserialize)]
struct Opened {
    id: String,
    string_to_sign: String,
}

impl Opened {
    fn read(is_expected: bool, body: &[u8]) -> Option<Self> {
        is_expected.then(|| serde_json::from_slice(body).ok()).flatten()
    }
}

/// An open challenge.
pub(crate) struct Challenged {
    device: BoundDevice,
    opened: Opened,
}

/// `POST /v1/mfa/challenges/devices`
pub(crate) struct Challenges {
    devices: Rc<[BoundDevice]>,
    opened: RefCell<Vec<Challenged>>,
}

impl Challenges {
    pub(crate) fn new(devices: Rc<[BoundDevice]>) -> Self {
        Self { devices, opened: RefCell::default() }
    }

    pub(crate) fn opened(&self) -> Rc<[Challenged]> {
        self.opened.take().into()
    }
}

impl Errand for Challenges {
    fn request(&self, place: usize) -> Option<Ask> {
        (place < self.devices.len() * OPEN_MAX).then(|| self.devices[place % self.devices.len()].challenge())
    }

    fn check(&self, place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let opened = Opened::read(status == StatusCode::CREATED, body).ok_or("201 with a text to sign")?;
        let device = self.devices[place % self.devices.len()].clone();
        self.opened.borrow_mut().push(Challenged { device, opened });
        Ok(())
    }
}

/// `GET /v1/mfa/challenges/devices/{id}`
pub(crate) struct Sights(pub(crate) Rc<[Challenged]>);

impl Errand for Sights {
    fn request(&self, place: usize) -> Option<Ask> {
        let Challenged { device, opened } = &self.0[place % self.0.len()];
        let path = format!("/v1/mfa/challenges/devices/{}", opened.id);
        Some(Ask { number: device.number, method: Method::GET, path, body: String::new() })
    }

    fn check(&self, place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let expected = &self.0[place % self.0.len()].opened;
        let is_right = Opened::read(status == StatusCode::OK, body)
            .is_some_and(|it| it.id == expected.id && it.string_to_sign == expected.string_to_sign);
        is_right.then_some(()).ok_or("200 with the text of the challenge")
    }
}

/// `PUT /v1/mfa/challenges/devices/{id}`
pub(crate) struct Approvals(Vec<RefCell<Option<Ask>>>);

impl Approvals {
    /// Signs every challenge.
    pub(crate) fn sign(challenges: &[Challenged]) -> anyhow::Result<Self> {
        let asks = challenges.iter().map(|it| Ok(RefCell::new(Some(it.device.approval(&it.opened)?))));
        Ok(Self(asks.collect::<anyhow::Result<_>>()?))
    }
}

impl Errand for Approvals {
    fn request(&self, place: usize) -> Option<Ask> {
        self.0.get(place)?.take()
    }

    fn check(&self, _place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        is_no_content(status, body)
    }
}

/// A challenge, signed and answered on the same connection.
pub(crate) struct LogIns(pub(crate) Rc<[BoundDevice]>);

impl Errand for LogIns {
    fn request(&self, place: usize) -> Option<Ask> {
        Some(self.0[place % self.0.len()].challenge())
    }

    fn check(&self, _place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        if status == StatusCode::CREATED { Ok(()) } else { is_no_content(status, body) }
    }

    fn follow_up(&self, place: usize, status: StatusCode, body: &[u8]) -> anyhow::Result<Option<Ask>> {
        if status != StatusCode::CREATED {
            return Ok(None);
        }
        self.0[place % self.0.len()].approval(&serde_json::from_slice(body)?).map(Some)
    }
}
