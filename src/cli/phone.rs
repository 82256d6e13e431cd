//! `phone`: a software phone for testers. It reads no configuration and no database.
//!
//! Its file has private keys as PEM, one after the other, each below a line with its name; RFC 7468 section 2 allows
//! such lines, so openssl reads the first key. Standard output has public keys and signatures only.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::say;
use crate::crypto::SoftwareKey;
use crate::domain::challenges::signing_text::{APPROVAL_HEADING, CHALLENGE_HEADING, TextToSign};
use crate::entropy::{Entropy, SystemEntropy};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// The line above a key.
const NAME: &str = "name: ";

/// The name of a key that has none.
const DEFAULT_NAME: &str = "phone";

/// A software phone for testers, in place of an app: makes keys and signs, and prints what the API takes.
///
/// It needs neither the service nor its configuration, and works with the sandbox and with any other service. The
/// private keys are in a file without a password, so never bind a real person with them.
#[derive(Args, Debug)]
pub(super) struct Phone {
    /// The file of the keys: PKCS#8 as PEM, for which openssl works too
    #[arg(long, global = true, value_name = "FILE", default_value = "phone.pem")]
    file: PathBuf,
    #[command(subcommand)]
    command: PhoneCommand,
}

#[derive(Subcommand, Debug)]
enum PhoneCommand {
    /// Make a key, and print its public key in hex (`key` in the API)
    New {
        /// A name, to have several keys in one file
        #[arg(default_value = DEFAULT_NAME, value_parser = key_name)]
        name: String,
    },
    /// Sign a text, and print the signature as DER in hex (`signature` in the API)
    ///
    /// The text is a code, the hex of a further key, or the `string_to_sign` of a device challenge. It is hashed once and
    /// signed exactly as given: a line end at its end is signed too.
    Sign {
        /// The text; `-` or nothing reads standard input: printf %s "$text" | device-management phone sign
        text: Option<SecretString>,
        /// The name of the key
        #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME)]
        key: String,
        /// Sign the text that declines this device challenge
        #[arg(long)]
        decline: bool,
    },
    /// Print the names and public keys, or only the public key with this name
    Show {
        /// The name of the key
        name: Option<String>,
    },
}

pub(super) fn run(Phone { file, command }: Phone) -> anyhow::Result<()> {
    let file = KeyFile(&file);
    match command {
        PhoneCommand::New { name } => say(public_hex(&file.add(&name)?)),
        PhoneCommand::Sign { text, key, decline } => {
            let key = file.key(&key)?;
            let text = text_to_sign(text)?;
            warn_about(&text);
            let text = if decline { declining(&text)? } else { text };
            say(hex::encode(key.sign(&text).as_der()))
        }
        PhoneCommand::Show { name: Some(name) } => say(public_hex(&file.key(&name)?)),
        PhoneCommand::Show { name: None } => {
            say("name\tpublic_key")?;
            file.keys()?.iter().try_for_each(|(name, key)| say(format!("{name}\t{}", public_hex(key))))
        }
    }
}

fn key_name(text: &str) -> Result<String, &'static str> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    fits.then(|| text.to_owned()).ok_or("a name has 1 to 64 characters of A-Z a-z 0-9 - _ .")
}

fn public_hex(key: &SoftwareKey) -> String {
    hex::encode(key.public_key().as_bytes())
}

fn text_to_sign(text: Option<SecretString>) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    if let Some(text) = text.filter(|text| text.expose_secret() != "-") {
        return Ok(text.expose_secret().as_bytes().to_vec().into());
    }
    if io::stdin().is_terminal() {
        let _ =
            writeln!(io::stderr(), "reading the text from the terminal: end it with Ctrl-D, twice after a last line");
    }
    let mut read = Zeroizing::new(Vec::new());
    io::stdin().read_to_end(&mut read).context("standard input cannot be read")?;
    Ok(read)
}

/// Names the usual mistakes. The text is signed nevertheless, since the tester may want the mistake.
fn warn_about(text: &[u8]) {
    let escaped = text.starts_with(b"device-management/") && !text.contains(&b'\n');
    let warnings = [
        (text.is_empty(), "the text is empty"),
        (text.ends_with(b"\n"), "the text ends with a line end, which no text of the API has: use printf %s, not echo"),
        (text.contains(&b'\r'), "the text contains a carriage return, which no text of the API has"),
        (escaped, "the text has no line ends: decode `string_to_sign` from JSON first, where they are written \\n"),
    ];
    for (_, warning) in warnings.iter().filter(|(applies, _)| *applies) {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
}

/// The text that declines the challenge with this text (docs/api-design.md#the-text-to-sign).
fn declining(text: &[u8]) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(text).ok();
    let text = text.filter(|text| [CHALLENGE_HEADING, APPROVAL_HEADING].contains(&text.lines().next().unwrap_or("")));
    let text = text.ok_or_else(|| {
        anyhow!(
            "only a device challenge can be declined: --decline takes its `string_to_sign`, whose first line is \
             {CHALLENGE_HEADING} or {APPROVAL_HEADING}"
        )
    })?;
    Ok(TextToSign::from_stored(text.to_owned()).declining().as_str().as_bytes().to_vec().into())
}

/// A file of named private keys.
struct KeyFile<'a>(&'a Path);

impl KeyFile<'_> {
    /// Makes a key and adds it. The lock keeps two commands from adding the same name.
    fn add(&self, name: &str) -> anyhow::Result<SoftwareKey> {
        let file = self.0.display();
        let mut opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.0)
            .and_then(|opened| opened.lock().map(|()| opened))
            .with_context(|| format!("{file} cannot be written"))?;
        let text = self.read(&mut opened)?;
        if self.parse(&text)?.iter().any(|(known, _)| known == name) {
            bail!(
                "{file} already has a key with the name {name}, which is kept: `phone show` prints it. Give the new key \
                 another name (`phone new NAME`) or another file (`--file FILE`), or remove {file}"
            );
        }
        let key = new_key();
        let separator = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let entry = Zeroizing::new(format!("{separator}{NAME}{name}\n{}", *key.to_pem()));
        if let Err(error) = opened.write_all(entry.as_bytes()).and_then(|()| opened.sync_all()) {
            // A part of a key would make the file unreadable.
            let _ = opened.set_len(text.len() as u64);
            return Err(error).with_context(|| format!("{file} cannot be written"));
        }
        Ok(key)
    }

    fn key(&self, name: &str) -> anyhow::Result<SoftwareKey> {
        let mut keys = self.keys()?;
        if let Some(place) = keys.iter().position(|(known, _)| known == name) {
            return Ok(keys.swap_remove(place).1);
        }
        if keys.is_empty() {
            bail!("{} has no key: make one with `device-management phone new`", self.0.display());
        }
        let names: Vec<String> = keys.into_iter().map(|(name, _)| name).collect();
        bail!("{} has no key with the name {name}; it has: {}", self.0.display(), names.join(", "))
    }

    fn keys(&self) -> anyhow::Result<Vec<(String, SoftwareKey)>> {
        let file = self.0.display();
        let mut opened = match File::open(self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!(
                    "there is no file {file}: make a key with `device-management phone new`, or name a file with --file"
                )
            }
            opened => opened.and_then(|opened| opened.lock_shared().map(|()| opened)),
        }
        .with_context(|| format!("{file} cannot be read"))?;
        self.parse(&self.read(&mut opened)?)
    }

    fn read(&self, opened: &mut File) -> anyhow::Result<Zeroizing<String>> {
        let mut text = Zeroizing::new(String::new());
        let read = opened.read_to_string(&mut text);
        read.with_context(|| format!("{} cannot be read", self.0.display()))?;
        Ok(text)
    }

    fn parse(&self, text: &str) -> anyhow::Result<Vec<(String, SoftwareKey)>> {
        let entries = text.split_inclusive(END).map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(parse_entry).collect::<Option<_>>().ok_or_else(|| {
            anyhow!(
                "{} is not a file of phone keys: each has to be an EC key on P-256 in PKCS#8, as `phone new` writes it \
                 (openssl pkcs8 -topk8 -nocrypt converts others)",
                self.0.display()
            )
        })
    }
}

/// A key and its name; a key that openssl made has none.
fn parse_entry(entry: &str) -> Option<(String, SoftwareKey)> {
    let (head, pem) = entry.split_at(entry.find(BEGIN)?);
    let name = match head.trim() {
        "" => DEFAULT_NAME,
        head => head.strip_prefix(NAME)?,
    };
    Some((key_name(name).ok()?, SoftwareKey::from_pem(pem)?))
}

fn new_key() -> SoftwareKey {
    let entropy: &dyn Entropy = &SystemEntropy;
    loop {
        let scalar = Zeroizing::new(entropy.bytes::<32>());
        if let Some(key) = SoftwareKey::from_scalar(&scalar) {
            return key;
        }
    }
}
