//! What the scenarios stand on: the parts that play a client, a phone, a provider or a judge.

pub(crate) mod contract;
