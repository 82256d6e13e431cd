//! The secrets for codes and tokens.
//!
//! The sandbox has public ones, so that it starts without settings and its open challenges survive a restart.
//! Production refuses these, short ones, and one secret for two purposes.

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};

use super::Mode;
use super::parse::{seconds, whole};
use super::source::Source;
use crate::crypto::Otp;

/// The shortest secret in production, in bytes: as long as the HMAC-SHA256 output (RFC 2104 section 3).
const SECRET_MIN: usize = 32;

const SANDBOX_OTP_SECRET: &str = "the sandbox's one-time-code secret, which is public";
const SANDBOX_TOKEN_SECRET: &str = "the sandbox's access-token secret, which is public";

/// How one-time codes are made.
#[derive(Clone, Debug)]
pub enum CodeSettings {
    /// The same code for every challenge. Sandbox only.
    Fixed(String),
    /// Derived with a secret.
    Derived {
        /// The secret's version, stored in new challenges.
        version: u32,
        /// The secret of that version.
        current: SecretString,
        /// The secret of the previous version, for challenges that are still open.
        previous: Option<SecretString>,
    },
}

/// How the service's own tokens are signed.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// Signs and verifies.
    pub current: SecretString,
    /// Only verifies.
    pub previous: Option<SecretString>,
    /// How long a token is valid.
    pub lifetime: TimeDelta,
}

pub(super) fn codes(s: &mut Source<'_>, mode: Mode) -> CodeSettings {
    let fixed = match mode {
        Mode::Sandbox => Some(s.value("SANDBOX_OTP", "212212", sandbox_otp)),
        Mode::Production => s.optional("SANDBOX_OTP", sandbox_otp),
    };
    let current = secret(s, mode, "OTP_SECRET", SANDBOX_OTP_SECRET);
    let previous = previous_secret(s, mode, "OTP_SECRET_PREVIOUS");
    let version = s.value("OTP_SECRET_VERSION", "1", whole(1..=1_000_000));
    match fixed {
        Some(SandboxOtp::Fixed(code)) => {
            if mode == Mode::Production {
                s.problem("SANDBOX_OTP", "must not be set in production: every code would be public");
            }
            CodeSettings::Fixed(code)
        }
        Some(SandboxOtp::Random) | None => CodeSettings::Derived { version, current, previous },
    }
}

pub(super) fn tokens(s: &mut Source<'_>, mode: Mode) -> TokenSettings {
    let current = secret(s, mode, "TOKEN_SECRET", SANDBOX_TOKEN_SECRET);
    let previous = previous_secret(s, mode, "TOKEN_SECRET_PREVIOUS");
    let lifetime = s.value("TOKEN_LIFETIME_SECONDS", "3599", seconds(60..=86400));
    TokenSettings { current, previous, lifetime: TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::hours(1)) }
}

enum SandboxOtp {
    Fixed(String),
    Random,
}

fn sandbox_otp(text: &str) -> Result<SandboxOtp, &'static str> {
    match text {
        "random" => Ok(SandboxOtp::Random),
        code if Otp::parse(code).is_some() => Ok(SandboxOtp::Fixed(code.to_owned())),
        _ => Err("must be six digits, or random"),
    }
}

fn secret(s: &mut Source<'_>, mode: Mode, name: &'static str, sandbox: &str) -> SecretString {
    let found = s.secret(name);
    if mode == Mode::Production {
        match &found {
            None => {
                let fix = format!("set it or {name}_FILE to a random secret, for example from `openssl rand -hex 32`");
                s.problem(name, format!("is required in production: {fix}"));
            }
            Some(secret) => check(s, name, secret),
        }
    }
    found.unwrap_or_else(|| sandbox.into())
}

fn previous_secret(s: &mut Source<'_>, mode: Mode, name: &'static str) -> Option<SecretString> {
    let found = s.secret(name);
    if let (Mode::Production, Some(secret)) = (mode, &found) {
        check(s, name, secret);
    }
    found
}

fn check(s: &mut Source<'_>, name: &str, secret: &SecretString) {
    let text = secret.expose_secret();
    if [SANDBOX_OTP_SECRET, SANDBOX_TOKEN_SECRET].contains(&text) {
        s.problem(name, "must not be the sandbox's secret in production");
    } else if text.len() < SECRET_MIN {
        s.problem(name, format!("is too short: at least {SECRET_MIN} bytes, for example from `openssl rand -hex 32`"));
    }
}
