//! Finds the mistake behind a well-formed signature that does not verify: the texts, digests and keys that developers
//! confuse are tried until one verifies.
//!
//! For the sandbox only: in production the answer must not tell what a wrong signature does verify for. Whatever is
//! reported was verified, so there are no false alarms. A diagnosis is made of fixed phrases and has no part of a text,
//! a key or a signature.

mod digests;
mod texts;

use std::collections::HashSet;
use std::fmt;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};

use self::digests::{DIGESTS, digest, hashed_once};
use self::texts::variants;
use super::{DerSignature, PublicKey};

/// A part of a mistake: how the diagnosis calls it, and how to mend it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aspect {
    /// A phrase; several are joined in the order text, change, digest, key.
    pub says: &'static str,
    /// Empty where nothing is wrong.
    pub remedy: &'static str,
}

/// A text that may have been signed.
pub struct SuspectText {
    /// Its name.
    pub name: Aspect,
    /// The text, or the bytes that were meant.
    pub text: Vec<u8>,
}

/// A key that may have signed.
pub struct SuspectKey {
    /// Its name; empty for a right key.
    pub name: Aspect,
    /// The key.
    pub key: PublicKey,
}

/// What a wrong answer would be right for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnosis {
    verb: &'static str,
    aspects: Vec<Aspect>,
}

impl Diagnosis {
    /// A diagnosis that needs no cryptography.
    #[must_use]
    pub fn of(aspect: Aspect) -> Self {
        Self { verb: "", aspects: vec![aspect] }
    }

    fn verifying(aspects: &[Aspect]) -> Self {
        Self { verb: "it verifies for ", aspects: aspects.to_vec() }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |phrase: fn(&Aspect) -> &'static str| {
            self.aspects.iter().map(phrase).filter(|phrase| !phrase.is_empty()).collect::<Vec<_>>()
        };
        let (says, remedies) = (said(|aspect| aspect.says), said(|aspect| aspect.remedy));
        write!(f, "{}{}; {}", self.verb, says.join(", "), remedies.join("; "))
    }
}

/// The mistake behind a wrong signature. The right texts come first; `None` when the signature verifies for no
/// combination that is tried.
///
/// A right key is tried with every text and digest, with every changed text and the common digests, and with exchanged or
/// little-endian r and s; another key with every text.
#[must_use]
pub fn diagnose(signature: &DerSignature, texts: &[SuspectText], keys: &[SuspectKey]) -> Option<Diagnosis> {
    // With the fixed code of the sandbox many texts are equal; the first has the name.
    let mut seen = HashSet::new();
    let texts: Vec<_> = texts.iter().filter(|text| seen.insert(&text.text)).collect();
    let texts = &texts[..];
    let (right, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.name.says.is_empty());
    let by_right = || right.iter().find_map(|key| by_the_right_key(signature, texts, key));
    let by_other = || others.iter().find_map(|key| by_another_key(signature, texts, key));
    by_right().or_else(by_other).or_else(|| right.iter().find_map(|key| with_other_integers(signature, texts, key)))
}

fn by_the_right_key(signature: &DerSignature, texts: &[&SuspectText], right: &SuspectKey) -> Option<Diagnosis> {
    let key = Verifier::new(&right.key)?;
    for SuspectText { name, text } in texts {
        for (place, (change, bytes)) in variants(text).into_iter().enumerate() {
            // Two mistakes at a time: of a changed text only the common ones are tried.
            let ways = if place == 0 { DIGESTS } else { &DIGESTS[..digests::COMMON] };
            for (way, method) in ways {
                if key.verifies(&digest(*method, &bytes), signature) {
                    return Some(Diagnosis::verifying(&[*name, change, *way]));
                }
            }
        }
    }
    None
}

fn by_another_key(signature: &DerSignature, texts: &[&SuspectText], other: &SuspectKey) -> Option<Diagnosis> {
    let key = Verifier::new(&other.key)?;
    let signed = |text: &&&SuspectText| key.verifies(&hashed_once(&text.text), signature);
    texts.iter().find(signed).map(|text| Diagnosis::verifying(&[text.name, other.name]))
}

/// r and s exchanged, or little-endian.
fn with_other_integers(signature: &DerSignature, texts: &[&SuspectText], right: &SuspectKey) -> Option<Diagnosis> {
    const SWAPPED: Aspect = Aspect { says: "with r and s exchanged", remedy: "encode r before s" };
    const LITTLE_ENDIAN: Aspect =
        Aspect { says: "with little-endian r and s", remedy: "encode r and s big-endian, as DER demands" };
    let key = Verifier::new(&right.key)?;
    let [swapped, reversed] = signature.misencoded();
    [(SWAPPED, swapped), (LITTLE_ENDIAN, reversed)].into_iter().find_map(|(mistake, intended)| {
        let intended = intended?;
        let signed = |text: &&&SuspectText| key.verifies(&hashed_once(&text.text), &intended);
        texts.iter().find(signed).map(|text| Diagnosis::verifying(&[text.name, mistake]))
    })
}

/// A key that verifies signatures over given digests.
struct Verifier(ParsedPublicKey);

impl Verifier {
    fn new(key: &PublicKey) -> Option<Self> {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.as_bytes()).ok().map(Self)
    }

    fn verifies(&self, digest: &[u8; 32], signature: &DerSignature) -> bool {
        let digest = Digest::import_less_safe(digest, &SHA256);
        digest.is_ok_and(|digest| self.0.verify_digest_sig(&digest, signature.as_der()).is_ok())
    }
}

#[cfg(test)]
mod tests;
